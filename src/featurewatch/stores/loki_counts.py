"""How many lines the bridge has of each moment, beside how many Loki says there are: where to look for more. Pure.

Time is cut into buckets as `count_over_time` cuts it: bucket n holds the timestamps above (n - 1) * width, up to and
with n * width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, Literal, NamedTuple, TypeAlias

from ..model import FeatureKey, LogEntry

__all__ = ["Counts", "Knowledge", "Missing", "Span", "Tally", "Verdict", "judge", "spans", "within"]

Counts: TypeAlias = Mapping[tuple[FeatureKey, int], int]
"""Lines by feature and bucket."""

SPAN_LINES: Final = 4_000
"""Buckets that lie close together are fetched together while Loki is expected to answer with one page."""
CLOSE: Final = 3
"""So many buckets apart is still close."""


class Missing(NamedTuple):
    """Of one bucket, how many lines the bridge does not know of, and how many Loki has altogether (`theirs`)."""

    key: FeatureKey
    bucket: int
    lines: int
    theirs: int


class Span(NamedTuple):
    """A range of time to fetch for some features; `start_ns` exclusive, `end_ns` inclusive, as buckets are."""

    start_ns: int
    end_ns: int
    missing: tuple[Missing, ...]

    @property
    def features(self) -> frozenset[str]:
        return frozenset(missing.key.feature for missing in self.missing)

    @property
    def lines(self) -> int:
        """How many lines Loki is expected to answer with at least."""
        return sum(missing.theirs for missing in self.missing)


Knowledge: TypeAlias = Literal["all", "counted", "unknown"]
"""Of a feature's lines from a moment on, the bridge has all ids; how many there were; or neither."""


class Verdict(NamedTuple):
    """What is to be fetched, and what cannot be, since nobody could tell which of the lines are new."""

    fetch: list[Missing]
    lost: list[Missing]


class Tally:
    """Lines that the bridge has, by bucket and feature; and by how many Loki's counts exceed that for good.

    Loki may hold a line twice (pushed again after an answer was lost, or by two shippers): it counts twice there and
    once here. That surplus is noted once all lines of a bucket were looked at, so that they are not fetched again.
    """

    def __init__(self, width_ns: int) -> None:
        self.width_ns = width_ns
        self._ours: dict[int, Counter[FeatureKey]] = {}
        self._surplus: dict[int, dict[FeatureKey, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._ours.values())) + sum(map(len, self._surplus.values()))

    def bucket(self, timestamp_ns: int) -> int:
        """Return the bucket that a timestamp falls into; it ends at `bucket * width_ns`."""
        return -(-timestamp_ns // self.width_ns)

    def add(self, entries: Iterable[LogEntry]) -> None:
        """Count lines that the bridge has from now on."""
        width = self.width_ns
        for (bucket, feature, environment), count in Counter(
            (-(-entry[3] // width), entry[1], entry[2]) for entry in entries
        ).items():
            self._ours.setdefault(bucket, Counter())[FeatureKey(feature, environment)] += count

    def fill(self, counts: Counts) -> None:
        """Count lines that the bridge had from earlier on."""
        for (key, bucket), count in counts.items():
            self._ours.setdefault(bucket, Counter())[key] += count

    def ours(self, key: FeatureKey, bucket: int) -> int:
        counts = self._ours.get(bucket)
        return 0 if counts is None else counts[key]

    def surplus(self, key: FeatureKey, bucket: int) -> int | None:
        """Return by how many Loki's count exceeds ours for good; None where that was never looked at."""
        known = self._surplus.get(bucket)
        return None if known is None else known.get(key)

    def settle(self, key: FeatureKey, bucket: int, theirs: int) -> None:
        """Note that Loki counted so many before all its lines of the bucket were looked at."""
        self._surplus.setdefault(bucket, {})[key] = max(0, theirs - self.ours(key, bucket))

    def write_off(self, key: FeatureKey, bucket: int, lines: int) -> None:
        """Note that so many more lines will never be had."""
        known = self._surplus.setdefault(bucket, {})
        known[key] = known.get(key, 0) + lines

    def forget(self, start_ns: int, end_ns: int) -> None:
        """Forget what lies outside of a range of time."""
        first, last = self.bucket(start_ns), self.bucket(end_ns)
        for table in (self._ours, self._surplus):
            for bucket in [bucket for bucket in table if not first <= bucket <= last]:
                del table[bucket]


def judge(tally: Tally, theirs: Counts, known: Callable[[FeatureKey, int], Knowledge]) -> Verdict:
    """Compare Loki's counts with ours.

    Args:
        known: what the bridge knows of a feature from a timestamp (ns) on. Where that is nothing, Loki's first count
            is what was there before, and only what comes on top of it is missing.
    """
    verdict = Verdict([], [])
    for (key, bucket), count in theirs.items():
        surplus = tally.surplus(key, bucket)
        missing = Missing(key, bucket, count - tally.ours(key, bucket) - (surplus or 0), count)
        knowledge = known(key, (bucket - 1) * tally.width_ns + 1)
        if knowledge == "unknown" and surplus is None:
            tally.settle(key, bucket, count)
        elif missing.lines > 0:
            (verdict.fetch if knowledge == "all" else verdict.lost).append(missing)
    return verdict


def spans(missing: Iterable[Missing], width_ns: int) -> list[Span]:
    """Gather buckets into ranges to fetch, oldest first, so that a range fits a page where buckets are small."""
    found: list[Span] = []
    run: list[Missing] = []
    lines = 0
    for bucket, group in groupby(sorted(missing, key=_bucket), key=_bucket):
        more = list(group)
        weight = sum(one.theirs for one in more)
        if run and (bucket > run[-1].bucket + CLOSE or lines + weight > SPAN_LINES):
            found.append(_span(run, width_ns))
            run, lines = [], 0
        run += more
        lines += weight
    if run:
        found.append(_span(run, width_ns))
    return found


def within(found: Sequence[Span], most: int) -> tuple[list[Span], list[Span]]:
    """Divide ranges into the newest that hold at most so many lines together, and those before them."""
    lines = 0
    for number, span in enumerate(reversed(found)):
        lines += span.lines
        if lines > most and number:
            return list(found[len(found) - number :]), list(found[: len(found) - number])
    return list(found), []


_bucket: Final = itemgetter(1)


def _span(run: Sequence[Missing], width_ns: int) -> Span:
    return Span((run[0].bucket - 1) * width_ns, run[-1].bucket * width_ns, tuple(run))
