"""The embedded log store with millions of lines of one feature, beside plain SQLite in the same run.

    python benchmarks/embedded_logs.py [--lines 5000000]

The peer is one table of the same fields without any index but its row id, filled by executemany with the same
durability (WAL, synchronous=FULL, one commit for 1,000 lines) and read by the plainest statement. The store takes the
same lines in appends of 1,000, eight at a time, and does all its work: ids kept once, three indexes, folded text.
Lines are made beforehand, outside of what is timed. All the lines are in one feature and environment, the case in
which nothing but time and level narrows a question.

Needs some 3.5 GB of disk in the temporary folder at 5 million lines; it is freed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from featurewatch.ids import new_id
from featurewatch.model import FeatureKey, Level, LogEntry
from featurewatch.stores.base import LogFilter, LogPage, LogQuery
from featurewatch.stores.embedded_logs import EmbeddedLogs

KEY = FeatureKey("summarize", "production")
BATCH = 1_000
CHUNK = 100_000
IN_FLIGHT = 8
START_NS = 1_700_000_000 * 10**9
STEP_NS = 1_000_000

SHARES: dict[Level, int] = {"debug": 200, "info": 700, "warn": 60, "error": 39, "fatal": 1}
NEEDLE = "zanzibar"


def chunks(count: int) -> Iterator[list[LogEntry]]:
    """Make lines of 120 bytes that read like logs; one near the oldest end holds NEEDLE."""
    dice = random.Random(7)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwy", k=dice.randint(2, 9))) for _ in range(4000)]
    levels = [level for level, share in SHARES.items() for _ in range(share)]
    bodies = [" ".join(dice.choices(words, k=40))[:110] for _ in range(20_000)]
    for start in range(0, count, CHUNK):
        yield [
            LogEntry(
                new_id(START_NS + number * STEP_NS),
                *KEY,
                START_NS + number * STEP_NS,
                dice.choice(levels),
                f"{number:09d} {NEEDLE if number == count // 50 else bodies[number % len(bodies)]:110}",
            )
            for number in range(start, min(start + CHUNK, count))
        ]


async def append_all(store: EmbeddedLogs, lines: list[LogEntry]) -> float:
    batches = iter([lines[at : at + BATCH] for at in range(0, len(lines), BATCH)])

    async def send() -> None:
        for batch in batches:
            await store.append(batch)

    started = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))
    return time.perf_counter() - started


def insert_all(peer: sqlite3.Connection, lines: list[LogEntry]) -> float:
    started = time.perf_counter()
    for at in range(0, len(lines), BATCH):
        peer.execute("BEGIN")
        peer.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", lines[at : at + BATCH])
        peer.execute("COMMIT")
    return time.perf_counter() - started


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return time.perf_counter() - started


class Table:
    def __init__(self) -> None:
        self.missed = False
        print(f"{'':42} {'featurewatch':>14} {'plain SQLite':>14} {'ratio':>8}  goal")

    def row(self, name: str, ours: float, peer: float | None, unit: str, goal: float, *, more: bool = False) -> None:
        met = ours >= goal if more else ours <= goal
        self.missed |= not met
        scale, digits = (1, 0) if more else (1000, 1)
        shown = "" if peer is None else f"{peer * scale:,.{digits}f}"
        ratio = "" if peer is None else f"{ours / peer:.3g}"
        sign = "≥" if more else "≤"
        print(
            f"{name:42} {ours * scale:>14,.{digits}f} {shown:>14} {ratio:>8}  "
            f"{sign} {goal * scale:,.0f} {unit} {'met' if met else 'MISSED'}"
        )


async def run(count: int, folder: Path) -> bool:
    store = await EmbeddedLogs.open(
        folder / "logs.db", retention_s=100 * 366 * 86_400, max_bytes=100 * 1024**3, queue_bytes=64 * 1024**2
    )
    peer = sqlite3.connect(folder / "peer.db", isolation_level=None)
    peer.execute("PRAGMA journal_mode = WAL")
    peer.execute("PRAGMA synchronous = FULL")
    fields = "id, feature, environment, ts INTEGER, level, message, source, metadata, trace_id, user_id"
    peer.execute(f"CREATE TABLE lines ({fields})")
    ours_s = peer_s = 0.0
    done = 0
    for lines in chunks(count):
        ours_s += await append_all(store, lines)
        peer_s += insert_all(peer, lines)
        done += len(lines)
        if sys.stderr.isatty():
            print(f"\r{done:,} of {count:,} lines", end="", file=sys.stderr, flush=True)
    print(f"\r{count:,} lines, {(folder / 'logs.db').stat().st_size / 1e9:.2f} GB "
          f"(plain: {(folder / 'peer.db').stat().st_size / 1e9:.2f} GB)")  # fmt: skip
    table = Table()
    table.row("lines in, per second", count / ours_s, count / peer_s, "lines/s", 50_000, more=True)
    await queries(store, peer, table, count)
    peer.close()
    await store.close()
    return table.missed


async def queries(store: EmbeddedLogs, peer: sqlite3.Connection, table: Table, count: int) -> None:
    dice = random.Random(3)

    async def page(**conditions: Any) -> None:
        end = START_NS + dice.randrange(count // 10, count) * STEP_NS
        await store.query(LogQuery(KEY, LogFilter(**conditions), end_ns=end))

    def plain(condition: str, *parameters: object) -> float:
        started = time.perf_counter()
        peer.execute(
            "SELECT * FROM lines WHERE feature = ? AND environment = ? AND ts < ? AND "
            f"{condition} ORDER BY ts DESC LIMIT 1000",
            (*KEY, START_NS + count * STEP_NS, *parameters),
        ).fetchall()
        return time.perf_counter() - started

    some_levels = frozenset[Level]({"warn", "error", "fatal"})
    pages: dict[str, dict[str, Any]] = {
        "any level": {},
        "level fatal (1 in 1,000)": {"levels": frozenset[Level]({"fatal"})},
        "levels warn, error, fatal": {"levels": some_levels},
        "all five levels": {"levels": frozenset(SHARES)},
    }
    by_level = plain("level = 'fatal'")
    for name, conditions in pages.items():
        worst = max([await timed(partial(page, **conditions)) for _ in range(20)])
        table.row(f"page of 1,000, {name}: worst of 20", worst, by_level, "ms", 0.2)

    def search(text: str, levels: frozenset[Level] = frozenset()) -> Callable[[], Coroutine[Any, Any, LogPage]]:
        return lambda: store.query(LogQuery(KEY, LogFilter(levels=levels, search=text)))

    like = plain("message LIKE ?", f"%{NEEDLE}%")
    table.row("substring, one line in all", await timed(search(NEEDLE.upper())), like, "ms", 4)
    table.row("substring, no line", await timed(search("nowhere at all")), like, "ms", 4)
    table.row("substring, no line of three levels", await timed(search("nowhere", some_levels)), like, "ms", 4)
    table.row("substring beyond ASCII, no line", await timed(search("größe")), like, "ms", 4)
    table.row("substring, frequent", await timed(search("12")), plain("message LIKE ?", "%12%"), "ms", 4)
    started = time.perf_counter()
    await asyncio.gather(*(search("nowhere at all")() for _ in range(2)))
    table.row("two searches at once", time.perf_counter() - started, None, "ms", 8)

    searches = [asyncio.create_task(search(f"nowhere {number}")()) for number in range(4)]
    await asyncio.sleep(min(0.3, like / 10))
    for one in searches:
        one.cancel()
    table.row("cancel 4 searches, then a page", await timed(page), None, "ms", 0.2)
    results = await asyncio.gather(*searches, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    process = psutil.Process()
    before = most = process.memory_info().rss
    lines, wanted = 0, min(count, 1_000_000)
    started = time.perf_counter()
    async with contextlib.aclosing(store.export(LogQuery(KEY))) as parts:
        async for part in parts:
            lines += len(part)
            most = max(most, process.memory_info().rss)
            if lines >= wanted:
                break
    table.row("export, lines per second", lines / (time.perf_counter() - started), None, "lines/s", 50_000, more=True)
    table.row("export, memory above what was before", (most - before) / 1e9, None, "MB", 0.15)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=5_000_000, help="how many lines (default 5,000,000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="featurewatch-") as scratch:
        sys.exit(asyncio.run(run(arguments.lines, Path(scratch))))
