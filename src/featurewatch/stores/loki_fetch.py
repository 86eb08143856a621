"""One page of lines from Loki: asked for packed, read beside the event loop, in order, and in bounded memory."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final

import orjson

from ..errors import AnswerTooLong, FeaturewatchError, TimedOut, TooMany, Unavailable, UpstreamError
from ..model import FeatureKey, LogEntry
from ..times import NS
from . import logql
from .base import LogFilter
from .loki_entries import CATEGORIZED, read_packed, read_streams
from .matching import compile_filter
from .upstream import Upstream

__all__ = ["LINES", "QUERY_RANGE", "Ask", "Excessive", "Fetcher", "Page", "QueryStats", "by_time"]

QUERY_RANGE: Final = "/loki/api/v1/query_range"
VOLUME: Final = "/loki/api/v1/index/volume"
LINES: Final = 5_000
"""Lines of a page, which is Loki's default limit; a lower one is learned from its refusal."""
RANGE_NS: Final = 30 * 86_400 * NS
"""The longest range of a query, by Loki's default; a lower one is learned."""
SHORTEST_RANGE_NS: Final = 60 * NS
PAGE_BYTES: Final = 8 * 1024**2
"""A larger answer is broken off and asked for with fewer lines."""
AIM_BYTES: Final = 2 * 1024**2
"""So much an answer is to have: where one of Loki's parts sends another more than 4 MiB, it fails after 15 seconds."""
FIRST_LINES: Final = 1_100
"""Lines of the first page of a feature, of whose lines nobody knows yet how large they are."""
FEATURES_KNOWN: Final = 1_000

# An answer that was kept from before must not hide lines that came late.
_HEADERS: Final = {**CATEGORIZED, "Cache-Control": "no-cache"}
_MOST_LINES: Final = re.compile(r"max entries limit.*\(\d+ > (\d+)\)")
_TOO_LONG: Final = "query time range exceeds the limit"
_TOO_MUCH: Final = re.compile(r"timed? ?out|deadline exceeded|too many bytes|number of chunks", re.IGNORECASE)
_OVERLARGE: Final = "message larger than max"
"""Loki's parts send each other messages of at most 4 MiB by default, answers among them."""
_ROUNDED_NS: Final = 10 * NS
"""Volumes are counted by times that Loki rounds: what lies in the last second of a range was seen to be left out."""

by_time: Final = itemgetter(3, 0)
"""The order of lines: by timestamp, and by id where that is the same."""


class Excessive(Exception):
    """Loki cannot answer for so long a range in time, or may not; `error` is what it said.

    `learned`: it said how long a range may be, see `Fetcher.range_ns`.
    """

    def __init__(self, error: FeaturewatchError, *, learned: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.learned = learned


@dataclass(frozen=True, slots=True)
class Ask:
    """Which lines: of these streams, and what passes the filter; `key` where they are one feature's."""

    selection: str
    key: FeatureKey | None = None
    filter: LogFilter = field(default_factory=LogFilter)

    def among(self, stage: str) -> Ask:
        """Ask for those of the lines alone that pass a stage."""
        return Ask(self.selection + stage, self.key, self.filter)


@dataclass(frozen=True, slots=True)
class Page:
    """Lines in ascending order, each once; `complete` where they are all of the range.

    Else all is known up to the timestamp `reached`, of whose own lines some may be missing.

    Attributes:
        lines: how many Loki answered with, before the filter.
        alone: all of them have the timestamp `reached`.
    """

    entries: list[LogEntry]
    lines: int = 0
    complete: bool = True
    reached: int = 0
    alone: bool = False
    seconds: float = 0.0


@dataclass(slots=True)
class QueryStats:
    """Counts since the start."""

    queries: int = 0
    failures: int = 0
    seconds: float = 0.0
    lines: int = 0


class Fetcher:
    """Asks for pages.

    Args:
        environment: of lines whose labels name none.
    """

    def __init__(self, upstream: Upstream, environment: str) -> None:
        self.environment = environment
        self.stats = QueryStats()
        self.range_ns = RANGE_NS
        """The longest range that Loki takes, as far as it told."""
        self._upstream = upstream
        self._most = LINES
        """Lines of a page, as many as Loki allows."""
        self._fitting: OrderedDict[str, int] = OrderedDict()
        """By selection how many lines are about AIM_BYTES, as of late."""

    def streams_of(self, key: FeatureKey) -> str:
        """Select the streams of a feature, those without an environment too where theirs is this one."""
        names = (key.environment, "") if key.environment == self.environment else (key.environment,)
        return logql.selector((key.feature,), names)

    async def page(self, ask: Ask, start_ns: int, end_ns: int, limit: int, *, backward: bool) -> Page:
        """Read lines of a range, the newest or the oldest, at most `limit`.

        Args:
            start_ns: inclusive; `end_ns` exclusive.

        Raises:
            Excessive: the range is too long for Loki.
            Unavailable, UpstreamError, TooMany: as `Upstream.ask`.
        """
        question = logql.packed(ask.selection, ask.key, ask.filter)
        started = asyncio.get_running_loop().time()
        while True:
            fitting = self._fitting.get(ask.selection, FIRST_LINES)
            asked = max(1, min(limit, self._most, fitting))
            params = {
                "query": question.text,
                "start": str(start_ns),
                "end": str(end_ns),
                "limit": str(asked),
                "direction": "backward" if backward else "forward",
            }
            try:
                body = await self._lines(params)
            except (Unavailable, UpstreamError) as error:
                if self._learned(error, asked):
                    continue
                excessive = self._excessive(error, end_ns - start_ns)
                if isinstance(error, TimedOut):
                    # Perhaps the lines were too large, and not too many: see AIM_BYTES.
                    self._fit(ask, asked // 4)
                raise excessive from None
            if body is None:
                if asked == 1:
                    raise UpstreamError(f"{self._upstream.target.shown} cannot answer with one line: it is too large")
                self._fit(ask, asked // 8)
                continue
            read = await asyncio.to_thread(self._read, body, question.parts, ask.filter)
            if read is None:
                question = logql.unpacked(ask.selection, ask.filter)
                continue
            entries, lines, first, last = read
            if lines:
                self._fit(ask, min(fitting * 4, lines * AIM_BYTES // len(body)))
            self.stats.lines += lines
            seconds = asyncio.get_running_loop().time() - started
            return Page(entries, lines, lines < asked, first if backward else last, first == last, seconds)

    async def has_any(self, ask: Ask, start_ns: int, end_ns: int) -> bool | None:
        """Tell whether a range may hold lines of the streams, which costs Loki a hundredth of reading it.

        None where it cannot tell. Raises as `page`, but never Excessive.
        """
        params = {"query": ask.selection, "start": str(start_ns - _ROUNDED_NS), "end": str(end_ns + _ROUNDED_NS)}
        try:
            return bool((await self.ask(VOLUME, params))["result"])
        except (UpstreamError, TypeError, KeyError):  # where volumes are disabled, among others
            return None

    async def ask(self, path: str, params: dict[str, str]) -> Any:
        """Ask for something else than lines, and return the `data` of the answer, None where that is nothing.

        Raises:
            Unavailable, UpstreamError, TooMany: as `Upstream.ask_json`.
        """
        with self._counted():
            told = await self._upstream.ask_json("GET", path, params=params, headers=_HEADERS)
        if not isinstance(told, dict):
            raise self._garbage()
        return told.get("data")

    async def _lines(self, params: dict[str, str]) -> bytes | None:
        """Return the answer; None where it is too large, for us or within Loki."""
        with self._counted():
            try:
                answer = await self._upstream.request(
                    "GET", QUERY_RANGE, params=params, headers=_HEADERS, at_most=PAGE_BYTES
                )
            except AnswerTooLong:
                return None
            if answer.is_success:
                return answer.content
            if answer.status_code >= 500 and _OVERLARGE in answer.text:
                return None
            raise self._upstream.refusal(answer)

    def _read(self, body: bytes, parts: int, filter: LogFilter) -> tuple[list[LogEntry], int, int, int] | None:
        """Read an answer: the lines that pass, how many there were, the first and the last timestamp of all."""
        try:
            streams = orjson.loads(body)["data"]["result"]
        except (ValueError, KeyError, TypeError):
            raise self._garbage() from None
        entries = read_packed(streams, self.environment, parts) if parts else read_streams(streams, self.environment)
        if entries is None:
            return None
        if not entries:
            return [], 0, 0, 0
        entries.sort(key=by_time)
        lines, first, last = len(entries), entries[0].timestamp_ns, entries[-1].timestamp_ns
        if filter != LogFilter():
            passes = compile_filter(filter)
            entries = [entry for entry in entries if passes(entry)]
        return _each_once(entries) if entries else entries, lines, first, last

    def _fit(self, ask: Ask, lines: int) -> None:
        """Note how many lines of a selection a page is to have."""
        self._fitting[ask.selection] = max(1, min(lines, LINES))
        self._fitting.move_to_end(ask.selection)
        if len(self._fitting) > FEATURES_KNOWN:
            self._fitting.popitem(last=False)

    def _learned(self, error: FeaturewatchError, asked: int) -> bool:
        """Learn from a refusal how many lines a page may have; whether that was it."""
        allowed = _MOST_LINES.search(error.message)
        if allowed is None or not 0 < int(allowed[1]) < asked:
            return False
        self._most = int(allowed[1])
        return True

    def _excessive(self, error: FeaturewatchError, range_ns: int) -> Exception:
        if _TOO_LONG in error.message and range_ns > SHORTEST_RANGE_NS:
            self.range_ns = max(SHORTEST_RANGE_NS, min(self.range_ns, range_ns) // 2)
            return Excessive(error, learned=True)
        return Excessive(error) if isinstance(error, TimedOut) or _TOO_MUCH.search(error.message) else error

    def _garbage(self) -> UpstreamError:
        target = self._upstream.target
        return UpstreamError(f"{target.shown} answered a query with something else: is {target.setting}_URL right?")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.stats.queries += 1
        try:
            yield
        except (Unavailable, UpstreamError, TooMany):
            self.stats.failures += 1
            raise
        finally:
            self.stats.seconds += loop.time() - started


def _each_once(entries: list[LogEntry]) -> list[LogEntry]:
    """Leave out lines that Loki holds twice: those with the id and the timestamp of one just before."""
    found = entries[:1]
    moment, names = entries[0].timestamp_ns, {entries[0][:3]}
    for entry in entries[1:]:
        name = entry[:3]
        if entry[3] != moment:
            moment, names = entry[3], {name}
        elif name in names:
            continue
        else:
            names.add(name)
        found.append(entry)
    return found
