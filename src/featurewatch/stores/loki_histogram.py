"""How many lines there are in each step of a range of time: counted by Loki where it can tell exactly, else by us."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from ..errors import UpstreamError
from ..model import LogEntry
from ..times import NS
from . import logql
from .loki_fetch import QUERY_RANGE, Ask, Fetcher

__all__ = ["counts"]

QUERY: Final = "/loki/api/v1/query"
STEPS: Final = 10_000
"""Loki answers at most 11,000 steps."""
_MS: Final = 10**6


async def counts(
    fetcher: Fetcher,
    ask: Ask,
    start_ns: int,
    end_ns: int,
    step_s: int,
    lines: AsyncIterator[list[LogEntry]],
) -> list[int]:
    """Count the lines that pass in each step of (start, end], oldest first; a step includes its end.

    What was pushed twice, after an answer was lost, Loki may count twice, though it reads it once: it drops what comes
    again only while it holds the line in the block that it writes.

    Args:
        lines: the lines themselves, for a search, and for steps that Loki would move to multiples of their length.

    Raises:
        Unavailable, UpstreamError, TooMany: Loki's.
    """
    step_ns = step_s * NS
    counted = [0] * max(0, -(-(end_ns - start_ns) // step_ns))
    if not counted:
        return counted
    if ask.filter.search or not _suits(start_ns, end_ns, step_ns):
        async for chunk in lines:
            for entry in chunk:
                counted[(entry.timestamp_ns - start_ns - 1) // step_ns] += 1
        return counted
    if len(counted) == 1:
        query = logql.counting(ask.selection, ask.filter, (end_ns - start_ns) // _MS)
        told = await fetcher.ask(QUERY, {"query": query, "time": str(end_ns)})
        counted[0] = sum(count for _, count in _values(told, "value"))
        return counted
    query = logql.counting(ask.selection, ask.filter, step_ns // _MS)
    most = max(1, min(STEPS, fetcher.range_ns // step_ns))
    for first in range(0, len(counted), most):
        last = min(first + most, len(counted))
        params = {
            "query": query,
            # A step is told at its end.
            "start": str(start_ns + (first + 1) * step_ns),
            "end": str(start_ns + last * step_ns),
            "step": f"{step_s}s",
        }
        for at_s, count in _values(await fetcher.ask(QUERY_RANGE, params), "values"):
            counted[(round(at_s) * NS - start_ns) // step_ns - 1] += count
    return counted


def _suits(start_ns: int, end_ns: int, step_ns: int) -> bool:
    """Tell whether Loki can count the steps: several by multiples of their length alone, one wherever it is."""
    length = end_ns - start_ns
    if length <= step_ns:
        return length % _MS == 0
    return start_ns % step_ns == 0 and length % step_ns == 0


def _values(told: Any, name: str) -> Iterator[tuple[float, int]]:
    try:
        for series in told["result"]:
            for at_s, count in [series[name]] if name == "value" else series[name]:
                yield float(at_s), int(count)
    except (KeyError, TypeError, ValueError):
        raise UpstreamError(f"expected counts of Loki, got {str(told)[:80]!r}") from None
