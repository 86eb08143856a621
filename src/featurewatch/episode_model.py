"""The values behind alerts: an episode with all that is known of it, and what is told of it. Free of I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from .alert_model import Alert
from .model import FeatureKey

Change: TypeAlias = Literal["triggered", "updated", "resolved"]


class Place(NamedTuple):
    """What an episode is one of."""

    rule_id: str
    key: FeatureKey


@dataclass(frozen=True, slots=True)
class Instance:
    """One fingerprint of an episode: when it fired and ended (None while it fires), and its labels."""

    starts_ns: int
    ends_ns: int | None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hold:
    """The silence that stands for an episode in Alertmanager, so that nobody is notified of it.

    Attributes:
        silence: its id there, "" while it has none.
        ends_ns: when it ends there if nothing extends it.
        until_ns: when people wanted it to end; None: with the episode.
        by, comment: who asked for it, and why.
    """

    silence: str = ""
    ends_ns: int = 0
    until_ns: int | None = None
    by: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert, and what stands behind it: its instances by fingerprint, and the silence that was asked for."""

    alert: Alert
    instances: Mapping[str, Instance]
    hold: Hold | None = None

    @property
    def place(self) -> Place:
        return Place(self.alert.rule_id, self.alert.key)

    @property
    def open(self) -> bool:
        return self.alert.status != "resolved"

    @property
    def held(self) -> bool:
        """Whether people closed it while its condition holds: it stays silenced until that clears."""
        return not self.open and self.alert.condition_active


class Step(NamedTuple):
    """What something made of an episode, and what that is to those who watch; no changes: nothing to tell."""

    episode: Episode
    changes: tuple[Change, ...]


RemarkKind: TypeAlias = Literal["comment", "delivery", "action"]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something told of an episode besides its state: a comment, a delivery that was seen, what people did.

    Attributes:
        author: who said it; of a delivery, the receiver.
        position: its place in the order of remarks, 0 before it is kept.
    """

    alert_id: str
    kind: RemarkKind
    at_ns: int
    author: str
    text: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A time in which nobody is notified of a feature's alerts; `environment` None: in all of its environments.

    Attributes:
        silence: its id in Alertmanager, "" where there is none.
    """

    id: str
    feature: str
    environment: str | None
    starts_ns: int
    ends_ns: int
    comment: str
    created_by: str
    silence: str = ""

    def covers(self, key: FeatureKey, at_ns: int) -> bool:
        """Whether nobody is notified of a feature's alerts at an instant because of it."""
        same = self.feature == key.feature and self.environment in (None, key.environment)
        return same and self.starts_ns <= at_ns < self.ends_ns
