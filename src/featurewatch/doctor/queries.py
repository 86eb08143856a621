"""Queries of dashboards and rules, run one by one: what fails, what is empty or NaN, and why. Judged by `emptiness`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..stores.upstream import Upstream
from .asking import data_of, get, listed, query
from .emptiness import OK, Seen, Verdict, judge_empty
from .selectors import Selector, selectors_of, streams_of
from .targets import OF_EVERY_BRIDGE

__all__ = ["Answered", "Asked", "LokiQueries", "PrometheusQueries", "Source"]

Source: TypeAlias = Literal["prometheus", "loki"]

AT_ONCE: Final = 4
_WITHIN: Final = "1h"
_CHANGED: Final = "10m"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and where it stands: `Features / Errors (A)`; `source` says whose language it is in."""

    where: str
    expr: str
    source: str = "prometheus"


@dataclass(frozen=True, slots=True)
class Answered:
    """How a query went: `failure` in the upstream's words, else a verdict; `series` counts what it gave."""

    asked: Asked
    series: int = 0
    failure: str = ""
    verdict: Verdict = OK


class PrometheusQueries:
    """Runs PromQL. What was found out about a series is remembered, so each is asked about once.

    Args:
        records: the names that loaded recording rules record.
        declared: metrics that the bridge exports, None where it was not asked.
    """

    def __init__(self, upstream: Upstream, records: frozenset[str], declared: frozenset[str] | None) -> None:
        self._upstream = upstream
        self._records = records
        self._declared = declared
        self._counts: dict[str, asyncio.Task[float]] = {}
        self._labels: dict[str, asyncio.Task[frozenset[str]]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self, asked: Sequence[Asked]) -> list[Answered]:
        return list(await asyncio.gather(*map(self._one, asked)))

    async def _one(self, asked: Asked) -> Answered:
        async with self._gate:
            vector = await query(self._upstream, asked.expr)
        if vector.failure:
            return Answered(asked, failure=vector.failure)
        good = [value for _, value in vector.series if not math.isnan(value)]
        if good:
            return Answered(asked, len(vector.series))
        seen = [await self._seen(selector) for selector in selectors_of(asked.expr)]
        what = "is NaN" if vector.series else "is empty"
        return Answered(asked, len(vector.series), verdict=judge_empty(asked.expr, what, seen))

    async def _seen(self, selector: Selector) -> Seen:
        """Find out what there is of a selector's series."""
        bare = (
            selector.name
            or "{"
            + ",".join(
                f'{label}{operator}"{value}"' for label, operator, value in selector.matchers if label == "__name__"
            )
            + "}"
        )
        if bare == "{}":
            return Seen(selector, 1, 1, frozenset(selector.required), 0, True)
        named = await self._count(f"count(last_over_time({bare}[{_WITHIN}]))")
        if not named:
            scraped = (
                bool(await self._count(f"count({OF_EVERY_BRIDGE})"))
                if selector.name.startswith("featurewatch_")
                else True
            )
            known = selector.name in self._records
            return Seen(selector, 0, 0, frozenset(), 0, known, self._declared, scraped)
        chosen = await self._count(f"count({selector})")
        changed = await self._count(f"max(changes({selector}[{_CHANGED}]))") if chosen else 0
        return Seen(selector, named, chosen, await self._names(bare), changed, True)

    async def _count(self, expression: str) -> float:
        async def ask() -> float:
            async with self._gate:
                vector = await query(self._upstream, expression)
            return max((value for _, value in vector.series), default=0.0)

        if expression not in self._counts:
            self._counts[expression] = asyncio.create_task(ask())
        return await self._counts[expression]

    async def _names(self, selector: str) -> frozenset[str]:
        async def ask() -> frozenset[str]:
            async with self._gate:
                got = await get(self._upstream, "/api/v1/labels", params={"match[]": selector})
            return frozenset(map(str, listed(data_of(got, "data"))))

        if selector not in self._labels:
            self._labels[selector] = asyncio.create_task(ask())
        return await self._labels[selector]


class LokiQueries:
    """Runs LogQL."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self, asked: Sequence[Asked]) -> list[Answered]:
        got = await get(self._upstream, "/loki/api/v1/labels")
        labels = frozenset(map(str, listed(data_of(got, "data"))))
        return list(await asyncio.gather(*(self._one(each, labels) for each in asked)))

    async def _one(self, asked: Asked, labels: frozenset[str]) -> Answered:
        log_query = asked.expr.lstrip().startswith("{")
        path, form = ("query_range", {"limit": "1"}) if log_query else ("query", {})
        async with self._gate:
            got = await get(self._upstream, f"/loki/api/v1/{path}", params={"query": asked.expr, **form})
        if not got:
            return Answered(asked, failure=got.failure)
        result = listed(data_of(got, "data", "result"))
        values = [_number(one) for one in result]
        if (log_query and result) or any(not math.isnan(value) for value in values):
            return Answered(asked, len(result))
        strange = sorted(
            {label for stream in streams_of(asked.expr) for label in stream.required if label not in labels}
        )
        if strange and "feature" in labels:
            return Answered(
                asked,
                len(result),
                verdict=Verdict(
                    "error",
                    f"no stream in Loki has the label {', '.join(strange)}",
                    "correct the label in the query: Loki has " + ", ".join(sorted(labels)[:8]),
                ),
            )
        return Answered(asked, len(result))


def _number(one: Mapping[str, Any]) -> float:
    try:
        return float(one["value"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return math.nan
