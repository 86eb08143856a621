"""Alertmanager: whether it answers, has the file that is written for it, and leads alerts to the bridge."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..alerts.alertmanager import BRIDGE
from ..alerts.alertmanager_api import config_hash
from ..alerts.routes import ROUTE_LABEL, TEST_LABEL, TESTS
from ..stores.upstream import Upstream
from .asking import Got, data_of, get, load_yaml
from .findings import Finding, broken, fine, left_out
from .routing import receivers_of, webhooks_of
from .upstreams import answers, clock, recent

__all__ = ["AlertmanagerFacts", "Led", "gather", "hidden", "judge", "leads", "test_labels"]

OLDEST: Final = (0, 25)
BY_HAND: Final = "featurewatch"
"""The bridge's receiver in a configuration that people write, by the guide."""
_SECRET: Final = "<secret>"
"""What newer Alertmanagers show of a webhook's address."""
_HASH: Final = re.compile(r"^alertmanager_config_hash (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AlertmanagerFacts:
    """What an Alertmanager says of itself; `hash` None: it does not tell which file it has."""

    shown: str
    setting: str
    status: Got
    version: str = ""
    config: Mapping[str, Any] | None = None
    hash: int | None = None


async def gather(upstream: Upstream, *, clock: Callable[[], int] = time.time_ns) -> AlertmanagerFacts:
    """Ask an Alertmanager."""
    target = upstream.target
    status, metrics = await asyncio.gather(get(upstream, "/api/v2/status", clock=clock), get(upstream, "/metrics"))
    version = data_of(status, "versionInfo", "version")
    if status and not isinstance(version, str):
        wrong = f"{target.shown} answered with something else than Alertmanager does"
        status = Got(None, wrong, status.status, status.ahead_s)
    found = _HASH.search(metrics.data) if isinstance(metrics.data, str) else None
    return AlertmanagerFacts(
        target.shown,
        target.named_by,
        status,
        str(version or ""),
        load_yaml(data_of(status, "config", "original")),
        None if found is None else int(float(found[1])),
    )


def judge(facts: AlertmanagerFacts, *, file: Path | None, address: str) -> list[Finding]:
    """Judge an Alertmanager.

    Args:
        file: ALERTMANAGER_CONFIG, which the bridge writes for it.
        address: of the webhook, as Alertmanager reaches it.
    """
    shown = facts.shown
    found = [answers(shown, facts.status, f"start it, or set {facts.setting} to where it is")]
    if not facts.status:
        return found
    return [
        *found,
        clock(shown, facts.status.ahead_s),
        recent(shown, facts.version, OLDEST, "does not take the routes that are written"),
        _receiver(facts, file, address),
    ]


def test_labels(id: str) -> dict[str, str]:
    """Return the labels of a test alert: no feature's, so no episode comes of it."""
    return {"alertname": "FeaturewatchDoctor", ROUTE_LABEL: TESTS, TEST_LABEL: id}


class Led(NamedTuple):
    """Where an alert is led.

    Attributes:
        bridge: whether to the bridge; None: it may be one of `others`, whose webhooks' addresses are not shown.
        others: who else is told of it.
    """

    bridge: bool | None
    others: list[str]


def leads(config: Mapping[str, Any], labels: Mapping[str, str], address: str) -> Led:
    """Tell where an alert with these labels is led."""
    reached = receivers_of(config, labels)
    others = [name for name in reached if not _is_bridge(config, name, address)]
    arrives = len(others) < len(reached)
    hidden = any(set(webhooks_of(config, name) or ()) == {_SECRET} for name in others)
    silent = [name for name in others if webhooks_of(config, name) == []]
    return Led(None if hidden and not arrives else arrives, [name for name in others if name not in silent])


def hidden(check: str, shown: str) -> Finding:
    """Say that who is told of alerts cannot be seen: newer Alertmanagers show no address of a webhook."""
    return left_out(
        check,
        shown,
        f"it shows no address of a webhook, so which one is the bridge's is not known: name its receiver {BY_HAND!r}",
    )


def _receiver(facts: AlertmanagerFacts, file: Path | None, address: str) -> Finding:
    shown, check = facts.shown, "receiver"
    if file is not None and (finding := _written(facts, file)) is not None:
        return finding
    if facts.config is None:
        return left_out(check, shown, "it does not show its configuration")
    alert = {"alertname": "x", "feature": "x", "environment": "x", "rule_id": "x", "severity": "low", ROUTE_LABEL: "x"}
    arrives = leads(facts.config, alert, address).bridge
    if arrives is None:
        return hidden(check, shown)
    if not arrives:
        return broken(
            check,
            shown,
            "no route of its configuration leads to the bridge: alerts fire, and the history stays empty",
            "let the bridge write the file: set FEATUREWATCH_ALERTMANAGER_CONFIG, and name it in --config.file"
            if file is None
            else "see the file's first route, and what the bridge's log says of it",
        )
    return fine(check, shown, "its configuration leads alerts to the bridge")


def _written(facts: AlertmanagerFacts, file: Path) -> Finding | None:
    """Judge whether it has the file that the bridge wrote; None where nothing speaks against it."""
    shown = facts.shown
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return broken(
            "receiver",
            shown,
            f"ALERTMANAGER_CONFIG {file} does not exist",
            "start the bridge, which writes it, and let Alertmanager's --config.file name it",
        )
    except OSError as error:
        return left_out("receiver", shown, f"ALERTMANAGER_CONFIG {file} cannot be read here ({error.strerror})")
    if facts.hash is None or facts.hash == config_hash(content):
        return None
    return broken(
        "receiver",
        shown,
        f"it has loaded another configuration than the one in {file}",
        f"let its --config.file name {file} (in containers: the same volume), and reload it: POST /-/reload; its log "
        "says why if it refuses",
    )


def _is_bridge(config: Mapping[str, Any], name: str, address: str) -> bool:
    if name == BRIDGE:
        return True
    urls: Sequence[str] | None = webhooks_of(config, name)
    known = {address, _SECRET} if name == BY_HAND else {address}
    return bool(urls) and known.issuperset(urls or ())
