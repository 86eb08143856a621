"""What is published to whoever evaluates rules, and the seams around it: where groups come from, and where they go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ..alert_model import DeploymentState
from .routes import Route
from .rule_files import Group

__all__ = ["Progress", "Report", "RuleGroup", "RuleSource", "RuleTarget", "SeenGroup", "SeenRule"]


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """One alert rule, translated: a group of its own.

    Attributes:
        id, revision: of the alert rule.
        file: the file that it belongs into, or the namespace where a ruler is told by its API.
        route: who is told of its alerts.
    """

    id: str
    revision: int
    file: str
    group: Group
    route: Route


class RuleSource(Protocol):
    """Where the groups come from: every enabled rule that this target is to evaluate."""

    async def versions(self) -> Mapping[str, str]:
        """Return for each rule that is to be live, by id, a word that changes when its translation may. Cheap."""
        ...

    async def groups(self, ids: Collection[str]) -> Sequence[RuleGroup]:
        """Translate rules; one that is gone by now is left out."""
        ...


Progress: TypeAlias = Callable[[Collection[str], DeploymentState], None]
"""Told how far rules have come, on the event loop."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a publication.

    Attributes:
        refused: rules that did not pass, by id, each with the reason; what was live of them before still is.
        blocked: rules for which there is no place until somebody makes one, by id, each with the reason.
        waiting: why the rest is not proven live yet, "" where it is: somebody cannot be reached, or does not read
            what was written. To be tried again.
    """

    refused: Mapping[str, str] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class SeenRule:
    """A rule as a server shows it. `health` is ok, err or unknown; `evaluated_ns` 0: not yet since it was loaded.

    `keep_firing_s` is None where the server does not show it: Prometheus before 2.42, Loki.
    """

    alert: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    for_s: float
    keep_firing_s: float | None
    health: str
    error: str
    evaluated_ns: int


@dataclass(frozen=True, slots=True)
class SeenGroup:
    """A group as a server shows it; `file` is where it read it, or its namespace."""

    name: str
    file: str
    rules: tuple[SeenRule, ...]


class RuleTarget(Protocol):
    """Somewhere rules are evaluated: Prometheus over files, Mimir's ruler, Loki's ruler."""

    name: str
    """As messages call it."""

    async def open(self) -> None:
        """Take possession, and repair what a crash left.

        Raises:
            StoreLocked: another bridge has it. Unavailable: it cannot be used.
        """
        ...

    async def publish(self, wanted: Mapping[str, RuleGroup], changed: Collection[str], progress: Progress) -> Report:
        """Make `wanted`, and nothing else of ours, what is evaluated, and prove that it is.

        Args:
            changed: the ids that differ from what this was asked to publish last; removed ones too.
            progress: told of those of `changed` that were written, and loaded.

        Raises:
            Unavailable, UpstreamError: nothing was changed; the message says why and what to do.
        """
        ...

    async def seen(self, names: Collection[str] = ()) -> Sequence[Mapping[str, SeenGroup]]:
        """Return our groups as each server shows them, by name; raises where one cannot be asked.

        Args:
            names: these are enough; empty: all.
        """
        ...

    async def drifted(self) -> str:
        """Say what somebody else changed of what was published, "" where nothing is."""
        ...

    async def close(self) -> None: ...
