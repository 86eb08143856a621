"""The rules of the state as groups for whoever evaluates them: on figures and of objectives, or on lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from ..alert_model import AlertRule, RuleKind
from ..model import FeatureRecord
from ..stores.alert_base import RuleStore
from ..stores.base import StateStore
from . import loki, prometheus
from .prometheus import Rendering
from .routes import route_of
from .rule_files import Group, file_name
from .rulers import RuleGroup
from .slo import slo_rules

__all__ = ["RuleGroups"]

_MANY: Final = 200
"""Rules whose translation would hold up the event loop."""


class RuleGroups:
    """The RuleSource of one language: PromQL for rules on figures and of objectives, LogQL for rules on lines.

    Args:
        lines: rules on lines in place of those on figures.
        default_environment: where a feature stands that was seen nowhere.
    """

    def __init__(
        self,
        rules: RuleStore,
        state: StateStore,
        *,
        lines: bool,
        uptime_threshold: float = 50.0,
        default_environment: str = "production",
    ) -> None:
        self._rules = rules
        self._state = state
        self._kind: RuleKind = "logs" if lines else "metric"
        self._translate: Callable[[AlertRule, Rendering], Group] = loki.group if lines else prometheus.group
        self._uptime_threshold = uptime_threshold
        self._default_environment = default_environment
        self._environments: dict[str, frozenset[str]] = {}
        self._generation = 0

    async def versions(self) -> Mapping[str, str]:
        """Return a word for each enabled rule that changes with its revision, and with where features are seen.

        Where series are absent can be said of known environments alone, so a new one is a new translation.
        """
        records = await self._state.features()
        environments = {record.id: record.environments for record in records.values()}
        if environments != self._environments:
            self._environments = environments
            self._generation += 1
        revisions = {**await self._rules.revisions(self._kind), **self._objectives(records)}
        return {rule: f"{revision}.{self._generation}" for rule, revision in revisions.items()}

    async def groups(self, ids: Collection[str]) -> Sequence[RuleGroup]:
        kept = await self._rules.rules_by_id(ids)
        records = await self._state.features()
        of_objectives = [rule for rule in self._of_objectives(records) if rule.id in ids]
        rules = [rule for rule in (*kept, *of_objectives) if rule.enabled and rule.id in ids]
        rendering = Rendering(self._uptime_threshold, self._environments, self._default_environment)

        def translate() -> list[RuleGroup]:
            return [self._group(rule, rendering) for rule in rules]

        return translate() if len(rules) < _MANY else await asyncio.to_thread(translate)

    def _group(self, rule: AlertRule, rendering: Rendering) -> RuleGroup:
        return RuleGroup(
            rule.id,
            rule.revision,
            file_name(rule.feature),
            self._translate(rule, rendering),
            route_of(rule.channels, rule.cooldown_minutes),
        )

    def _objectives(self, records: Mapping[str, FeatureRecord]) -> dict[str, int]:
        return {rule.id: rule.revision for rule in self._of_objectives(records) if rule.enabled}

    def _of_objectives(self, records: Mapping[str, FeatureRecord]) -> list[AlertRule]:
        if self._kind == "logs":
            return []
        return [rule for record in records.values() for rule in slo_rules(record)]
