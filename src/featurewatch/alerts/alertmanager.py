"""Channels and cooldowns as routes and receivers of Alertmanager, added to the operator's own configuration. Pure.

route (theirs)
  ├─ featurewatch_route="doctor" ──► the bridge alone: test alerts of `featurewatch doctor`
  ├─ everything of ours ──────────► the bridge, `continue`: history, at once
  ├─ featurewatch_route="ops@60m" ─► the channels of this combination, repeated after its cooldown
  │     └─ by severity, where a channel wants only some
  ├─ …
  └─ their own routes
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..alert_model import SEVERITIES, Channel
from ..model import Severity
from .alertmanager_base import Base
from .alertmanager_channels import Abilities, Integration, Secrets, Unfit, integration_of
from .routes import NOBODY, ROUTE_LABEL, TEST_LABEL, TESTS, Route, route_label

__all__ = ["BRIDGE", "HEADER", "Bridge", "Rendered", "render"]

HEADER: Final = "# Written by featurewatch. What is changed here is overwritten: change your own configuration.\n"

BRIDGE: Final = "featurewatch/bridge"
"""The receiver that is the bridge itself."""

OURS: Final = f'{ROUTE_LABEL}=~".+"'
GROUP_WAIT: Final = "10s"
REPEAT_TO_BRIDGE: Final = "1h"
_LONGEST_MINUTES: Final = 7200
"""What Alertmanager remembers of a notification by default (--data.retention 120h): a longer pause would be cut."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """How Alertmanager reaches the bridge.

    Attributes:
        url: of the webhook.
        token_file: the file with the bearer token, as Alertmanager sees it; "": the token itself is shown to it.
        published: the name of that file where it is published with the secrets of channels, "" where it is not.
    """

    url: str
    token_file: str = ""
    token: str = field(default="", repr=False)
    published: str = ""

    def webhook(self, path: str = "") -> dict[str, Any]:
        """Write a webhook_config that leads to the bridge, past every proxy."""
        shown = {"credentials_file": self.token_file} if self.token_file else {"credentials": self.token}
        authorization = {"http_config": {"authorization": shown}} if self.token_file or self.token else {}
        return {"url": f"{self.url}{path}", "send_resolved": True, **authorization}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration, and what came of the channels in it.

    Attributes:
        secrets: the files of secrets that it names.
        bridged: channels that the bridge tells in Alertmanager's place.
        unfit: channels that nobody can tell, with the reason.
    """

    text: str = field(repr=False)
    secrets: frozenset[str]
    bridged: frozenset[str]
    unfit: Mapping[str, str]


def render(
    base: Base,
    routes: Iterable[Route],
    channels: Mapping[str, Channel],
    *,
    abilities: Abilities,
    bridge: Bridge | None,
    secrets: Secrets,
    without: Collection[str] = (),
) -> Rendered:
    """Add routes and receivers for combinations of channels and cooldown to a configuration.

    Args:
        bridge: None where Alertmanager cannot reach it.
        without: channels to leave out.
    """
    told = {name: channels[name] for route in routes for name in route.channels if name in channels}
    integrations: dict[str, Integration] = {}
    unfit: dict[str, str] = {}
    for name, channel in sorted(told.items()):
        if name in without:
            continue
        try:
            integrations[name] = integration_of(
                channel,
                abilities,
                secrets,
                None if bridge is None else bridge.webhook(f"/channels/{name}"),
                base.http_config,
                mail_is_set=bool(base.option("smtp_smarthost") and base.option("smtp_from")),
            )
        except Unfit as error:
            unfit[name] = str(error)
    receivers: dict[str, list[Integration]] = {}
    branches = [_branch(route, told, integrations, receivers) for route in sorted(set(routes)) if route.channels]
    ours = [_tests_to_bridge(), _to_bridge()] if bridge is not None else []
    listed = [{"name": BRIDGE, "webhook_configs": [bridge.webhook()]}] if bridge is not None else []
    listed += [_receiver(name, entries) for name, entries in sorted(receivers.items())]
    text = base.add(routes=[*ours, *branches], receivers=listed, inhibit_rules=_inhibitions(), header=HEADER)
    used = {file for name in integrations for file in told[name].secrets.values() if file in text}
    if bridge is not None and bridge.published:
        used.add(bridge.published)
    bridged = frozenset(name for name, integration in integrations.items() if integration.bridged)
    return Rendered(text, frozenset(used), bridged, unfit)


def intervals(cooldown_minutes: int) -> dict[str, str]:
    """Return when a group is told of again: of changes soon, of nothing new after the cooldown.

    Alertmanager looks at a group every group_interval and repeats at the first look after repeat_interval is over, so
    a reminder comes up to one group_interval late. It divides the cooldown, and is 30 s at most.
    """
    cooldown = min(cooldown_minutes, _LONGEST_MINUTES)
    return {"group_interval": f"{min(3, cooldown) * 10}s", "repeat_interval": _duration(cooldown)}


def _tests_to_bridge() -> dict[str, Any]:
    return {
        "receiver": BRIDGE,
        "matchers": [f'{ROUTE_LABEL}="{TESTS}"'],
        "group_by": [TEST_LABEL],
        "group_wait": "0s",
        "group_interval": "10s",
        "repeat_interval": REPEAT_TO_BRIDGE,
    }


def _to_bridge() -> dict[str, Any]:
    return {
        "receiver": BRIDGE,
        "matchers": [OURS],
        "continue": True,
        "group_by": ["feature"],
        "group_wait": "0s",
        "group_interval": "10s",
        "repeat_interval": REPEAT_TO_BRIDGE,
    }


def _branch(
    route: Route,
    channels: Mapping[str, Channel],
    integrations: Mapping[str, Integration],
    receivers: dict[str, list[Integration]],
) -> dict[str, Any]:
    """Make the route of one combination, and enter its receivers."""
    label = route_label(*route)
    groups: dict[tuple[str, ...], list[Severity]] = {}
    for severity in SEVERITIES:
        wanting = tuple(
            name
            for name in route.channels
            if name in channels and (not channels[name].severities or severity in channels[name].severities)
        )
        groups.setdefault(wanting, []).append(severity)
    branch: dict[str, Any] = {
        "receiver": f"featurewatch/{label}",
        "matchers": [f'{ROUTE_LABEL}="{label}"'],
        "group_by": ["feature", "environment"],
        "group_wait": GROUP_WAIT,
        **intervals(route.cooldown_minutes),
    }
    children = []
    for wanting, severities in groups.items():
        name = branch["receiver"] if len(groups) == 1 else f"{branch['receiver']}/{'+'.join(severities)}"
        receivers[name] = [integrations[channel] for channel in wanting if channel in integrations]
        if len(groups) > 1:
            children.append({"receiver": name, "matchers": [f'severity=~"{"|".join(severities)}"']})
    if children:
        receivers[branch["receiver"]] = []
        branch["routes"] = children
    return branch


def _receiver(name: str, entries: Sequence[Integration]) -> dict[str, Any]:
    receiver: dict[str, Any] = {"name": name}
    for entry in entries:
        receiver.setdefault(entry.key, []).append(dict(entry.config))
    return receiver


def _inhibitions() -> list[dict[str, Any]]:
    """Let an alert that has channels silence the less severe ones of the same feature, environment and metric."""
    rules = []
    for position in range(len(SEVERITIES) - 1, 0, -1):
        lower = "|".join(reversed(SEVERITIES[:position]))
        rules.append(
            {
                "source_matchers": [OURS, f'{ROUTE_LABEL}!="{NOBODY}"', f'severity="{SEVERITIES[position]}"'],
                "target_matchers": [OURS, f'severity=~"{lower}"'],
                "equal": ["feature", "environment", "metric"],
            }
        )
    return rules


def _duration(minutes: int) -> str:
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
