"""Where the publisher gets its groups: the enabled rules, translated for who evaluates them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from ..alert_model import AlertRule
from ..model import FeatureRecord
from ..stores.alert_base import RuleStore
from ..stores.base import StateStore
from . import loki, prometheus
from .prometheus import Rendering
from .routes import route_of
from .rule_files import file_name, fingerprint
from .rulers import RuleGroup
from .slo import slo_rules

__all__ = ["Translated"]


class Translated:
    """A RuleSource: rules on figures and those of objectives for Prometheus or Mimir, or rules on lines for Loki.

    Args:
        rendering: how they are translated; the environments are those that features are known in at the time.
    """

    def __init__(
        self,
        store: RuleStore,
        state: StateStore,
        kind: Literal["metric", "logs"],
        *,
        rendering: Callable[[], Rendering],
    ) -> None:
        self._store = store
        self._state = state
        self._kind = kind
        self._rendering = rendering

    async def versions(self) -> Mapping[str, str]:
        """Return a word for each rule, by id, that changes with the rule and with where its feature is."""
        records, kept = await self._state.features(), await self._store.versions(self._kind)
        places = {feature: fingerprint(sorted(record.environments)) for feature, record in records.items()}
        told = {id_: f"{one.revision}.{places.get(one.feature, '')}" for id_, one in kept.items()}
        for rule in self._of_objectives(records.values()):
            told[rule.id] = f"{rule.revision}.{places[rule.feature]}"
        return told

    async def groups(self, ids: Collection[str]) -> Sequence[RuleGroup]:
        """Translate rules; one that is gone or disabled by now is left out."""
        records, wanted = await self._state.features(), frozenset(ids)
        rendering = replace(
            self._rendering(), environments={feature: record.environments for feature, record in records.items()}
        )
        kept = [rule for rule in await self._store.rules_by_id(wanted) if rule.enabled and rule.kind == self._kind]
        rules = [*kept, *(rule for rule in self._of_objectives(records.values()) if rule.id in wanted)]
        return [self._translated(rule, rendering) for rule in rules]

    def _of_objectives(self, records: Collection[FeatureRecord]) -> list[AlertRule]:
        return [rule for record in records for rule in slo_rules(record)] if self._kind == "metric" else []

    def _translated(self, rule: AlertRule, rendering: Rendering) -> RuleGroup:
        group = loki.group(rule, rendering) if rule.kind == "logs" else prometheus.group(rule, rendering)
        route = route_of(rule.channels, rule.cooldown_minutes)
        return RuleGroup(rule.id, rule.revision, file_name(rule.feature), group, route)
