"""The public interface as an app uses it: type-checked by mypy, never run.

`assert_type` says what each expression must be; a line that must not type-check says which error it gives.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, assert_type

import featurewatch
from featurewatch import Call, Feature, Stream

featurewatch.configure(environment="production", endpoint="http://127.0.0.1:8400", token="…", push_interval=2.5)
featurewatch.configure(multiprocess_dir=Path("shared"), max_features=100, created=True)
featurewatch.configure(enviroment="production")  # type: ignore[arg-type]  # no such setting
featurewatch.configure(push_interval="often")  # type: ignore[arg-type]  # a number


def classify(error: BaseException) -> str | None:
    return "refused" if isinstance(error, PermissionError) else None


summarize = Feature(
    "summarize", name="Summaries", owner="docs", version="1.4", models=["gpt-5-mini"], classify=classify,
    budget_usd_per_day=20,
)  # fmt: skip
featurewatch.current_cal()  # type: ignore[attr-defined]  # no such name
Feature("summarize", colour="red")  # type: ignore[call-arg]  # no such argument


@summarize.track
def run(text: str, *, limit: int = 3) -> list[str]:
    return text.split()[:limit]


@summarize.track(model="gpt-5-mini")
async def run_async(text: str) -> int:
    return len(text)


@summarize.track
def parts(text: str) -> Iterator[str]:
    yield text


@summarize.track()
async def async_parts(text: str) -> AsyncIterator[str]:
    yield text


assert_type(run("a", limit=2), list[str])
assert_type(parts("a"), Iterator[str])
assert_type(async_parts("a"), AsyncIterator[str])
run(3)  # type: ignore[arg-type]  # what is tracked keeps its signature


def blocks() -> None:
    with summarize.call(model="gpt-5-mini") as call:
        assert_type(call, Call)
        call.tokens(input=812, output=120, cache_read=300, cache_write=None, reasoning=1)
        call.trace("4bf92f3577b34da6a3ce929d0e0e4736", 0x00F067AA0BA902B7)
        call.tokens(inputs=812)  # type: ignore[arg-type]  # no such kind
        call.cost(usd=0.0031)
        call.first_token()
        call.model = "gpt-5"
        call.fail("refused")
        call.cancel()
    summarize.probe(ok=True)
    assert_type(featurewatch.current_call(), Call)
    assert_type(featurewatch.current_call().feature, str)


class Answer:
    """What a provider's client returns: iterable, or asynchronously so."""

    def __iter__(self) -> Iterator[str]: ...  # type: ignore[empty-body]  # a shape, never run


class AsyncAnswer:
    def __aiter__(self) -> AsyncIterator[bytes]: ...  # type: ignore[empty-body]  # a shape, never run


async def create() -> AsyncAnswer:
    return AsyncAnswer()


def create_now() -> Answer:
    return Answer()


def streams() -> None:
    with summarize.stream(create_now, model="gpt-5-mini") as reply:
        assert_type(reply, Stream[str])
        for part in reply:
            assert_type(part, str)
        reply.tokens(input=3)
    assert_type(list(summarize.stream(iter([1, 2]))), list[int])
    with summarize.stream(lambda: [1.5]) as numbers:
        assert_type(numbers, Stream[float])


async def async_streams() -> None:
    assert_type(await run_async("a"), int)
    async with summarize.call() as call:
        assert_type(call, Call)
    async with summarize.stream(create) as reply:
        async for part in reply:
            assert_type(part, bytes)
    async with summarize.stream(create()) as awaited:
        assert_type(awaited, Stream[bytes])
    assert_type(await featurewatch.aflush(timeout=2), bool)


def outputs(app: Any, logger: logging.Logger) -> None:
    logger.addHandler(featurewatch.LogHandler())
    logger.addHandler(featurewatch.LogHandler("WARNING"))
    assert_type(featurewatch.loguru_sink(), Callable[[Any], None])
    featurewatch.metrics_route(app, "/metrics")
    assert_type(featurewatch.metrics_app(), Callable[..., Any])
    assert_type(featurewatch.metrics_wsgi_app(), Callable[..., Any])
    featurewatch.collector()
    assert_type(featurewatch.flush(timeout=2), bool)
    assert_type(featurewatch.shutdown(), bool)


async def decorated_stay_what_they_are() -> None:
    waiting: Awaitable[int] = run_async("a")
    assert_type(await waiting, int)


def middlewares(app: Any, wsgi_app: Any, provider: Any) -> None:
    featurewatch.FeatureMiddleware(app, routes={"/chat/{id}": summarize, "POST /search": "search"})
    featurewatch.FeatureMiddleware(app, routes={"/chat": 7})  # type: ignore[dict-item]  # a Feature or its id
    featurewatch.FeatureWSGIMiddleware(
        wsgi_app, {"/chat": summarize}, classify_status=lambda status: "busy" if status == 503 else None
    )
    provider.add_span_processor(featurewatch.SpanProcessor())
    featurewatch.configure(mode="events", api_prefix="/api/platform")


def tests() -> None:
    with featurewatch.testing.recorded() as calls, summarize.call() as call:
        call.retry()
        assert_type(call.attempts, int)
    assert_type(calls[0].tokens, Mapping[str, int])
    assert_type(calls.only("summarize").has(outcome="success").cost, float | None)
    assert_type([one.feature for one in calls.of("summarize")], list[str])
