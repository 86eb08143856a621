"""The rules of all features, as people make them and as their objectives stand for them; who did what is kept."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from .. import alert_wire
from ..alert_model import AlertRule, Deed
from ..errors import Conflict, NotFound, StaleEdit
from ..ids import new_id
from ..model import FeatureRecord
from ..stores.alert_base import RuleStore
from ..stores.base import StateStore
from .rules import read_rule
from .slo import slo_rules

__all__ = ["ChannelNames", "RuleBook"]

ChannelNames: TypeAlias = Callable[[], Awaitable[Collection[str]]]
"""Names the notification channels that there are."""

_ATTEMPTS: Final = 3
"""An edit that another one came before is made anew so often."""

_log = logging.getLogger(__name__)


class RuleBook:
    """Makes, changes and deletes rules. `listen` hears of each change once it is kept.

    Args:
        channels: the channels that rules may name.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self,
        store: RuleStore,
        state: StateStore,
        *,
        channels: ChannelNames,
        clock: Callable[[], int],
        make_id: Callable[[int], str] = new_id,
    ) -> None:
        self._store = store
        self._state = state
        self._channels = channels
        self._clock = clock
        self._make_id = make_id
        self._listeners: list[Callable[[], None]] = []

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` on the event loop after each change that may concern who evaluates rules; returns its end."""
        self._listeners.append(changed)

        def end() -> None:
            if changed in self._listeners:
                self._listeners.remove(changed)

        return end

    def note_change(self) -> None:
        """Tell the listeners: called too when a feature's objective or environments changed."""
        for changed in tuple(self._listeners):
            try:
                changed()
            except Exception:
                _log.exception("a listener to changed rules failed")

    async def channels(self) -> Collection[str]:
        return await self._channels()

    async def all(self) -> Sequence[AlertRule]:
        """Return every rule, those of objectives included."""
        records = await self._state.features()
        kept = await self._store.rules()
        return [*kept, *await self._of_objectives(records.values())]

    async def find(self, ids: Collection[str]) -> Mapping[str, AlertRule]:
        """Return the rules of these ids, those of objectives included; what is gone is left out."""
        found = {rule.id: rule for rule in await self._store.rules_by_id(ids)}
        if missing := set(ids).difference(found):
            records = (await self._state.features()).values()
            found |= {rule.id: rule for rule in await self._of_objectives(records) if rule.id in missing}
        return found

    async def of(self, record: FeatureRecord) -> Sequence[AlertRule]:
        """Return the rules of a feature, those of its objective last."""
        return [*await self._store.rules(record.id), *await self._of_objectives([record])]

    async def rule(self, record: FeatureRecord, rule_id: str) -> AlertRule:
        """Return one rule; NotFound where the feature has none of this id."""
        found = await self._store.rule(record.id, rule_id)
        if found is not None:
            return found
        for rule in await self._of_objectives([record]):
            if rule.id == rule_id:
                return rule
        raise NotFound(f"rule {rule_id!r} of {record.id} does not exist")

    async def read(self, feature: str, body: Any, base: AlertRule | None = None) -> AlertRule:
        """Check a rule without keeping it; see `read_rule`."""
        return read_rule(body, feature, base=base, channels=await self._channels())

    async def create(self, feature: str, body: Any, actor: str) -> AlertRule:
        """Make a rule.

        Raises:
            BadInput, OutOfRange: it is wrong. Conflict: the feature has one of this name.
        """
        now = self._clock()
        rule = replace(
            await self.read(feature, body),
            id=self._make_id(now), created_ns=now, created_by=actor, updated_ns=now, updated_by=actor,
        )  # fmt: skip
        made = await self._store.create(rule, self._deed(actor, "rule.create", rule, {"rule": _told(rule)}))
        self.note_change()
        return made

    async def change(
        self, record: FeatureRecord, rule_id: str, body: Any, actor: str, *, expected: int | None = None
    ) -> AlertRule:
        """Change what a rule's body names; one that changes nothing is no edit.

        Raises:
            BadInput, OutOfRange, Conflict, NotFound. StaleEdit: `expected` is not the rule's revision.
        """
        for attempt in range(_ATTEMPTS):
            current = await self.rule(record, rule_id)
            _check(current, expected)
            edited = await self.read(record.id, body, current)
            changed = alert_wire.changes(current, edited)
            if not changed and edited.origin == current.origin:
                return current
            edited = replace(edited, updated_ns=self._clock(), updated_by=actor)
            deed = self._deed(actor, "rule.change", edited, {"name": edited.name, "changes": changed})
            try:
                kept = await self._store.replace(edited, deed, expected=current.revision)
            except StaleEdit:
                if expected is not None or attempt == _ATTEMPTS - 1:
                    raise
                continue
            self.note_change()
            return kept
        raise AssertionError("the last attempt returns or raises")

    async def delete(self, record: FeatureRecord, rule_id: str, actor: str, *, expected: int | None = None) -> None:
        """Delete a rule; raises NotFound, StaleEdit as `change`, and Conflict where it is of an objective."""
        current = await self.rule(record, rule_id)
        _check(current, expected)
        deed = self._deed(actor, "rule.delete", current, {"rule": _told(current)})
        await self._store.delete(record.id, rule_id, deed, expected=expected)
        self.note_change()

    async def forget(self, feature: str, actor: str) -> None:
        """Delete all rules of a feature that is forgotten."""
        deed = Deed(actor, "rule.delete", feature, feature, self._clock(), {"reason": "the feature was deleted"})
        await self._store.delete_all(feature, deed)
        self.note_change()

    async def _of_objectives(self, records: Collection[FeatureRecord]) -> list[AlertRule]:
        rules = [rule for record in records for rule in slo_rules(record)]
        if not rules:
            return []
        told = await self._store.deployments([rule.id for rule in rules])
        return [replace(rule, deployment=told.get(rule.id)) for rule in rules]

    def _deed(self, actor: str, action: str, rule: AlertRule, details: dict[str, Any]) -> Deed:
        return Deed(actor, action, rule.feature, rule.id, self._clock(), details)


def _check(rule: AlertRule, expected: int | None) -> None:
    if rule.kind == "slo":
        raise Conflict(f"rule {rule.id} is of the objective of {rule.feature}: change the feature's slo instead")
    if expected is not None and expected != rule.revision:
        raise StaleEdit(f"rule {rule.id}: expected revision {expected}, it is {rule.revision}: read it again first")


def _told(rule: AlertRule) -> dict[str, Any]:
    shown = alert_wire.rule(rule)
    return {name: shown[name] for name in alert_wire.RULE_FIELDS if name in shown}
