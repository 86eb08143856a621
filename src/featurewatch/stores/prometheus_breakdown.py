"""What one feature costs by model and fails by kind of error, in PromQL. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from .. import families
from ..families import Family
from ..model import ModelCost
from .prometheus_api import Series
from .promql import Raw, tagged

__all__ = ["costs", "errors", "read_costs", "read_errors"]

_COSTS: Final = (families.COST, families.TOKENS, families.UNPRICED)


def costs(raw: Raw) -> str:
    """Write what each model cost, the tokens it used and the calls that had no price; `raw` matches one feature."""
    return " or ".join(tagged(_gained(raw, family), family.name) for family in _COSTS)


def read_costs(series: Iterable[Series]) -> list[ModelCost]:
    """Read the answer to `costs`, the dearest first; models that nothing happened with are left out."""
    usd: dict[str, dict[str, float]] = defaultdict(dict)
    tokens: dict[str, dict[str, int]] = defaultdict(dict)
    unpriced: dict[str, int] = {}
    models = set()
    for labels, value in series:
        model, stat = labels.get("model", ""), labels.get("stat")
        if value:
            models.add(model)
        if stat == families.COST.name:
            usd[model][labels.get("source", "")] = value
        elif stat == families.TOKENS.name:
            tokens[model][labels.get("kind", "")] = round(value)
        elif stat == families.UNPRICED.name:
            unpriced[model] = round(value)
    found = []
    for model in models:
        spent = usd.get(model, {})
        reported, estimated = spent.get("reported", 0.0), spent.get("estimated", 0.0)
        used = {kind: count for kind, count in tokens.get(model, {}).items() if count}
        found.append(ModelCost(model, reported + estimated, reported, estimated, used, unpriced.get(model, 0)))
    return sorted(found, key=lambda one: (-one.cost_usd, one.model))


def errors(raw: Raw) -> str:
    """Write how many calls failed, by kind of error."""
    return _gained(raw, families.ERRORS)


def read_errors(series: Iterable[Series]) -> dict[str, int]:
    """Read the answer to `errors`, the most frequent first."""
    counts = {labels.get("error_type", ""): round(value) for labels, value in series}
    return {kind: count for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count}


def _gained(raw: Raw, family: Family) -> str:
    return f"sum by ({', '.join(family.labels)}) ({raw.gains(family, raw.matchers)})"
