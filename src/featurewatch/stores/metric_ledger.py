"""Gains added to the rows of the embedded metric store's tiers, within one transaction."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import orjson

from .. import families
from ..model import FeatureKey
from ..times import NS
from .cumulative import Gain, apportion, pieces
from .metric_schema import COLUMNS, HOURS, LATE_S, MINUTES, PRESENCE, TIERS, Tier, rejudge, upsert, upsert_labelled

__all__ = ["Ids", "Ledger"]

_SILENCE_NS: Final = 60 * NS
"""A feature that was not heard for so long was away in between."""

_AT: Final = {column: index for index, column in enumerate(COLUMNS)}
_HISTOGRAMS: Final = {families.DURATION.name: "d", families.FIRST_TOKEN.name: "f"}
_UPSERT: Final = {tier: upsert(tier) for tier in TIERS}
_UPSERT_LABELLED: Final = {tier: upsert_labelled(tier) for tier in TIERS}
_JUDGE: Final = rejudge("t = :t AND k = :k") + " RETURNING up, down"


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
            known = _number(
                db, "series (family, labels)", "s", "family, labels", (family, orjson.dumps(labels).decode())
            )
            self.series[(family, labels)] = known
        return known


class _Rows:
    """What is to be added to the rows of one tier."""

    __slots__ = ("labelled", "oldest", "sums", "tier")

    def __init__(self, tier: Tier, now_ns: int) -> None:
        self.tier = tier
        self.oldest = now_ns / NS - tier.held_s - LATE_S
        self.sums: dict[tuple[int, int], list[float]] = {}
        self.labelled: dict[tuple[int, int, int], float] = {}

    def write(self, db: sqlite3.Connection) -> None:
        db.executemany(_UPSERT[self.tier], ((*row, *sums) for row, sums in sorted(self.sums.items())))
        db.executemany(_UPSERT_LABELLED[self.tier], ((*row, value) for row, value in sorted(self.labelled.items())))


class Ledger:
    """Gains of one transaction, summed by row before they are written."""

    def __init__(self, db: sqlite3.Connection, ids: Ids, threshold: float, now_ns: int) -> None:
        self._db = db
        self._ids = ids
        self._threshold = threshold
        self._tiers = [_Rows(tier, now_ns) for tier in TIERS]
        self._present: dict[int, tuple[int, int, int]] = {}
        self._pieces: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(self, k: int, family: str, labels: tuple[str, ...], gained: Gain, stands_ns: int = 0) -> None:
        """Add a gain to the rows of the time in which it was, and note that the family was there all that time."""
        self._note_presence(k, family, gained.since_ns, gained.until_ns + stands_ns)
        if prefix := _HISTOGRAMS.get(family):
            self._add_histogram(k, prefix, gained)
        elif gained.value:
            shares = apportion(gained.value, self._parts(gained))
            if family == families.REQUESTS.name:
                for end_ns, share in shares:
                    self._add(k, end_ns, _AT[labels[0]], share)
            else:
                s = self._ids.of_series(self._db, family, labels)
                for end_ns, share in shares:
                    self._add_labelled(k, end_ns, s, share)

    def probe(self, k: int, time_ns: int, ok: bool) -> None:
        self._add(k, time_ns, _AT["ok" if ok else "failed"], 1)

    def write(self) -> None:
        """Write the sums, judge the minutes they fell in, and carry the verdicts to the hours."""
        minutes = next(list(rows.sums) for rows in self._tiers if rows.tier is MINUTES)
        was = {row: self._verdict(*row) for row in minutes}
        for rows in self._tiers:
            rows.write(self._db)
        changes: dict[tuple[int, int], list[int]] = {}
        for t, k in minutes:
            up, down = self._db.execute(_JUDGE, {"threshold": self._threshold, "t": t, "k": k}).fetchone()
            was_up, was_down = was[t, k]
            if (up, down) != (was_up, was_down):
                change = changes.setdefault((t // HOURS.width_s * HOURS.width_s, k), [0, 0])
                change[0] += up - was_up
                change[1] += down - was_down
        self._db.executemany(
            "UPDATE hours SET up = up + ?, down = down + ? WHERE t = ? AND k = ?",
            ((*change, *row) for row, change in changes.items()),
        )
        for k, (bits, from_ns, to_ns) in self._present.items():
            self._write_presence(k, bits, from_ns, to_ns)

    def _verdict(self, t: int, k: int) -> tuple[int, int]:
        row: tuple[int, int] | None = self._db.execute(
            "SELECT up, down FROM minutes WHERE t = ? AND k = ?", (t, k)
        ).fetchone()
        return row or (0, 0)

    def _add_histogram(self, k: int, prefix: str, gained: Gain) -> None:
        observed = sum(gained.counts)
        if not observed:
            return
        parts = self._parts(gained)
        placed: dict[int, float] = defaultdict(int)
        for index, count in enumerate(gained.counts):
            if count:
                for end_ns, share in apportion(count, parts):
                    self._add(k, end_ns, _AT[f"{prefix}{index}"], share)
                    placed[end_ns] += share
        for end_ns, here in placed.items():  # the sum goes where the observations went
            self._add(k, end_ns, _AT[f"{prefix}_sum"], gained.value * (here / observed))

    def _parts(self, gained: Gain) -> list[tuple[int, int]]:
        span = gained[:2]
        if (parts := self._pieces.get(span)) is None:
            parts = self._pieces[span] = pieces(*span)
        return parts

    def _add(self, k: int, end_ns: int, column: int, amount: float) -> None:
        for rows in self._tiers:
            if (t := rows.tier.time_of(end_ns)) >= rows.oldest:
                if (sums := rows.sums.get((t, k))) is None:
                    sums = rows.sums[t, k] = [0] * len(COLUMNS)
                sums[column] += amount

    def _add_labelled(self, k: int, end_ns: int, s: int, amount: float) -> None:
        for rows in self._tiers:
            if (t := rows.tier.time_of(end_ns)) >= rows.oldest:
                rows.labelled[t, k, s] = rows.labelled.get((t, k, s), 0) + amount

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


def _number(db: sqlite3.Connection, table: str, column: str, unique: str, values: tuple[str, ...]) -> int:
    marks = ", ".join("?" * len(values))
    row = db.execute(
        f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({unique}) DO UPDATE SET {column} = {column} "
        f"RETURNING {column}",
        values,
    ).fetchone()
    return int(row[0])
