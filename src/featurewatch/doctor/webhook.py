"""Whether a test alert arrives: through Alertmanager to the bridge, and to nobody else. It is ended afterwards."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..alerts.routes import TEST_LABEL
from ..errors import FeaturewatchError
from ..stores.upstream import Upstream
from .alertmanager import AlertmanagerFacts, hidden, leads, test_labels
from .asking import an_object, get, listed, objects
from .bridge import BridgeLine
from .findings import Finding, broken, fine, left_out
from .routing import apart

__all__ = ["examine_webhook"]

ROUTE: Final = "/webhooks/alertmanager"
_PAUSE_S: Final = 0.25
_HELD: Final = ", or holds the alert back for its group_interval"
_APART: Final = "; give the route group_by: ['...'] and group_wait: 0s"
_LASTS: Final = timedelta(minutes=2)
"""A test that is broken off ends by itself after this."""


async def examine_webhook(
    alertmanagers: Sequence[tuple[Upstream, AlertmanagerFacts]],
    bridge: BridgeLine,
    *,
    address: str,
    within_s: float,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> list[Finding]:
    """Send a test alert to the Alertmanagers that answer, and wait until the bridge has it.

    It is not sent where their configuration would tell somebody else of it too.

    Args:
        address: of the webhook, as Alertmanager reaches it.
    """
    asked = [(upstream, facts) for upstream, facts in alertmanagers if facts.status]
    if not asked:
        return [left_out("webhook", "Alertmanager", "none answers")]
    upstream, facts = asked[0]
    subject = facts.shown
    if not await bridge.get("/healthz"):
        return [left_out("webhook", subject, "the bridge does not answer")]
    probe = await bridge.get(f"{bridge.prefix}/doctor/alerts/none")
    if probe.status in (401, 403):
        return [
            left_out("webhook", subject, "the bridge does not let this command ask: set FEATUREWATCH_TOKEN (viewer)")
        ]
    id_ = secrets.token_hex(8)
    if facts.config is None:
        return [left_out("webhook", subject, "it does not show its configuration, so who would be told is not known")]
    arrives, others = leads(facts.config, test_labels(id_), address)
    if arrives is None:
        return [hidden("webhook", subject)]
    if not arrives:
        return [
            broken(
                "webhook",
                subject,
                "no route leads a test alert to the bridge",
                "see the finding 'receiver'; where the configuration is your own, give the bridge's receiver a route "
                'with matchers: [featurewatch_route=~".+"]',
            )
        ]
    if others:
        return [
            left_out(
                "webhook",
                subject,
                f"not sent: it would also tell {', '.join(others[:5])}; a first route with "
                'matchers: [featurewatch_route="doctor"] to the bridge\'s receiver keeps it from them',
            )
        ]
    held = "" if apart(facts.config, test_labels(id_), TEST_LABEL) else _HELD
    return [await _send(upstream, subject, bridge, id_, address, within_s, held, sleep)]


async def _send(
    upstream: Upstream,
    subject: str,
    bridge: BridgeLine,
    id_: str,
    address: str,
    within_s: float,
    held: str,
    sleep: Callable[[float], Awaitable[Any]],
) -> Finding:
    before = await _answers(bridge)
    began = datetime.now(UTC)
    try:
        await upstream.ask("POST", "/api/v2/alerts", json=[_alert(id_, began, began + _LASTS)])
    except FeaturewatchError as error:
        return broken("webhook", subject, f"it refuses a test alert: {error.message}", "read its log")
    try:
        started = time.monotonic()
        while time.monotonic() - started < within_s:
            if await bridge.get(f"{bridge.prefix}/doctor/alerts/{id_}"):
                took = time.monotonic() - started
                return fine("webhook", subject, f"a test alert was with the bridge after {took:.1f} s")
            if (finding := await _suppressed(upstream, subject, id_)) is not None:
                return finding
            await sleep(_PAUSE_S)
        return _lost(subject, address, within_s, held, before, await _answers(bridge))
    finally:
        # Ended at once: nothing of it stays, and whoever looks at Alertmanager is not puzzled by it.
        with suppress(FeaturewatchError):  # else it ends by itself in two minutes
            await upstream.ask("POST", "/api/v2/alerts", json=[_alert(id_, began, datetime.now(UTC))])


async def _suppressed(upstream: Upstream, subject: str, id_: str) -> Finding | None:
    """Say what keeps Alertmanager from telling anybody of the alert; None where nothing does."""
    told = await get(upstream, "/api/v2/alerts", params={"filter": f'{TEST_LABEL}="{id_}"'})
    status = an_object(objects(told.data)[0].get("status")) if objects(told.data) else {}
    if silences := listed(status.get("silencedBy")):
        silence = an_object((await get(upstream, f"/api/v2/silence/{silences[0]}")).data)
        matchers = ", ".join(f"{one.get('name')} {one.get('value')}" for one in objects(silence.get("matchers")))
        return broken(
            "webhook",
            subject,
            f"a silence of {silence.get('createdBy') or 'nobody'} ({silence.get('comment') or 'no comment'}) on "
            f"{matchers} holds the test alert back, and perhaps alerts of features",
            f"let its matchers name what is meant, or end it: amtool silence expire {silences[0]}",
        )
    if inhibitors := listed(status.get("inhibitedBy")):
        return broken(
            "webhook",
            subject,
            f"an inhibition rule holds the test alert back, and perhaps alerts of features: of alert {inhibitors[0]}",
            "let the rule's target_matchers name what is meant",
        )
    return None


def _lost(
    subject: str,
    address: str,
    within_s: float,
    held: str,
    before: Mapping[str, float] | None,
    after: Mapping[str, float] | None,
) -> Finding:
    """Say why it did not arrive, by what the bridge answered to webhooks meanwhile."""
    found = f"a test alert did not arrive within {within_s:g} s"
    if before is None or after is None:
        return broken("webhook", subject, found, f"read Alertmanager's log for what {address} answers")
    new = {status: after[status] - before.get(status, 0) for status in after if after[status] > before.get(status, 0)}
    if refused := sorted(status for status in new if status in ("401", "403")):
        return broken(
            "webhook",
            subject,
            f"{found}: the bridge refuses Alertmanager's webhooks ({', '.join(refused)}), which show another token",
            "let the receiver's credentials_file name the file of FEATUREWATCH_WEBHOOK_TOKEN_FILE as Alertmanager sees "
            "it (FEATUREWATCH_ALERTMANAGER_WEBHOOK_TOKEN_FILE)",
        )
    if failed := sorted(status for status in new if not status.startswith("2")):
        return broken(
            "webhook",
            subject,
            f"{found}: the bridge answered webhooks with {', '.join(failed)}",
            "read the bridge's log: it says why it could not keep them",
        )
    return broken(
        "webhook",
        subject,
        f"{found}, and no webhook reached the bridge: Alertmanager cannot reach {address}{held}",
        "set FEATUREWATCH_WEBHOOK_URL to the bridge as Alertmanager's machine or container reaches it, and let the "
        "bridge listen there (FEATUREWATCH_HOST, FEATUREWATCH_ALLOWED_HOSTS)" + (_APART if held else ""),
    )


async def _answers(bridge: BridgeLine) -> dict[str, float] | None:
    """Count the bridge's answers to webhooks by status, None where it does not show its metrics."""
    counted = await bridge.counted()
    if counted is None:
        return None
    found: dict[str, float] = {}
    for (name, labels), value in counted.items():
        told = dict(labels)
        if name == "featurewatch_http_request_duration_seconds_count" and told.get("route") == ROUTE:
            found[told["status"]] = found.get(told["status"], 0) + value
    return found


def _alert(id_: str, began: datetime, ends: datetime) -> dict[str, Any]:
    return {
        "labels": test_labels(id_),
        "annotations": {"title": "Test of the way to the bridge", "message": "Sent by 'featurewatch doctor'."},
        "startsAt": began.isoformat(),
        "endsAt": ends.isoformat(),
    }
