"""The store over a Loki that fails: what is raised, what is kept, what is asked again. The faults are made up here."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import httpx
import pytest

from featurewatch.errors import (
    FeaturewatchError,
    OutOfRange,
    TimedOut,
    TooLarge,
    TooMany,
    Unavailable,
    UpstreamError,
)  # fmt: skip
from featurewatch.model import LogEntry
from featurewatch.stores import loki_queries
from featurewatch.stores.base import LogFilter, LogQuery
from featurewatch.stores.loki_fetch import LINES, Fetcher
from featurewatch.stores.loki_push import Pusher
from featurewatch.stores.loki_queries import LokiQueries
from featurewatch.stores.upstream import Target, Upstream
from featurewatch.times import NS
from log_samples import BASE_NS, CHAT, line

pytestmark = pytest.mark.anyio

RECORDED: Final = Path(__file__).parent.parent / "recorded" / "loki"
SECRET: Final = "s3cret-token"
NOW: Final = BASE_NS + 3600 * NS


def recorded(name: str) -> httpx.Response:
    """An answer as a real Loki gave it."""
    told = json.loads((RECORDED / f"{name}.json").read_text())["response"]
    return httpx.Response(told["status"], text=told["body"], headers=told["headers"])


class FakeLoki(httpx.AsyncBaseTransport):
    """Keeps what is pushed and answers queries for packed lines; `faults` come first, one for each request.

    A fault is an answer, an exception, or a function that makes one of the request.
    """

    def __init__(self, *faults: Any) -> None:
        self.faults = list(faults)
        self.always: Any = None
        self.requests: list[httpx.Request] = []
        self._came = asyncio.Condition()
        self.pushed: dict[tuple[int, str, str], LogEntry] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._came:
            self.requests.append(request)
            self._came.notify_all()
        await request.aread()
        fault = self.faults.pop(0) if self.faults else self.always
        if callable(fault):
            fault = fault(request)
            if isinstance(fault, Awaitable):
                fault = await fault
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            assert isinstance(fault, httpx.Response)
            return fault
        if request.url.path.endswith("/push"):
            for entry in pushed(request):
                self.pushed[(entry.timestamp_ns, entry.message, entry.id)] = entry
            return httpx.Response(204)
        if request.url.path.endswith("/volume"):
            return httpx.Response(404)
        return self._lines(params(request))

    async def asked(self, count: int) -> None:
        """Return once so many requests came."""
        async with asyncio.timeout(30), self._came:
            await self._came.wait_for(lambda: len(self.requests) >= count)

    @property
    def lines(self) -> list[LogEntry]:
        return list(self.pushed.values())

    def _lines(self, told: dict[str, str]) -> httpx.Response:
        start, end, limit = int(told["start"]), int(told["end"]), int(told["limit"])
        backward = told["direction"] == "backward"
        within = sorted(
            (entry for entry in self.pushed.values() if start <= entry.timestamp_ns < end),
            key=lambda entry: entry.timestamp_ns,
            reverse=backward,
        )
        values = [
            [str(one.timestamp_ns), "\x7f".join((one.id, one.level, one.source, "", "", "", "", one.message)), {}]
            for one in within[:limit]
        ]
        stream = {"feature": CHAT.feature, "environment": CHAT.environment, "service_name": "x"}
        return httpx.Response(200, json={"data": {"result": [{"stream": stream, "values": values}]}})


def params(request: httpx.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.url.query.decode()).items()}


def pushed(request: httpx.Request) -> Iterator[LogEntry]:
    for stream in json.loads(gzip.decompress(request.content))["streams"]:
        for moment, message, about in stream["values"]:
            labels = stream["stream"]
            yield LogEntry(
                about["id"], labels["feature"], labels["environment"], int(moment), about["level"], message,
                about["source"],
            )  # fmt: skip


async def hang(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("hung")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(SECRET)
    return path


@asynccontextmanager
async def pusher(loki: FakeLoki, token: Path, *, queue_bytes: int = 1024**2) -> AsyncIterator[Pusher]:
    target = Target("Loki", "FEATUREWATCH_LOKI", "http://loki.test", token_file=token, timeout_s=1.0)
    async with Upstream(target, transport=loki) as upstream:
        made = Pusher(upstream, queue_bytes=queue_bytes)
        try:
            yield made
        finally:
            await made.close()


@asynccontextmanager
async def queries(loki: FakeLoki, *, lookback_s: float = 86_400.0) -> AsyncIterator[LokiQueries]:
    async with Upstream(Target("Loki", "FEATUREWATCH_LOKI", "http://loki.test"), transport=loki) as upstream:
        yield LokiQueries(Fetcher(upstream, "development"), lookback_s=lookback_s, clock=lambda: NOW)


def answer(status: int, text: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, text=text, headers=headers)


REFUSALS: Final[list[tuple[Any, type[FeaturewatchError], str]]] = [
    (answer(429, "ingestion rate limit exceeded", **{"retry-after": "7"}), TooMany, "come back later .429.*rate limit"),
    (answer(500, "boom"), Unavailable, "answered 500: boom"),
    (answer(503, "<html>gateway</html>"), Unavailable, "answered 503$"),
    (answer(401), UpstreamError, "refused the credentials .401.: see FEATUREWATCH_LOKI_TOKEN_FILE"),
    (answer(404), UpstreamError, "does not know the path"),
    (answer(200, "<html>a page</html>"), UpstreamError, "answered 200 to a push, where 204 was expected"),
    (answer(260, "ingestion blocked"), UpstreamError, "answered 260 to a push, where 204 was expected: is ingestion"),
    (answer(302, "", location="http://elsewhere"), UpstreamError, "sent us elsewhere .302.: set FEATUREWATCH_LOKI_URL"),
    (recorded("push_too_old"), OutOfRange, "refused 1 for their timestamp; the others of 2 are kept.*too old"),
    (recorded("push_future"), OutOfRange, "refused 1 for their timestamp.*too new"),
    (recorded("push_line_too_long"), TooLarge, "refused 1 as too large.*max entry size"),
    (httpx.ConnectError("refused"), Unavailable, "cannot be reached .refused.: is it running"),
    (httpx.ReadError("reset"), Unavailable, "broke off .reset."),
    (hang, TimedOut, "did not answer within 1 s"),
]


@pytest.mark.parametrize(("fault", "error", "said"), REFUSALS, ids=range(len(REFUSALS)))
async def test_nothing_is_acknowledged_that_loki_did_not_take(
    token: Path, fault: Any, error: type[FeaturewatchError], said: str
) -> None:
    loki = FakeLoki(fault)
    async with pusher(loki, token) as push:
        lines = [line(), line()]
        with pytest.raises(error, match=said) as told:
            await push.append(lines)
        assert type(told.value) is error
        assert "\n" not in told.value.message
        assert SECRET not in told.value.message
        if isinstance(told.value, TooMany):
            assert told.value.retry_after == 7
        assert push.stats.failures == {told.value.code: 1}
        assert push.queued_bytes == 0
        # It recovers by itself, and what is sent again is kept.
        assert await push.append(lines) == lines
        assert loki.lines == lines


async def test_what_may_be_there_already_is_pushed_as_it_was(token: Path) -> None:
    """An answer that was lost: Loki has the line, and drops the same one, but not one with another timestamp."""

    def kept_unsaid(request: httpx.Request) -> None:
        loki.pushed |= {(entry.timestamp_ns, entry.message, entry.id): entry for entry in pushed(request)}
        raise httpx.ReadError("reset")

    loki = FakeLoki(kept_unsaid)
    entry = line("once")
    async with pusher(loki, token) as push:
        with pytest.raises(Unavailable):
            await push.append([entry])
        assert len(await push.append([entry._replace(timestamp_ns=entry.timestamp_ns + 5 * NS)])) == 1
        assert loki.lines == [entry]
        assert await push.append([entry]) == []
        assert len(loki.requests) == 2


async def test_what_was_refused_is_pushed_with_the_timestamp_that_it_has_now(token: Path) -> None:
    loki = FakeLoki(recorded("push_too_old"))
    entry = line()
    async with pusher(loki, token) as push:
        with pytest.raises(OutOfRange):
            await push.append([entry])
        corrected = entry._replace(timestamp_ns=entry.timestamp_ns + 5 * NS)
        assert await push.append([corrected]) == [corrected]
    assert loki.lines == [corrected]


@pytest.mark.parametrize("status", [413, 500])
async def test_a_push_that_is_too_large_is_divided(token: Path, status: int) -> None:
    def large(request: httpx.Request) -> httpx.Response | None:
        count = sum(1 for _ in pushed(request))
        if count <= 3:
            return None
        return answer(413) if status == 413 else recorded("push_over_grpc_limit")

    loki = FakeLoki()
    loki.always = large
    lines = [line() for _ in range(20)]
    async with pusher(loki, token) as push:
        assert await push.append(lines) == lines
        loki.always = lambda _: recorded("push_over_grpc_limit") if status == 500 else answer(413)
        with pytest.raises(TooLarge, match="finds a line too large"):
            await push.append([line()])
    assert sorted(loki.lines) == sorted(lines)


async def test_appends_that_wait_share_a_push_and_each_line_goes_once(token: Path) -> None:
    gate = asyncio.Event()

    async def wait(_: httpx.Request) -> None:
        await gate.wait()

    loki = FakeLoki(wait, wait)
    async with pusher(loki, token) as push:
        appends = [asyncio.create_task(push.append([line(), line()])) for _ in range(50)]
        await loki.asked(1)
        gate.set()
        assert [len(new) for new in await asyncio.gather(*appends)] == [2] * 50
    assert len(loki.requests) <= 4
    assert len(loki.lines) == 100


async def test_more_than_may_wait_is_refused_and_what_waited_is_kept(token: Path) -> None:
    gate = asyncio.Event()

    async def wait(_: httpx.Request) -> None:
        await gate.wait()

    loki = FakeLoki(wait)
    async with pusher(loki, token, queue_bytes=10_000) as push:
        first = asyncio.create_task(push.append([line("x" * 9_000)]))
        await loki.asked(1)
        with pytest.raises(TooMany, match=r"9200 bytes of lines wait for Loki at http://loki\.test"):
            await push.append([line("y" * 9_000)])
        gate.set()
        assert len(await first) == 1
        assert push.queued_bytes == 0
        # What is larger than the queue by itself goes alone.
        assert len(await push.append([line("z" * 20_000)])) == 1
    assert push.stats.failures == {"queue_full": 1}


async def test_a_caller_that_goes_away_leaves_nothing_behind(token: Path) -> None:
    gate = asyncio.Event()

    async def wait(_: httpx.Request) -> None:
        await gate.wait()

    loki = FakeLoki(wait, wait)
    async with pusher(loki, token) as push:
        running = []
        for number in (1, 2):
            running.append(asyncio.create_task(push.append([line()])))
            await loki.asked(number)
        waiting = asyncio.create_task(push.append([line("nobody waits for it")]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        gate.set()
        await asyncio.gather(*running)
        assert push.queued_bytes == 0
    assert "nobody waits for it" not in {entry.message for entry in loki.lines}


async def test_closing_pushes_what_waits_and_tells_the_rest(token: Path) -> None:
    async def never(_: httpx.Request) -> None:
        await asyncio.Event().wait()

    loki = FakeLoki(never)
    async with pusher(loki, token) as push:
        lost = asyncio.create_task(push.append([line()]))
        await loki.asked(1)
        kept = asyncio.create_task(push.append([line()]))
        await loki.asked(2)
        await push.close()
        assert len(await kept) == 1
        with pytest.raises(Unavailable, match="closed before the lines were kept"):
            await lost
        with pytest.raises(Unavailable, match="the log store is closed"):
            await push.append([line()])


async def test_readiness_asks_whether_pushes_are_taken(token: Path) -> None:
    loki = FakeLoki(answer(422, "error at least one valid stream is required for ingestion"), answer(503), answer(401))
    async with pusher(loki, token) as push:
        await push.ping()
        with pytest.raises(Unavailable):
            await push.ping()
        with pytest.raises(UpstreamError, match="refused the credentials"):
            await push.ping()


# Questions


async def filled(count: int, *, step_ns: int = NS) -> FakeLoki:
    loki = FakeLoki()
    for number in range(count):
        entry = line()._replace(timestamp_ns=BASE_NS + number * step_ns)
        loki.pushed[(entry.timestamp_ns, entry.message, entry.id)] = entry
    return loki


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (answer(429, "too many outstanding requests"), TooMany, "come back later"),
        (answer(500, "boom"), Unavailable, "answered 500: boom"),
        (answer(403), UpstreamError, "refused the credentials"),
        (recorded("query_parse_error"), UpstreamError, "answered 400: parse error"),
        (answer(200, "<html>"), UpstreamError, "answered a query with something else: is FEATUREWATCH_LOKI_URL right"),
        (answer(200, '{"data": {"result": [1]}}'), UpstreamError, "expected streams of Loki, got"),
        (answer(200, '{"data": 5}'), UpstreamError, "answered a query with something else"),
        (httpx.RemoteProtocolError("peer closed"), Unavailable, "broke off"),
    ],
    ids=range(8),
)
async def test_what_a_question_meets_is_told_and_the_next_one_is_answered(
    fault: Any, error: type[FeaturewatchError], said: str
) -> None:
    loki = await filled(5)
    loki.faults = [fault]
    async with queries(loki) as ask:
        with pytest.raises(error, match=said) as told:
            await ask.page(LogQuery(CHAT))
        assert "\n" not in told.value.message
        assert len((await ask.page(LogQuery(CHAT))).entries) == 5


async def test_no_answer_is_read_without_end(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featurewatch.stores.upstream.MOST_BYTES", 10_000)
    loki = await filled(5)
    loki.always = lambda _: answer(200, " " * 10_001)
    async with queries(loki) as ask, pusher(loki, token) as push:
        for asking in (ask.ping(), ask.keys(), push.append([line()])):
            with pytest.raises(UpstreamError, match="answered with more than"):
                await asking


async def test_a_range_that_takes_too_long_is_asked_for_in_parts() -> None:
    loki = await filled(100, step_ns=30 * NS)

    def slow(request: httpx.Request) -> Exception | None:
        told = params(request)
        return httpx.ReadTimeout("slow") if int(told["end"]) - int(told["start"]) > 900 * NS else None

    loki.always = slow
    async with queries(loki, lookback_s=7200) as ask:
        assert len((await ask.page(LogQuery(CHAT, LogFilter(source="app")))).entries) == 100


async def test_a_loki_that_hangs_is_given_up_after_three_tries() -> None:
    loki = await filled(5)
    loki.always = hang
    async with queries(loki) as ask:
        with pytest.raises(TimedOut, match="did not answer within"):
            await ask.page(LogQuery(CHAT))
    assert len(loki.requests) == 3


async def test_limits_are_learned_from_what_a_real_loki_said() -> None:
    loki = await filled(LINES + 10, step_ns=10**6)

    def strict(request: httpx.Request) -> httpx.Response | None:
        told = params(request)
        if "limit" not in told:
            return None
        if int(told["end"]) - int(told["start"]) > 600 * NS:
            return recorded("query_too_long_range")
        if int(told["limit"]) > 100:
            refusal = json.loads((RECORDED / "query_limit_too_high.json").read_text())["response"]["body"]
            return answer(400, refusal.replace("5001 > 5000", f"{told['limit']} > 100"))
        return None

    loki.always = strict
    async with queries(loki) as ask:
        assert len((await ask.page(LogQuery(CHAT, limit=500))).entries) == 500
        asked = len(loki.requests)
        assert len((await ask.page(LogQuery(CHAT, limit=50))).entries) == 50
        assert not [request for request in loki.requests[asked:] if strict(request)], "what was learned is known"


async def test_an_export_waits_for_a_loki_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    loki = await filled(300)
    async with queries(loki) as ask:
        seen: list[LogEntry] = []
        async for chunk in ask.export(LogQuery(CHAT, start_ns=BASE_NS, end_ns=BASE_NS + 300 * NS)):
            seen += chunk
            if len(seen) < 120:
                loki.faults = [httpx.ConnectError("refused"), answer(503), answer(429)]
        assert seen == loki.lines
        monkeypatch.setattr(loki_queries, "EXPORT_PATIENCE_S", 0.0)
        loki.always = httpx.ConnectError("refused")
        with pytest.raises(Unavailable, match="cannot be reached"):
            async for _ in ask.export(LogQuery(CHAT)):
                pass


async def test_a_walk_that_is_left_or_fails_leaves_no_question_running() -> None:
    loki = await filled(300)
    running = 0

    async def slow(request: httpx.Request) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(0.001 if len(loki.requests) < 3 else 30)
        finally:
            running -= 1

    loki.always = slow
    async with queries(loki) as ask:
        export = ask.export(LogQuery(CHAT, start_ns=BASE_NS, end_ns=BASE_NS + 300 * NS))
        assert len(await anext(export)) > 0
        await export.aclose()
        assert running == 0


async def test_an_empty_log_is_walked_in_few_questions() -> None:
    loki = FakeLoki()
    async with queries(loki, lookback_s=30 * 86_400) as ask:
        assert (await ask.page(LogQuery(CHAT))).entries == ()
    lines = [params(request) for request in loki.requests if "limit" in params(request)]
    ranges = [int(told["end"]) - int(told["start"]) for told in lines]
    assert len(ranges) < 8
    assert all(earlier < later for earlier, later in pairwise(ranges[:-1]))


async def test_what_loki_says_is_empty_is_not_asked_for_lines() -> None:
    loki = FakeLoki()
    empty = httpx.Response(200, json={"data": {"resultType": "vector", "result": []}})
    loki.always = lambda request: empty if request.url.path.endswith("/volume") else None
    async with queries(loki, lookback_s=30 * 86_400) as ask:
        assert (await ask.page(LogQuery(CHAT))).entries == ()
    assert len([request for request in loki.requests if "limit" in params(request)]) == 1
