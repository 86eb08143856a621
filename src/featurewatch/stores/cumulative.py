"""From cumulative samples to what was gained between them, and to the minutes in which it was. Pure.

A counter tells its total since its start; a store keeps what it gained. The rules, for one series of one process
(the same instance and start):

- first seen: its whole value, gained since its start, or since the process was last heard, which told of no such
  series then;
- later, and not below the last value: the difference;
- later, and below it: the process counted anew without saying so, the whole value;
- not later: a duplicate, or overtaken on the way. Nothing is lost by ignoring it, since the later one contains it.

https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from ..model import Sample
from ..times import NS

__all__ = ["Gain", "Point", "apportion", "gain", "pieces"]

MINUTE_NS: Final = 60 * NS
HOUR_NS: Final = 3600 * NS

_AT_MOST_NS: Final = 30 * 24 * HOUR_NS
_GRADES: Final = ((HOUR_NS, 24 * HOUR_NS), (15 * MINUTE_NS, HOUR_NS), (MINUTE_NS, 1))
"""Widths of pieces, each up to so long before the end. What lies far back is shared coarsely, so that the first push
after a day without the bridge is not a thousand rows for each series."""


class Point(NamedTuple):
    """What is remembered of a series: its last sample."""

    time_ns: int
    value: float
    counts: tuple[int, ...] = ()


class Gain(NamedTuple):
    """What a series gained after `since_ns`, up to and including `until_ns`."""

    since_ns: int
    until_ns: int
    value: float
    counts: tuple[int, ...] = ()


def gain(last: Point | None, sample: Sample, heard_ns: int) -> Gain | None:
    """Compare a sample with the last one of its series; None where it tells nothing new.

    Args:
        heard_ns: when the process was last heard before this sample, whatever it told; 0 where it never was.
    """
    if last is None:
        if not sample.start_ns and not heard_ns:  # counted since nobody knows when: a base line
            return Gain(sample.time_ns, sample.time_ns, 0, (0,) * len(sample.counts))
        since = min(max(sample.start_ns, heard_ns), sample.time_ns)
        return Gain(since, sample.time_ns, sample.value, sample.counts)
    if sample.time_ns <= last.time_ns:
        return None
    if _fell(last, sample):
        return Gain(last.time_ns, sample.time_ns, sample.value, sample.counts)
    counts = tuple(now - before for now, before in zip(sample.counts, last.counts, strict=True))
    return Gain(last.time_ns, sample.time_ns, max(0, sample.value - last.value), counts)


def _fell(last: Point, sample: Sample) -> bool:
    if sample.counts:
        return any(now < before for now, before in zip(sample.counts, last.counts, strict=True))
    return sample.value < last.value


def pieces(since_ns: int, until_ns: int) -> list[tuple[int, int]]:
    """Cut the time in which something was gained into (end, length) pieces, oldest first, in nanoseconds.

    Up to a minute is one piece. Longer gaps (the bridge or the way to it was down) are cut at the minutes of the
    last hour before `until_ns`, at the quarters of the last day, and at the hours before, 30 days back at most.
    """
    if until_ns - since_ns <= MINUTE_NS:
        return [(until_ns, max(1, until_ns - since_ns))]
    edges = [max(since_ns, until_ns - _AT_MOST_NS)]
    for width, reach in _GRADES:
        edges += range((edges[-1] // width + 1) * width, until_ns - reach + 1, width)
    edges.append(until_ns)
    return [(end, end - start) for start, end in pairwise(edges)]


def apportion(total: float, parts: Sequence[tuple[int, int]]) -> list[tuple[int, float]]:
    """Share a total among (end, length) pieces by their lengths: (end, share), shares of 0 left out.

    An int is shared in ints whose sum is exactly the total; each share is within 1 of the even one.
    """
    if len(parts) == 1 or not total:
        return [(parts[-1][0], total)] if total else []
    ends = list(accumulate(length for _, length in parts))
    whole = ends[-1]
    if not isinstance(total, int):
        return [(end, total * length / whole) for end, length in parts]
    if total < len(parts):
        shares: dict[int, float] = {}
        for nth in range(1, total + 1):
            end = parts[bisect_left(ends, -(-nth * whole // total))][0]
            shares[end] = shares.get(end, 0) + 1
        return list(shares.items())
    given = [0, *(total * end // whole for end in ends)]
    return [(end, now - before) for (end, _), (before, now) in zip(parts, pairwise(given), strict=True) if now > before]
