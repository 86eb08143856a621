"""Calls told one by one where figures are read from Prometheus: counted here, shown on the bridge's own /metrics.

The totals and the ids that they hold are one SQLite file, written together before a call is acknowledged. So totals
only grow, a bridge's restart included, and what Prometheus did not scrape before one it scrapes after it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from ..exporter.snapshot import Snapshot
from ..model import CallReport, FeatureKey
from ..times import NS
from .group_commit import GroupWriter
from .metric_calls import Price, PricedCall, check_times, estimated_cost
from .sqlite import connect, create
from .tally import Tally

__all__ = ["CallTotals"]

SCHEMA: Final = """
CREATE TABLE ids (
    feature TEXT NOT NULL, environment TEXT NOT NULL, id TEXT NOT NULL, told_s INTEGER NOT NULL,
    PRIMARY KEY (feature, environment, id)
) WITHOUT ROWID;
CREATE INDEX ids_by_time ON ids (told_s);
CREATE TABLE totals (
    feature TEXT NOT NULL, environment TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (feature, environment)
) WITHOUT ROWID;
"""
VERSION: Final = 1

IDS_HELD_S: Final = 86_400
"""An id is known for a day after its call was told."""

_QUEUE: Final = 100_000
"""So many calls wait for the disk at most; above it: TooMany."""

_FORGET_EVERY_S: Final = 60


class CallTotals:
    """Counts finished calls, each id once within a day.

    A call counts when it is scraped, whenever it happened: Prometheus knows no other time.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, clock: Callable[[], int], price: Price) -> None:
        """Use `open`."""
        self._clock = clock
        self._price = price
        self._tallies: dict[FeatureKey, Tally] = {}
        self._forgot_s = 0
        self._shown = {
            key: Tally.restore(key, orjson.loads(state)).snapshot()
            for feature, environment, state in connection.execute("SELECT feature, environment, state FROM totals")
            for key in (FeatureKey(feature, environment),)
        }
        self._writer = GroupWriter(
            connection, path, capacity=_QUEUE, undone=self._tallies.clear, name="featurewatch-calls"
        )

    @classmethod
    async def open(cls, path: Path, *, price: Price, clock: Callable[[], int] = time.time_ns) -> CallTotals:
        """Open the file, or make it.

        Raises:
            Unavailable: it cannot be opened, is corrupt, or of another version.
        """

        def opened() -> CallTotals:
            connection = connect(path)
            try:
                create(connection, path, version=VERSION, schema=SCHEMA)
                return cls(path, connection, clock=clock, price=price)
            except BaseException:
                connection.close()
                raise

        return await asyncio.to_thread(opened)

    async def record(self, calls: Mapping[FeatureKey, Sequence[CallReport]]) -> int:
        """Count calls, all or none, and return how many were new, once they are safe.

        Raises:
            BadInput: the tokens of a call contradict each other. OutOfRange: a call lies more than 10 minutes ahead.
            TooMany, StoreFull: the disk is too far behind, or full.
        """
        check_times(calls, 0, self._clock())
        priced = await asyncio.to_thread(self._priced, calls)
        weight = sum(map(len, calls.values()))
        new, _ = await self._writer.run(partial(self._add, priced), weight=weight, then=self._show)
        return new

    def snapshots(self) -> list[Snapshot]:
        """Return the totals by feature, as far as they are safe."""
        return list(self._shown.values())

    async def ping(self) -> None:
        """Return when a call would be kept; raise Unavailable when not."""
        await self._writer.check()

    async def close(self) -> None:
        """Finish what waits for the disk and close the file. Harmless when repeated."""
        await self._writer.close()

    def _show(self, told: tuple[int, Mapping[FeatureKey, Snapshot]]) -> None:
        self._shown.update(told[1])

    def _priced(self, calls: Mapping[FeatureKey, Sequence[CallReport]]) -> dict[FeatureKey, list[PricedCall]]:
        return {key: [(call, estimated_cost(call, self._price)) for call in told] for key, told in calls.items()}

    def _add(
        self, calls: Mapping[FeatureKey, Sequence[PricedCall]], db: sqlite3.Connection
    ) -> tuple[int, dict[FeatureKey, Snapshot]]:
        now_s = self._clock() // NS
        if now_s >= self._forgot_s + _FORGET_EVERY_S:
            db.execute("DELETE FROM ids WHERE told_s < ?", (now_s - IDS_HELD_S,))
            self._forgot_s = now_s
        new, shown = 0, {}
        for key, told in calls.items():
            counted = 0
            for call, estimate in told:
                if call.id is not None:
                    noted = db.execute(
                        "INSERT INTO ids VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", (*key, call.id, now_s)
                    )
                    if not noted.rowcount:
                        continue
                self._tally(db, key).add(call, lambda *_, estimate=estimate: estimate)
                counted += 1
            if counted:
                new += counted
                tally = self._tallies[key]
                db.execute(
                    "INSERT OR REPLACE INTO totals VALUES (?, ?, ?)", (*key, orjson.dumps(tally.state()).decode())
                )
                shown[key] = tally.snapshot()
        return new, shown

    def _tally(self, db: sqlite3.Connection, key: FeatureKey) -> Tally:
        tally = self._tallies.get(key)
        if tally is None:
            row = db.execute("SELECT state FROM totals WHERE feature = ? AND environment = ?", tuple(key)).fetchone()
            tally = Tally(key, self._clock()) if row is None else Tally.restore(key, orjson.loads(row[0]))
            self._tallies[key] = tally
        return tally
