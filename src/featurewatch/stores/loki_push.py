"""Lines into Loki: in pushes that Loki takes whole, told to be kept once it said so, each id once.

https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import orjson

from ..errors import BadInput, FeaturewatchError, OutOfRange, TooLarge, TooMany, Unavailable, UpstreamError
from ..exporter.loki import refused
from ..model import FeatureKey, LogEntry
from .upstream import Upstream

__all__ = ["PushStats", "Pusher", "body", "mended", "refusal"]

PUSH: Final = "/loki/api/v1/push"
SERVICE: Final = "featurewatch"
"""What Loki has as the service of lines that came through the bridge."""
PUSH_BYTES: Final = 1024**2
"""Loki fails from 4 MiB on, by gRPC's limit, whatever it allows for a body."""
AT_ONCE: Final = 2
"""Pushes that are under way at a time."""
IDS_KEPT: Final = 200_000
_LINE_OVERHEAD: Final = 200
_BESIDE_LOOP: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS

_LATE: Final = re.compile(r"too old|too far behind|out of order|too new")
_LONG: Final = re.compile(r"max entry size|structured metadata too large|too many structured metadata")
_STREAM: Final = re.compile(r"'\{.*?\}'")
"""The labels that Loki repeats; they may be longer than what it has to say."""
_OVERLONG: Final = re.compile(r"received message larger than max|too large")


@dataclass(slots=True)
class PushStats:
    """Counts since the start; `failures` by what the error is called."""

    pushes: int = 0
    lines: int = 0
    bytes: int = 0
    seconds: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Piece:
    """Lines of one append that are pushed together, with those of others where they are few."""

    entries: Sequence[LogEntry]
    weight: int
    done: asyncio.Future[None]


class Pusher:
    """Pushes lines. Belongs to the event loop it is made in; `close` it.

    What waits is bounded by `queue_bytes`. Appends that wait at the same time share a push; where Loki refuses one,
    each of them is pushed alone, so that none fails for another's line.
    """

    def __init__(self, upstream: Upstream, *, queue_bytes: int) -> None:
        self.stats = PushStats()
        self.queued_bytes = 0
        """Bytes of lines that wait for Loki."""
        self._upstream = upstream
        self._most = queue_bytes
        self._ids = _Ids()
        self._waiting: deque[_Piece] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._workers = [asyncio.create_task(self._work(), name="featurewatch-push") for _ in range(AT_ONCE)]

    async def append(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        """Return once Loki has the lines; those that were new are returned, as Loki has them.

        A line whose id was kept a short time ago (the last 200,000 are remembered) is not pushed again. One that was
        tried before, and may or may not be there, is pushed with the timestamp that it had then, so that Loki, which
        drops lines that it has already, has it once.

        Raises:
            TooMany: Loki asks to come later, or as much waits as may. Unavailable, UpstreamError: Loki's.
            OutOfRange: a line is too old, or too far ahead. TooLarge: one is too long. BadInput: anything else that
            Loki refuses. Whichever it is: some of the lines may be kept; sending all of them again is harmless.
        """
        new = self._ids.sift(mended(entries))
        if not new:
            return []
        pieces = [_Piece(part, weight, asyncio.get_running_loop().create_future()) for part, weight in _parts(new)]
        weight = sum(piece.weight for piece in pieces)
        if self._closed:
            raise Unavailable("the log store is closed")
        if self.queued_bytes and self.queued_bytes + weight > self._most:
            self.stats.failures["queue_full"] += 1
            raise TooMany(f"{self.queued_bytes} bytes of lines wait for {self._upstream.target.shown}: try again later")
        self._ids.try_(new)
        self.queued_bytes += weight
        self._waiting += pieces
        self._wake.set()
        try:
            failures = [
                failure
                for failure in await asyncio.gather(*(piece.done for piece in pieces), return_exceptions=True)
                if failure is not None
            ]
        finally:
            # A caller that went away waits for nothing any more.
            self.queued_bytes -= weight
        if failures:
            if all(isinstance(failure, BadInput) for failure in failures):
                # Sent again they may have other timestamps, which the refused ones need.
                self._ids.forget(new)
            raise failures[0]
        self._ids.keep(new)
        return new

    async def ping(self) -> None:
        """Return when Loki takes pushes: an empty one is refused by the part of it that would take another.

        Raises:
            Unavailable, UpstreamError, TooMany: it would not.
        """
        answer = await self._upstream.request("POST", PUSH, json={"streams": []})
        if not (answer.is_success or answer.status_code in (400, 422)):
            raise self._upstream.refusal(answer)

    async def close(self) -> None:
        """Push what waits, within the upstream's time-out, and stop. Harmless when repeated."""
        self._closed = True
        waiting = [piece.done for piece in self._waiting if not piece.done.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=self._upstream.target.timeout_s)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for piece in self._waiting:
            if not piece.done.done():
                piece.done.set_exception(Unavailable("the log store was closed before the lines were kept"))
        self._waiting.clear()

    async def _work(self) -> None:
        while True:
            pieces = self._take()
            if not pieces:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                await self._push_together(pieces)
            except asyncio.CancelledError:
                for piece in pieces:
                    _settle(piece, Unavailable("the log store was closed before the lines were kept"))
                raise
            except Exception as error:  # what is not foreseen must not leave callers waiting
                for piece in pieces:
                    _settle(piece, error)

    def _take(self) -> list[_Piece]:
        """Take what waits, as much as fits in one push; what nobody waits for any more is left out."""
        taken: list[_Piece] = []
        weight = 0
        while self._waiting and (not taken or weight + self._waiting[0].weight <= PUSH_BYTES):
            piece = self._waiting.popleft()
            if not piece.done.done():
                taken.append(piece)
                weight += piece.weight
        return taken

    async def _push_together(self, pieces: Sequence[_Piece]) -> None:
        try:
            await self._push([entry for piece in pieces for entry in piece.entries])
        except BadInput as error:
            if len(pieces) == 1:
                _settle(pieces[0], error)
                return
            for piece in pieces:
                await self._push_together([piece])
        except FeaturewatchError as error:
            for piece in pieces:
                _settle(piece, error)
        else:
            for piece in pieces:
                _settle(piece, None)

    async def _push(self, entries: Sequence[LogEntry]) -> None:
        """Push lines, in halves where Loki finds them too many."""
        large = sum(len(entry.message) for entry in entries) > _BESIDE_LOOP
        packed = await asyncio.to_thread(body, entries) if large else body(entries)
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.stats.pushes += 1
        self.stats.bytes += len(packed)
        try:
            answer = await self._upstream.request(
                "POST", PUSH, content=packed, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
            )
            self.stats.seconds += loop.time() - started
            if answer.status_code == 204:
                self.stats.lines += len(entries)
                return
            if len(entries) > 1 and _is_too_much(answer):
                middle = len(entries) // 2
                await self._push(entries[:middle])
                await self._push(entries[middle:])
                return
            raise refusal(self._upstream, answer, len(entries))
        except FeaturewatchError as error:
            self.stats.failures[error.code] += 1
            raise


class _Ids:
    """Which ids were kept of late, and of those that were only tried the timestamp.

    By their hashes: of 200,000 and another one, two are alike once in 10 ** 14 times.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[int, None] = OrderedDict()
        self._tried: OrderedDict[int, int] = OrderedDict()

    def sift(self, entries: Iterable[LogEntry]) -> list[LogEntry]:
        """Return the lines that were not kept, each id once, those that were tried as they were then."""
        found: dict[int, LogEntry] = {}
        for entry in entries:
            place = hash(entry[:3])
            if place not in self._kept and place not in found:
                tried = self._tried.get(place)
                found[place] = entry if tried is None else entry._replace(timestamp_ns=tried)
        return list(found.values())

    def try_(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            self._tried[hash(entry[:3])] = entry.timestamp_ns
        _bound(self._tried)

    def forget(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            self._tried.pop(hash(entry[:3]), None)

    def keep(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            place = hash(entry[:3])
            self._kept[place] = None
            self._tried.pop(place, None)
        _bound(self._kept)


def mended(entries: Sequence[LogEntry]) -> Sequence[LogEntry]:
    """Return the lines as Loki will have them.

    What is no Unicode (lone surrogates) becomes "?". U+FFFD, which stands for what was none, Loki replaces by a blank
    in structured metadata; an empty text there is as good as none.
    """
    return [entry if _is_sound(entry) else _mended(entry) for entry in entries]


def body(entries: Iterable[LogEntry]) -> bytes:
    """Write lines as Loki's push JSON, gzipped: one stream for each feature and environment, in their order."""
    streams: dict[FeatureKey, list[Any]] = {}
    for entry in entries:
        about = {"id": entry.id, "level": entry.level, "source": entry.source}
        if entry.metadata is not None:
            about["metadata"] = entry.metadata
        if entry.trace_id is not None:
            about["trace_id"] = entry.trace_id
        if entry.user_id is not None:
            about["user_id"] = entry.user_id
        streams.setdefault(entry.key, []).append((str(entry.timestamp_ns), entry.message, about))
    told = {
        "streams": [
            {
                "stream": {"service_name": SERVICE, "feature": key.feature, "environment": key.environment},
                "values": values,
            }
            for key, values in streams.items()
        ]
    }
    return zlib.compress(orjson.dumps(told), 1, _GZIP)


def refusal(upstream: Upstream, answer: httpx.Response, lines: int) -> FeaturewatchError:
    """Tell an answer that is not 204 as an error: what came, and what to do."""
    target = upstream.target
    if answer.status_code != 400:
        if answer.is_success:
            return UpstreamError(
                f"{target.shown} answered {answer.status_code} to a push, where 204 was expected: is ingestion blocked?"
            )
        if answer.status_code == 413 or _is_too_much(answer):
            return TooLarge(f"{target.shown} finds a line too large: {_words(answer)}")
        return upstream.refusal(answer)
    said = _words(answer)
    count = refused(answer.text).refused or 1
    kept = f"; the others of {lines} are kept" if lines > count else ""
    if _LATE.search(answer.text):
        return OutOfRange(f"{target.shown} refused {count} for their timestamp{kept}: {said}")
    if _LONG.search(answer.text):
        return TooLarge(f"{target.shown} refused {count} as too large{kept}: {said}")
    return BadInput(f"{target.shown} refused {count}{kept}: {said}")


def _parts(entries: Sequence[LogEntry]) -> Iterator[tuple[Sequence[LogEntry], int]]:
    """Divide lines into parts of about PUSH_BYTES, each with its weight."""
    begin = weight = 0
    for at, entry in enumerate(entries):
        own = len(entry.message) + len(entry.metadata or "") + _LINE_OVERHEAD
        if not entry.message.isascii():
            own += len(entry.message)
        if at > begin and weight + own > PUSH_BYTES:
            yield entries[begin:at], weight
            begin, weight = at, 0
        weight += own
    yield entries[begin:], weight


def _settle(piece: _Piece, error: Exception | None) -> None:
    if piece.done.done():
        return
    if error is None:
        piece.done.set_result(None)
    else:
        piece.done.set_exception(error)


def _is_too_much(answer: httpx.Response) -> bool:
    return answer.status_code == 413 or (answer.status_code >= 500 and _OVERLONG.search(answer.text) is not None)


def _words(answer: httpx.Response) -> str:
    line = _STREAM.sub("'{…}'", " ".join(answer.text.split()))
    return line[:300] + "…" if len(line) > 300 else line or "it did not say why"


def _is_sound(entry: LogEntry) -> bool:
    about = f"{entry.id}{entry.source}{entry.metadata or ''}{entry.trace_id or ''}{entry.user_id or ''}"
    if "\ufffd" in about or entry.metadata == "" or entry.trace_id == "" or entry.user_id == "":
        return False
    try:
        about.encode()
        entry.message.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mended(entry: LogEntry) -> LogEntry:
    def about(text: str | None) -> str | None:
        return _unicode(text).replace("\ufffd", " ") if text else None

    return entry._replace(
        id=about(entry.id) or entry.id,
        message=_unicode(entry.message),
        source=about(entry.source) or "app",
        metadata=about(entry.metadata),
        trace_id=about(entry.trace_id),
        user_id=about(entry.user_id),
    )


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _bound(known: OrderedDict[int, Any]) -> None:
    while len(known) > IDS_KEPT:
        known.popitem(last=False)
