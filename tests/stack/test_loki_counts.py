"""Lines counted by Loki, beside the lines that were kept in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from featurewatch.model import FeatureKey, LogEntry
from featurewatch.stores.base import LogFilter
from featurewatch.stores.logql_count import stages
from featurewatch.stores.loki import LokiStore
from featurewatch.stores.matching import compile_filter
from featurewatch.stores.upstream import Target, Upstream
from loki import Loki

pytestmark = [pytest.mark.anyio, pytest.mark.stack]

SECOND: Final = 1_000_000_000


async def test_lines_are_counted_by_the_step_that_they_end_in(loki: Loki, tmp_path: Path, anyio_backend: str) -> None:
    start = (time.time_ns() // (60 * SECOND) - 10) * 60 * SECOND
    key = FeatureKey(f"counted-{start}", "development")
    texts = {0: "early", 1: "Fuß", 60: "FUSS", 61: "x", 119: "fuss", 120: "\u212ailo", 121: "kilo", 240: "kilo"}
    texts[241] = "late"
    lines = [
        LogEntry(
            f"{at:032x}", *key, start + at * SECOND, "error" if at % 2 else "info", text,
            "app" if at < 100 else "worker",
        )
        for at, text in texts.items()
    ]  # fmt: skip
    store = await LokiStore.open(
        Upstream(Target("Loki", "FEATUREWATCH_LOKI", loki.url)),
        tmp_path, environment="development", lookback_s=3600, queue_bytes=1024**2, journal_bytes=1024**2,
        clock=time.time_ns,
    )  # fmt: skip
    try:
        await store.append(lines)
        for filter_ in (
            LogFilter(), LogFilter(frozenset({"error"})), LogFilter(source="worker"), LogFilter(search="ss"),
            LogFilter(search="KILO"), LogFilter(frozenset({"info"}), "app", "fuss"), LogFilter(search="nothing"),
        ):  # fmt: skip
            passes = compile_filter(filter_)
            for end, step in ((240, 60), (90, 60), (240, 240), (7, 60), (0, 60)):
                expected = [0] * -(-end // step)
                for at, entry in zip(texts, lines, strict=True):
                    if 0 < at <= end and passes(entry):
                        expected[(at - 1) // step] += 1
                found = await store.counts(key, filter_, start, start + end * SECOND, step)
                assert list(found) == expected, (filter_, end, step)
        assert list(await store.counts(FeatureKey("nobody", "x"), LogFilter(), start, start + 60 * SECOND, 60)) == [0]
    finally:
        await store.close()


def test_what_is_searched_can_end_neither_the_text_nor_the_pattern() -> None:
    written = stages(LogFilter(frozenset(), 'a"b', 'x"y`.*\ud800'))
    assert written == (
        ' | source="a\\"b" | line_format "{{__line__}}\\u001f{{.source}}\\u001f{{.metadata}}"'
        ' |~ "(?i)x\\\\x{22}y\\\\x{60}\\\\x{2e}\\\\x{2a}\\\\x{fffd}"'
    )
