"""What the stores of alerting answer; raises as the stores of `base` do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..alert_model import AlertRule, Deed, Deployment, RuleKind

__all__ = ["AuditLog", "AuditPage", "RuleStore", "RuleVersion"]


class RuleVersion(NamedTuple):
    """Which edit of a rule there is, and whose it is."""

    feature: str
    revision: int


class RuleStore(Protocol):
    """Keeps rules, and how far each got. An edit and its entry in the audit are kept together or not at all."""

    async def rules(self, feature: str | None = None) -> Sequence[AlertRule]:
        """Return the rules of a feature (None: of all) in the order of their ids, with their deployments."""
        ...

    async def rules_by_id(self, ids: Collection[str]) -> Sequence[AlertRule]:
        """Return those rules of the ids that there are."""
        ...

    async def rule(self, feature: str, rule_id: str) -> AlertRule | None: ...

    async def versions(self, kind: RuleKind) -> Mapping[str, RuleVersion]:
        """Return the feature and revision of each enabled rule of a kind, by id; cheap, also for thousands."""
        ...

    async def create(self, rule: AlertRule, deed: Deed) -> AlertRule:
        """Keep a new rule; Conflict where its feature has one of the same name."""
        ...

    async def replace(self, rule: AlertRule, deed: Deed, *, expected: int | None = None) -> AlertRule:
        """Keep an edit of a rule and return it with its new revision.

        Raises:
            NotFound: it is gone. StaleEdit: `expected` is not its current revision. Conflict: as `create`.
        """
        ...

    async def delete(self, feature: str, rule_id: str, deed: Deed, *, expected: int | None = None) -> AlertRule:
        """Forget a rule and return what it was; raises NotFound and StaleEdit as `replace`."""
        ...

    async def delete_all(self, feature: str, deed: Deed) -> Sequence[AlertRule]:
        """Forget all rules of a feature and return what they were."""
        ...

    async def deploy(self, told: Mapping[str, Deployment]) -> None:
        """Note how far rules got, by id; also of those that are made of objectives."""
        ...

    async def deployments(self, ids: Collection[str]) -> Mapping[str, Deployment]:
        """Return how far rules got, those of which nothing is known left out."""
        ...


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of deeds, newest first; `next_cursor` leads to older ones and is None on the last page."""

    deeds: tuple[Deed, ...]
    next_cursor: str | None = None


class AuditLog(Protocol):
    """Keeps who did what."""

    async def record(self, deed: Deed) -> None: ...

    async def page(
        self,
        *,
        sees: Callable[[str], bool] | None = None,
        features: Collection[str] | None = None,
        actor: str = "",
        action: str = "",
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 100,
        cursor: str = "",
    ) -> AuditPage:
        """Return deeds, newest first.

        Args:
            sees: whether a deed of this feature is to be told; None: of all, those of no feature included.
            features: only deeds of these; None: of all.
            action: `rule.create`, or `rule` for all that begins so.
            start_ns, end_ns: inclusive, exclusive.
        """
        ...
