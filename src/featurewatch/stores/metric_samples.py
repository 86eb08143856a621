"""Cumulative samples added to the rows of the embedded metric store.

The position of every series (its last sample) is written with the gains that were computed from it, so that
nothing is counted twice or lost, whenever the process dies.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, TypeAlias

import orjson

from .. import families
from ..families import FAMILIES
from ..model import FeatureKey, Sample
from ..times import NS
from .cumulative import Point, gain
from .metric_ledger import Ids, Ledger

__all__ = ["REMEMBERED_NS", "SERIES_LIMIT", "add_samples"]

REMEMBERED_NS: Final = 2 * 24 * 3600 * NS
"""Positions are kept at least so long; an older sample may have been counted before."""

_AHEAD_NS: Final = 600 * NS
"""A process's clock may be so far ahead of this one's."""

_BACK_NS: Final = 60 * NS

SERIES_LIMIT: Final = 5_000
"""So many series one process may have of one feature."""

_RESTARTS: Final = 64
"""Of so many processes that share a name the positions are kept: the ones heard last."""

_SeriesKey: TypeAlias = tuple[str, tuple[str, ...], int]


def add_samples(
    db: sqlite3.Connection, ids: Ids, samples: Iterable[Sample], *, threshold: float, now_ns: int, round_: int
) -> int:
    """Add what cumulative samples gained over the last ones of their series; how many could not be kept is returned.

    Not kept are samples older than the positions of series are kept (they may have been counted long ago), and
    those of more series than one process should have of one feature.
    """
    ledger = Ledger(db, ids, threshold, now_ns)
    groups: dict[tuple[FeatureKey, str], list[Sample]] = defaultdict(list)
    dropped = 0
    for sample in samples:
        if sample.time_ns < now_ns - REMEMBERED_NS:
            dropped += 1
        else:
            groups[sample.key, sample.instance].append(sample)
    for (key, instance), group in groups.items():
        group.sort(key=lambda sample: sample.time_ns)
        process = _Process.load(db, ids.of_key(db, key), instance, now_ns)
        for sample in group:
            process.hear(sample.time_ns)
            if FAMILIES[sample.family].kind == "gauge":
                process.see(sample, ledger)
            else:
                dropped += not process.count(sample, ledger)
        process.save(db, round_, now_ns)
    ledger.write()
    return dropped


class _Process:
    """One feature of one process: when it was heard, its gauges, and the last sample of each of its series."""

    __slots__ = ("before_ns", "budget", "heard_ns", "in_progress", "info", "instance", "k", "points")

    def __init__(self, k: int, instance: str) -> None:
        self.k = k
        self.instance = instance
        self.heard_ns = self.before_ns = 0
        self.in_progress: int | None = None
        self.budget: float | None = None
        self.info: str | None = None
        self.points: dict[_SeriesKey, Point] = {}

    @classmethod
    def load(cls, db: sqlite3.Connection, k: int, instance: str, now_ns: int) -> _Process:
        """Read what is known of a process.

        What lies ahead was noted before the clock was set back. It is dated back a minute, since nothing would count
        as later until the clock is there again.
        """

        def dated(time_ns: int) -> int:
            return time_ns if time_ns <= now_ns + _AHEAD_NS else now_ns - _BACK_NS

        process = cls(k, instance)
        row = db.execute(
            "SELECT heard_ns, before_ns, in_progress, budget, info, points FROM processes WHERE k = ? AND instance = ?",
            (k, instance),
        ).fetchone()
        if row is not None:
            process.heard_ns, process.before_ns, process.in_progress, process.budget, process.info, points = row
            process.heard_ns, process.before_ns = dated(process.heard_ns), dated(process.before_ns)
            process.points = {
                (family, tuple(labels), start_ns): Point(dated(time_ns), value, tuple(counts))
                for family, labels, start_ns, time_ns, value, counts in orjson.loads(points)
            }
        return process

    def hear(self, time_ns: int) -> None:
        if time_ns > self.heard_ns:
            self.before_ns, self.heard_ns = self.heard_ns, time_ns

    def count(self, sample: Sample, ledger: Ledger) -> bool:
        """Add what a counter or histogram gained; False where the process has too many series."""
        sample = _whole(sample)
        name = (sample.family, sample.labels, sample.start_ns)
        last = self.points.get(name)
        if last is None and len(self.points) >= SERIES_LIMIT:
            return False
        heard = self.heard_ns if self.heard_ns < sample.time_ns else self.before_ns
        gained = gain(last, sample, heard if heard < sample.time_ns else 0)
        if gained is not None:
            self.points[name] = Point(sample.time_ns, sample.value, sample.counts)
            ledger.add(self.k, sample.family, sample.labels, gained)
        return True

    def see(self, sample: Sample, ledger: Ledger) -> None:
        """Take over a gauge's value, unless a newer one is known."""
        name = (sample.family, (), 0)
        last = self.points.get(name)
        if last is not None and sample.time_ns <= last.time_ns:
            return
        self.points[name] = Point(sample.time_ns, 0)
        match sample.family:
            case families.IN_PROGRESS.name:
                self.in_progress = int(sample.value)
            case families.BUDGET.name:
                self.budget = sample.value
            case families.INFO.name:
                self.info = _text(dict(zip(families.INFO.labels, sample.labels, strict=True)))
            case families.PROBE.name:
                ledger.probe(self.k, sample.time_ns, sample.value > 0)

    def save(self, db: sqlite3.Connection, round_: int, now_ns: int) -> None:
        self._tidy(now_ns)
        points = orjson.dumps(
            [
                (family, labels, start_ns, point.time_ns, point.value, point.counts)
                for (family, labels, start_ns), point in self.points.items()
            ]
        )
        db.execute(
            "INSERT INTO processes (k, instance, heard_ns, before_ns, round, in_progress, budget, info, points) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET heard_ns = excluded.heard_ns, "
            "before_ns = excluded.before_ns, round = excluded.round, in_progress = excluded.in_progress, "
            "budget = excluded.budget, info = excluded.info, points = excluded.points",
            (self.k, self.instance, self.heard_ns, self.before_ns, round_, self.in_progress, self.budget, self.info,
             points),
        )  # fmt: skip

    def _tidy(self, now_ns: int) -> None:
        """Forget what an earlier process of the same name counted, once it is silent for long or there are many."""
        starts: dict[int, int] = {}
        for (_, _, start_ns), point in self.points.items():
            starts[start_ns] = max(starts.get(start_ns, 0), point.time_ns)
        if len(starts) <= 1:
            return
        newest = sorted(starts, key=starts.__getitem__, reverse=True)[:_RESTARTS]
        kept = {start for start in newest if starts[start] >= self.heard_ns - REMEMBERED_NS}
        if len(kept) < len(starts):
            self.points = {name: point for name, point in self.points.items() if name[2] in kept}


def _whole(sample: Sample) -> Sample:
    """Make whole numbers of counts that came as floating point, so that they are shared in whole numbers."""
    if sample.counts or sample.family == families.COST.name or isinstance(sample.value, int):
        return sample
    return sample._replace(value=round(sample.value))


def _text(value: dict[str, str]) -> str:
    return orjson.dumps(value).decode()
