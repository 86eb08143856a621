"""What the embedded metric store does to its tables, within one transaction: samples and calls in, gains added.

The position of every series (its last sample) is written with the gains that were computed from it, so that
nothing is counted twice or lost, whenever the process dies.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson

from .. import families
from ..errors import BadInput
from ..families import BUCKETS, FAMILIES
from ..formulas import bucket_of
from ..model import CallReport, FeatureKey, Sample
from ..times import NS
from .cumulative import Gain, Point, apportion, gain, pieces
from .metric_schema import (
    COLUMNS,
    HOURS,
    LATE_S,
    MINUTES,
    PRESENCE,
    TIERS,
    rejudge,
    upsert,
    upsert_labelled,
)  # fmt: skip

__all__ = ["Ids", "Price", "PricedCall", "add_calls", "add_samples", "estimated_cost"]

Price: TypeAlias = Callable[[str, Mapping[str, int]], float | None]
PricedCall: TypeAlias = tuple[CallReport, float | None]
"""A call told by itself and what `estimated_cost` says of it."""

UNKNOWN_MODEL: Final = "unknown"
REPORTED_STANDS_NS: Final = 24 * 3600 * NS
"""A feature whose calls are told one by one is idle, not absent, so long after the last of them."""

_SILENCE_NS: Final = 60 * NS
_FORGOTTEN_NS: Final = 2 * 24 * 3600 * NS
_RESTARTS: Final = 64
_SERIES_LIMIT: Final = 5_000

_AT: Final = {column: index for index, column in enumerate(COLUMNS)}
_HISTOGRAMS: Final = {families.DURATION.name: "d", families.FIRST_TOKEN.name: "f"}
_UPSERT: Final = {tier: upsert(tier) for tier in TIERS}
_UPSERT_LABELLED: Final = {tier: upsert_labelled(tier) for tier in TIERS}
_JUDGE: Final = rejudge("t = :t AND k = :k") + " RETURNING up, down"

_SeriesKey: TypeAlias = tuple[str, tuple[str, ...], int]


@dataclass(slots=True)
class Ids:
    """The numbers that stand for features and label sets in rows. A cache: `forget` after a rollback."""

    keys: dict[FeatureKey, int] = field(default_factory=dict)
    series: dict[tuple[str, tuple[str, ...]], int] = field(default_factory=dict)

    def forget(self) -> None:
        self.keys.clear()
        self.series.clear()

    def of_key(self, db: sqlite3.Connection, key: FeatureKey) -> int:
        if (known := self.keys.get(key)) is None:
            known = self.keys[key] = _number(db, "keys (feature, environment)", "k", "feature, environment", tuple(key))
        return known

    def of_series(self, db: sqlite3.Connection, family: str, labels: tuple[str, ...]) -> int:
        if (known := self.series.get((family, labels))) is None:
            known = _number(db, "series (family, labels)", "s", "family, labels", (family, _text(list(labels))))
            self.series[(family, labels)] = known
        return known


def add_samples(
    db: sqlite3.Connection, ids: Ids, samples: Iterable[Sample], *, threshold: float, now_ns: int, round_: int
) -> int:
    """Add what cumulative samples gained over the last ones of their series; how many could not be kept is returned.

    Not kept are samples older than the positions of series are kept (they may have been counted long ago), and
    those of more series than one process should have of one feature.
    """
    ledger = _Ledger(db, ids, threshold, now_ns)
    groups: dict[tuple[FeatureKey, str], list[Sample]] = defaultdict(list)
    dropped = 0
    for sample in samples:
        if sample.time_ns < now_ns - _FORGOTTEN_NS:
            dropped += 1
        else:
            groups[sample.key, sample.instance].append(sample)
    for (key, instance), group in groups.items():
        group.sort(key=lambda sample: sample.time_ns)
        process = _Process.load(db, ids.of_key(db, key), instance)
        for sample in group:
            process.hear(sample.time_ns)
            if FAMILIES[sample.family].kind == "gauge":
                process.see(sample, ledger)
            else:
                dropped += not process.count(sample, ledger)
        process.save(db, round_, now_ns)
    ledger.write()
    return dropped


def add_calls(
    db: sqlite3.Connection,
    ids: Ids,
    calls: Mapping[FeatureKey, Sequence[PricedCall]],
    *,
    threshold: float,
    now_ns: int,
) -> int:
    """Add calls told one by one, each id of a feature once; how many were new is returned."""
    ledger = _Ledger(db, ids, threshold, now_ns)
    new = 0
    for key, told in calls.items():
        k = ids.of_key(db, key)
        for call, estimate in told:
            if call.id is not None:
                noted = db.execute(
                    "INSERT INTO calls VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (k, call.id, now_ns // NS)
                )
                if not noted.rowcount:
                    continue
            new += 1
            at = call.timestamp_ns
            for family, labels, value, counts in _gains_of(call, estimate):
                ledger.add(k, family, labels, Gain(at, at, value, counts), REPORTED_STANDS_NS)
    ledger.write()
    return new


def estimated_cost(call: CallReport, price: Price) -> float | None:
    """Estimate what a call cost from its model and tokens; None where its cost is reported, or the model unknown.

    Raises:
        BadInput: the tokens contradict each other.
    """
    if call.cost_usd is not None or not call.model or not call.tokens:
        return None
    try:
        return price(call.model, call.tokens)
    except ValueError as error:
        raise BadInput(f"tokens: {error}") from None


def _gains_of(
    call: CallReport, estimate: float | None
) -> Iterable[tuple[str, tuple[str, ...], float, tuple[int, ...]]]:
    model = call.model or UNKNOWN_MODEL
    yield families.REQUESTS.name, (call.outcome,), 1, ()
    yield families.DURATION.name, (), call.duration_s, _one_in(call.duration_s)
    if call.outcome == "error":
        yield families.ERRORS.name, (call.error_type or "other",), 1, ()
    if call.time_to_first_token_s is not None:
        yield families.FIRST_TOKEN.name, (), call.time_to_first_token_s, _one_in(call.time_to_first_token_s)
    for kind, count in call.tokens.items():
        yield families.TOKENS.name, (model, kind), count, ()
    if call.cost_usd is not None:
        yield families.COST.name, (model, "reported"), float(call.cost_usd), ()
    elif estimate is not None:
        yield families.COST.name, (model, "estimated"), estimate, ()
    elif call.tokens:
        yield families.UNPRICED.name, (model,), 1, ()


def _one_in(seconds: float) -> tuple[int, ...]:
    at = bucket_of(seconds)
    return tuple(int(index == at) for index in range(len(BUCKETS) + 1))


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
    def load(cls, db: sqlite3.Connection, k: int, instance: str) -> _Process:
        process = cls(k, instance)
        row = db.execute(
            "SELECT heard_ns, before_ns, in_progress, budget, info, points FROM processes WHERE k = ? AND instance = ?",
            (k, instance),
        ).fetchone()
        if row is not None:
            process.heard_ns, process.before_ns, process.in_progress, process.budget, process.info, points = row
            process.points = {
                (family, tuple(labels), start_ns): Point(time_ns, value, tuple(counts))
                for family, labels, start_ns, time_ns, value, counts in orjson.loads(points)
            }
        return process

    def hear(self, time_ns: int) -> None:
        if time_ns > self.heard_ns:
            self.before_ns, self.heard_ns = self.heard_ns, time_ns

    def count(self, sample: Sample, ledger: _Ledger) -> bool:
        """Add what a counter or histogram gained; False where the process has too many series."""
        sample = _whole(sample)
        name = (sample.family, sample.labels, sample.start_ns)
        last = self.points.get(name)
        if last is None and len(self.points) >= _SERIES_LIMIT:
            return False
        heard = self.heard_ns if self.heard_ns < sample.time_ns else self.before_ns
        gained = gain(last, sample, heard if heard < sample.time_ns else 0)
        if gained is not None:
            self.points[name] = Point(sample.time_ns, sample.value, sample.counts)
            ledger.add(self.k, sample.family, sample.labels, gained)
        return True

    def see(self, sample: Sample, ledger: _Ledger) -> None:
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
        kept = {start for start in newest if starts[start] >= self.heard_ns - _FORGOTTEN_NS}
        if len(kept) < len(starts):
            self.points = {name: point for name, point in self.points.items() if name[2] in kept}


class _Ledger:
    """Gains of one transaction, summed by row before they are written."""

    def __init__(self, db: sqlite3.Connection, ids: Ids, threshold: float, now_ns: int) -> None:
        self._db = db
        self._ids = ids
        self._threshold = threshold
        self._tiers = [(tier, now_ns / NS - tier.held_s - LATE_S) for tier in TIERS]
        self._rows: dict[Any, dict[tuple[int, int], list[float]]] = {tier: {} for tier in TIERS}
        self._labelled: dict[Any, dict[tuple[int, int, int], float]] = {tier: defaultdict(int) for tier in TIERS}
        self._present: dict[int, tuple[int, int, int]] = {}
        self._pieces: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(self, k: int, family: str, labels: tuple[str, ...], gained: Gain, stands_ns: int = 0) -> None:
        """Add a gain to the rows of the time in which it was, and note that the family was there all that time."""
        self._note_presence(k, family, gained.since_ns, gained.until_ns + stands_ns)
        if prefix := _HISTOGRAMS.get(family):
            self._add_histogram(k, prefix, gained)
        elif gained.value:
            parts = self._parts(gained)
            if family == families.REQUESTS.name:
                for end_ns, share in apportion(gained.value, parts):
                    self._add(k, end_ns, _AT[labels[0]], share)
            else:
                s = self._ids.of_series(self._db, family, labels)
                for end_ns, share in apportion(gained.value, parts):
                    for tier, oldest in self._tiers:
                        if (t := tier.time_of(end_ns)) >= oldest:
                            self._labelled[tier][t, k, s] += share

    def probe(self, k: int, time_ns: int, ok: bool) -> None:
        self._add(k, time_ns, _AT["ok" if ok else "failed"], 1)

    def write(self) -> None:
        """Write the sums, judge the minutes they fell in, and carry the verdicts to the hours."""
        db = self._db
        minutes = list(self._rows[MINUTES])
        was = {row: self._verdict(*row) for row in minutes}
        for tier in TIERS:
            db.executemany(_UPSERT[tier], ((*row, *sums) for row, sums in sorted(self._rows[tier].items())))
            labelled = sorted(self._labelled[tier].items())
            db.executemany(_UPSERT_LABELLED[tier], ((*row, value) for row, value in labelled))
        changes: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        for t, k in minutes:
            up, down = db.execute(_JUDGE, {"threshold": self._threshold, "t": t, "k": k}).fetchone()
            was_up, was_down = was[t, k]
            if (up, down) != (was_up, was_down):
                change = changes[t // HOURS.width_s * HOURS.width_s, k]
                change[0] += up - was_up
                change[1] += down - was_down
        db.executemany(
            "UPDATE hours SET up = up + ?, down = down + ? WHERE t = ? AND k = ?",
            ((*change, *row) for row, change in changes.items()),
        )
        for k, (bits, from_ns, to_ns) in self._present.items():
            self._write_presence(k, bits, from_ns, to_ns)

    def _verdict(self, t: int, k: int) -> tuple[int, int]:
        found: tuple[int, int] | None = self._db.execute(
            "SELECT up, down FROM minutes WHERE t = ? AND k = ?", (t, k)
        ).fetchone()
        return found or (0, 0)

    def _add_histogram(self, k: int, prefix: str, gained: Gain) -> None:
        observed = sum(gained.counts)
        if not observed:
            return
        parts = self._parts(gained)
        placed: dict[int, int] = defaultdict(int)
        for index, count in enumerate(gained.counts):
            for end_ns, share in apportion(count, parts):
                self._add(k, end_ns, _AT[f"{prefix}{index}"], share)
                placed[end_ns] += int(share)
        for end_ns, count in placed.items():
            self._add(k, end_ns, _AT[f"{prefix}_sum"], gained.value * (count / observed))

    def _parts(self, gained: Gain) -> list[tuple[int, int]]:
        span = gained[:2]
        if (parts := self._pieces.get(span)) is None:
            parts = self._pieces[span] = pieces(*span)
        return parts

    def _add(self, k: int, end_ns: int, column: int, amount: float) -> None:
        for tier, oldest in self._tiers:
            if (t := tier.time_of(end_ns)) >= oldest:
                rows = self._rows[tier]
                if (sums := rows.get((t, k))) is None:
                    sums = rows[t, k] = [0] * len(COLUMNS)
                sums[column] += amount

    def _note_presence(self, k: int, family: str, from_ns: int, to_ns: int) -> None:
        bits, earliest, latest = self._present.get(k, (0, from_ns, to_ns))
        self._present[k] = bits | PRESENCE[family], min(earliest, from_ns), max(latest, to_ns)

    def _write_presence(self, k: int, bits: int, from_ns: int, to_ns: int) -> None:
        extended = self._db.execute(
            "UPDATE presence SET from_ns = min(from_ns, :from), to_ns = max(to_ns, :to) WHERE rowid = ("
            "SELECT rowid FROM presence WHERE k = :k AND to_ns >= :from - :silence AND from_ns <= :to + :silence "
            "AND families & :bits = :bits ORDER BY to_ns DESC LIMIT 1)",
            {"k": k, "bits": bits, "from": from_ns, "to": to_ns, "silence": _SILENCE_NS},
        )
        if not extended.rowcount:
            self._db.execute("INSERT INTO presence VALUES (?, ?, ?, ?)", (k, bits, from_ns, to_ns))


def _whole(sample: Sample) -> Sample:
    """Make whole numbers of counts that came as floating point, so that they are shared in whole numbers."""
    if sample.counts or sample.family == families.COST.name or isinstance(sample.value, int):
        return sample
    return sample._replace(value=round(sample.value))


def _number(db: sqlite3.Connection, table: str, column: str, unique: str, values: tuple[str, ...]) -> int:
    marks = ", ".join("?" * len(values))
    row = db.execute(
        f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({unique}) DO UPDATE SET {column} = {column} "
        f"RETURNING {column}",
        values,
    ).fetchone()
    return int(row[0])


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
