"""The store over Prometheus beyond the contract: what it asks and how often, recorded figures, faults of every kind."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from featurewatch.errors import Unavailable, UpstreamError
from featurewatch.model import FeatureKey
from featurewatch.stores import recording
from featurewatch.stores.prometheus import MOST_UNRECORDED, PrometheusStore
from featurewatch.stores.prometheus_api import QueryApi
from featurewatch.stores.upstream import Target, Upstream
from metric_samples import CHAT, NOW, NS, SEARCH, STAGED, App, Done, flat
from prometheus import Prometheus, wait_for
from remote_write import Points, labels, points_of
from shifted import SHIFT_NS, over

pytestmark = pytest.mark.anyio

MINUTE_NS = 60 * NS


def ago(seconds: float) -> int:
    return NOW - int(seconds * NS)


def steady(key: FeatureKey = CHAT, *, outcome: str = "success", start_s: int = 900, **more: Any) -> App:
    """An app that is called each second."""
    app = App(key, start_ns=ago(start_s), in_progress=1, info=(key.feature.title(), "team", "1"), **more)
    app.calls = [Done(app.start_ns + second * NS, outcome, 0.1, 0.05) for second in range(1, start_s)]  # type: ignore[arg-type]  # str is wider than Outcome
    return app


class Fake:
    """A Prometheus of a few canned answers; `asked` holds every form that came."""

    def __init__(self, features: int = 1, markers: Sequence[dict[str, str]] = ()) -> None:
        self.features = features
        self.markers = list(markers)
        self.asked: list[dict[str, str]] = []
        self.extra: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, str]], httpx.Response] = self.vector

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        self.asked.append({"path": request.url.path, **form})
        if request.url.path.endswith("query_range"):
            return told("matrix", [])
        return self.answer(form)

    def vector(self, form: dict[str, str]) -> httpx.Response:
        result: list[dict[str, Any]] = []
        query = form["query"]
        if recording.MARKER in query:
            result += [
                {"metric": {"__name__": recording.MARKER, **marker}, "value": [0, "1"]} for marker in self.markers
            ]
        if '"features"' in query:
            result.append({"metric": {"stat": "features"}, "value": [0, str(self.features)]})
        else:
            result += self.extra
        return told("vector", result)

    def ticks(self) -> list[dict[str, str]]:
        """The queries that asked for figures."""
        return [form for form in self.asked if "stat" in form["query"] and '"features"' not in form["query"]]


def told(kind: str, result: Any, **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": {"resultType": kind, "result": result}, **more})


MARKERS = [
    {"group": "calls", "version": "1"},
    {"group": "durations", "version": "1"},
    {"group": "uptime", "version": "1", "threshold": "50"},
]


@asynccontextmanager
async def faked(fake: Any, clock: Callable[[], int] = lambda: NOW, **options: Any) -> AsyncIterator[PrometheusStore]:
    target = Target("Prometheus", "FEATUREWATCH_PROMETHEUS", "http://user:secret@prometheus/prefix/", timeout_s=0.5)
    store = PrometheusStore(Upstream(target, transport=httpx.MockTransport(fake)), clock=clock, **options)
    try:
        yield store
    finally:
        await store.close()


async def test_a_tick_is_one_query_whatever_is_asked_about(prometheus: Prometheus) -> None:
    samples = flat(push for key in (CHAT, STAGED, SEARCH) for push in steady(key).pushes(every_s=15))
    async with over(prometheus, samples, NOW) as shifted:
        store = shifted.store
        assert isinstance(store, PrometheusStore)
        await store.measure(None, 300)
        before = sum(store.stats.counts)
        for _ in range(3):
            assert set(await store.measure(None, 300)) == {CHAT, STAGED, SEARCH}
            assert (await store.info())[CHAT]["name"] == "Chat"
            assert await store.in_progress([SEARCH]) == {SEARCH: 1}
        assert sum(store.stats.counts) - before == 3


async def test_a_new_minute_brings_its_verdict_in_the_same_query() -> None:
    clock, fake = [NOW], Fake()
    async with faked(fake, lambda: clock[0]) as store:
        await store.measure(None, 300)
        await store.measure(None, 300)
        assert not any('"minute_' in form["query"] for form in fake.ticks())
        clock[0] += MINUTE_NS
        await store.measure(None, 300)
        assert fake.ticks()[-1]["query"].count('"minute_') == 3
        await store.measure(None, 300)
        assert '"minute_' not in fake.ticks()[-1]["query"]
        assert sum(form["path"].endswith("query_range") for form in fake.asked) == 1  # the day before, once


async def test_every_query_names_the_instant_and_asks_for_whole_answers() -> None:
    fake = Fake()
    async with faked(fake) as store:
        await store.measure(None, 300)
    for form in fake.asked:
        assert form["path"].startswith("/prefix/api/v1/query")
        assert (form["nocache"], form["partial_response"], form["timeout"]) == ("1", "false", "1s")
    assert fake.ticks()[0]["time"] == f"{NOW // NS}.000"


async def test_many_features_by_name_are_asked_for_in_a_short_query() -> None:
    fake = Fake(features=150)
    keys = [FeatureKey(f"a-feature-with-a-long-name-{number:03}", "production") for number in range(150)]
    fake.extra = [
        {
            "metric": {"stat": "feature_requests_total", "feature": key.feature, "environment": key.environment,
                       "outcome": "success"},
            "value": [0, "5"],
        }
        for key in [*keys, CHAT]
    ]  # fmt: skip
    async with faked(fake) as store:
        measured = await store.measure(keys, 300)
        assert set(measured) == set(keys)
        await store.measure(keys[:2], 300)
    long, short = fake.ticks()
    assert len(long["query"]) < 16 * 1024
    assert keys[0].feature not in long["query"]
    assert keys[0].feature in short["query"]


async def test_above_200_features_uptime_needs_the_recording_rules(caplog: pytest.LogCaptureFixture) -> None:
    fake = Fake(features=MOST_UNRECORDED + 1)
    with caplog.at_level(logging.WARNING):
        async with faked(fake) as store:
            for _ in range(2):
                await store.measure(None, 300)
            assert "201 features and no recording rules" in store.notice
            assert "prometheus/rules/featurewatch.yml" in store.notice
            assert not any(form["path"].endswith("query_range") for form in fake.asked)
            assert "minute_" not in fake.ticks()[-1]["query"]
    assert len([record for record in caplog.records if "no recording rules" in record.message]) == 1


async def test_figures_are_read_as_recorded_once_the_rules_run() -> None:
    fake = Fake(features=1000)
    clock = [NOW]
    async with faked(fake, lambda: clock[0]) as store:
        await store.measure(None, 300)
        assert not store.recorded
        fake.markers = MARKERS
        clock[0] += MINUTE_NS
        fake.extra = [
            {"metric": {"stat": name, "feature": "chat", "environment": "production"}, "value": [0, value]}
            for name, value in (("error_rate", "12.5"), ("total_requests", "40"), ("uptime", "99.5"))
        ]
        figures = (await store.measure(None, 300))[CHAT].metrics
        assert store.recorded
        assert store.notice == ""
        assert (figures["error_rate"], figures["total_requests"], figures["uptime"]) == (12.5, 40, 99.5)
        assert isinstance(figures["total_requests"], int), "shown as 40, as without the rules"
        assert figures["total_cost"] is None
        assert "feature:error_rate:over5m" in fake.ticks()[-1]["query"]
        await store.measure(None, 600, 3600)
        assert "feature:error_rate" not in fake.ticks()[-1]["query"]
        assert "feature:minute_up:bool" in fake.ticks()[-1]["query"]


async def test_rules_that_stop_are_noticed_at_once() -> None:
    fake = Fake(markers=MARKERS)
    async with faked(fake) as store:
        await store.measure(None, 300)
        assert store.recorded
        fake.markers = MARKERS[:2]
        await store.measure(None, 300)
        assert not store.recorded
        assert "feature_requests_total" in fake.ticks()[-1]["query"]


async def test_rules_for_another_threshold_serve_all_but_the_uptime() -> None:
    fake = Fake(markers=MARKERS)
    async with faked(fake, uptime_threshold=30) as store:
        await store.measure(None, 300)
        query = fake.ticks()[-1]["query"]
        assert "feature:error_rate:over5m" in query
        assert "feature:uptime" not in query
        assert any(form["path"].endswith("query_range") for form in fake.asked)
        assert "FEATUREWATCH_UPTIME_THRESHOLD=50, the setting is 30" in store.notice


async def test_many_features_over_another_window_are_told_to_be_dear() -> None:
    fake = Fake(features=MOST_UNRECORDED + 1, markers=MARKERS)
    async with faked(fake) as store:
        await store.measure(None, 300)
        assert store.notice == ""
        await store.measure(None, 60)
        assert "over 1m are computed from raw series" in store.notice
        assert "FEATUREWATCH_METRICS_WINDOW" in store.notice


@pytest.mark.parametrize(("ahead_s", "words"), [(100, "100 s ahead of"), (-40, "40 s behind"), (20, "")])
async def test_clocks_that_differ_are_told(ahead_s: int, words: str) -> None:
    there = formatdate(NOW / NS - ahead_s, usegmt=True)

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Date": there}, content=(await Fake()(request)).content)

    async with faked(answer) as store:
        await store.measure([CHAT], 300)
        assert words in store.notice
        assert bool(words) is bool(store.notice)


async def test_recorded_figures_can_be_forced_and_forbidden() -> None:
    fake = Fake()
    async with faked(fake, recorded="on") as store:
        with pytest.raises(UpstreamError, match=r"no recorded figures.*RECORDED=on.*featurewatch\.yml"):
            await store.measure(None, 300)
    fake = Fake(markers=MARKERS)
    async with faked(fake, recorded="off") as store:
        await store.measure(None, 300)
        assert "feature_requests_total" in fake.ticks()[-1]["query"]


def recorded_points(server: Prometheus, at_s: float, minutes: int) -> None:
    """Evaluate the recording rules as Prometheus does, one after the other, and write down what they record."""

    def write(rule: recording.Rule, found: Sequence[dict[str, Any]]) -> None:
        points: dict[Any, list[tuple[int, float]]] = {}
        for one in found:
            name = labels(rule.record, {**one["metric"], "__name__": rule.record, **rule.labels})
            values = one.get("values") or [one["value"]]
            points[name] = [(round(at * 1000), float(value)) for at, value in values]
        server.write(points)

    for group in recording.groups(50):
        for rule in group.rules:
            if rule.record == recording.MINUTE:
                end_s = at_s // 60 * 60
                form = {"query": rule.expr, "start": end_s - 60 * minutes, "end": end_s, "step": 60}
                answer = httpx.post(f"{server.url}/api/v1/query_range", data=form, timeout=60)
                write(rule, answer.json()["data"]["result"])
            else:
                write(rule, server.query(rule.expr, time_s=at_s))


async def test_recorded_figures_equal_those_from_raw_series(own_prometheus: Prometheus) -> None:
    stories = {
        "busy": steady(FeatureKey("busy", "production"), budget=3.0),
        "failing": steady(FeatureKey("failing", "production"), outcome="error"),
        "staged": steady(FeatureKey("busy", "staging"), start_s=500),
        "idle": App(FeatureKey("idle", "production"), start_ns=ago(1800), calls=[Done(ago(1700))]),
        "silent": App(FeatureKey("silent", "production"), start_ns=ago(3600), calls=[Done(ago(3500))]),
        "probed": App(FeatureKey("probed", "production"), start_ns=ago(1200),
                      probes=[(ago(1190), True), (ago(600), False), (ago(300), True)]),
        "costly": App(FeatureKey("costly", "production"), start_ns=ago(600), calls=[
            Done(ago(100), model="m", tokens=(("input", 10), ("cache_read", 4)), reported=0.25), Done(ago(50))]),
    }  # fmt: skip
    samples = [
        sample
        for name, app in stories.items()
        for sample in flat(app.pushes(ago(1900) if name == "silent" else NOW, every_s=15))
    ]
    own_prometheus.start()
    shift_ms = SHIFT_NS // 1_000_000
    own_prometheus.write(points_of(samples, shift_ms=shift_ms))
    recorded_points(own_prometheus, (NOW + SHIFT_NS) / NS, 70)
    upstreams = [Upstream(Target("Prometheus", "X", own_prometheus.url, timeout_s=60)) for _ in range(2)]
    raw, recorded = (
        PrometheusStore(upstream, clock=lambda: NOW + SHIFT_NS, recorded=mode)  # type: ignore[arg-type]  # str is wider
        for upstream, mode in zip(upstreams, ("off", "auto"), strict=True)
    )
    try:
        expected, found = await raw.measure(None, 300), await recorded.measure(None, 300)
        assert recorded.recorded
        assert set(found) == set(expected) >= {app.key for name, app in stories.items() if name != "silent"}
        for key, measurement in expected.items():
            assert found[key].metrics == pytest.approx(measurement.metrics), key
        alone = await recorded.measure([CHAT, stories["busy"].key], 300)
        assert alone == {stories["busy"].key: found[stories["busy"].key]}
        hour, theirs = await recorded.measure(None, 300, 3600), await raw.measure(None, 300, 3600)
        for key in theirs:
            assert hour[key].metrics["uptime"] == pytest.approx(theirs[key].metrics["uptime"], abs=4), key
    finally:
        await raw.close()
        await recorded.close()


async def test_a_stores_own_matchers_and_the_features_asked_for_must_both_hold(prometheus: Prometheus) -> None:
    samples = flat(push for key in (CHAT, STAGED) for push in steady(key).pushes(every_s=15))
    async with over(prometheus, samples, NOW) as shifted:
        assert isinstance(shifted.store, PrometheusStore)
        shifted.store._matchers = {**shifted.store._matchers, "environment": "staging"}
        assert set(await shifted.measure(None, 300)) == {STAGED}
        assert set(await shifted.measure([CHAT, STAGED], 300)) == {STAGED}
        assert await shifted.measure([CHAT], 300) == {}
        assert await shifted.keys() == {STAGED}


async def test_series_that_name_no_feature_are_left_out_and_counted(prometheus: Prometheus) -> None:
    case = f"odd-{os.getpid()}"
    at = [((NOW + SHIFT_NS) // 1_000_000 - 1000 * second, float(100 - second)) for second in range(100, -1, -10)]
    odd: Points = {
        labels("feature_requests_total", {"case": case, "outcome": "success", **told}): at
        for told in (
            {"feature": "chat", "environment": "production"},
            {"feature": "no id at all", "environment": "production"},
            {"feature": "chat"},
            {"environment": "production"},
        )
    }
    prometheus.write(odd)
    store = PrometheusStore(
        Upstream(Target("Prometheus", "X", prometheus.url, timeout_s=60)),
        matchers={"case": case},
        clock=lambda: NOW + SHIFT_NS,
    )
    measured = await store.measure(None, 300)
    assert set(measured) == {CHAT}
    assert measured[CHAT].metrics["total_requests"] == 100
    assert store.skipped_series >= 3
    assert await store.keys() == {CHAT}
    await store.close()


async def test_info_is_what_most_processes_say(prometheus: Prometheus) -> None:
    apps = [steady(instance=str(number), start_s=120) for number in range(3)]
    for app, version in zip(apps, ("1", "2", "2"), strict=True):
        app.info = ("Chat", "team", version)
    async with over(prometheus, flat(push for app in apps for push in app.pushes(every_s=15)), NOW) as store:
        assert (await store.info())[CHAT]["version"] == "2"


# Faults


def html(status: int) -> httpx.Response:
    return httpx.Response(status, text="<html><body>Welcome to nginx</body></html>")


def error(status: int, kind: str, words: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"status": "error", "errorType": kind, "error": words}, headers=headers)


GARBAGE = {
    "a page": html(200),
    "nothing": httpx.Response(200, content=b""),
    "half of it": httpx.Response(200, content=b'{"status":"success","data":{"resultType":"vec'),
    "a list": httpx.Response(200, json=[1, 2]),
    "null": httpx.Response(200, json=None),
    "no data": httpx.Response(200, json={"status": "success"}),
    "another type": told("streams", []),
    "no value": told("vector", [{"metric": {}}]),
    "a word for a number": told("vector", [{"metric": {}, "value": [0, "many"]}]),
    "labels that are none": told("vector", [{"metric": 7, "value": [0, "1"]}]),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_an_upstream_error_that_asks_whether_the_address_is_right(name: str) -> None:
    async with faked(lambda _: GARBAGE[name]) as store:
        with pytest.raises(
            UpstreamError, match=r"http://prometheus/prefix.*FEATUREWATCH_PROMETHEUS_URL right"
        ) as caught:
            await store.measure(None, 300)
        assert "secret" not in caught.value.message
        assert "\n" not in caught.value.message
        assert store.stats.failures["garbage"] == 1


@pytest.mark.parametrize(
    ("answer", "expected", "words", "reason"),
    [
        (html(500), Unavailable, "answered 500", "error"),
        (error(503, "timeout", "query timed out"), Unavailable, "answered 503: query timed out", "error"),
        (html(502), Unavailable, "answered 502", "error"),
        (
            error(429, "", "too many outstanding requests", **{"Retry-After": "7"}),
            Unavailable,
            "come back later",
            "busy",
        ),
        (error(422, "execution", "too many samples"), UpstreamError, "answered 422: too many samples", "refused"),
        (error(400, "bad_data", "parse error"), UpstreamError, "answered 400: parse error", "refused"),
        (html(401), UpstreamError, "FEATUREWATCH_PROMETHEUS_TOKEN_FILE", "refused"),
        (html(404), UpstreamError, "is the address right", "refused"),
        (httpx.Response(302, headers={"Location": "/login"}), UpstreamError, "sent us elsewhere", "refused"),
    ],
)
async def test_a_refusal_is_told_with_the_upstreams_words(
    answer: httpx.Response, expected: type[Exception], words: str, reason: str
) -> None:
    async with faked(lambda _: answer) as store:
        for asked in (
            store.measure(None, 300), store.keys(), store.info(), store.costs(CHAT, 300), store.errors(CHAT, 300),
            store.history(CHAT, "uptime", 0, 60_000, 60), store.in_progress(None), store.ping(),
        ):  # fmt: skip
            with pytest.raises(expected, match=words):
                await asked
        assert store.stats.failures == {reason: 8}


async def test_an_error_told_with_status_200_is_one() -> None:
    async with faked(lambda _: httpx.Response(200, json={"status": "error", "error": "no store matched"})) as store:
        with pytest.raises(UpstreamError, match="no store matched"):
            await store.measure(None, 300)


@pytest.mark.parametrize(
    "more",
    [{"warnings": ["store 10.0.0.7 is unreachable"]}, {"isPartial": True}, {"warnings": ["PromQL info: x", "y"]}],
)
async def test_an_answer_from_a_part_of_the_data_is_none(more: dict[str, Any]) -> None:
    async with faked(lambda _: told("vector", [], **more)) as store:
        with pytest.raises(Unavailable, match="from a part of its data"):
            await store.measure(None, 300)


async def test_remarks_on_an_expression_do_no_harm() -> None:
    async with faked(lambda _: told("vector", [], warnings=["PromQL info: metric might not be a counter"])) as store:
        assert await store.measure([CHAT], 300) == {}


async def test_what_is_no_finite_number_cannot_be_known() -> None:
    fake = Fake()
    key = {"feature": "chat", "environment": "production"}
    fake.extra = [
        {"metric": {"stat": "feature_requests_total", "outcome": outcome, **key}, "value": [0, value]}
        for outcome, value in (("success", "NaN"), ("error", "+Inf"), ("cancelled", "3"))
    ]
    async with faked(fake) as store:
        figures = (await store.measure(None, 300))[CHAT].metrics
    assert (figures["total_requests"], figures["error_rate"]) == (3, None)


async def test_an_answer_that_does_not_come_is_given_up() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with faked(never) as store:
        with pytest.raises(Unavailable, match=r"did not answer within 0\.5 s"):
            await store.measure(None, 300)
        assert store.stats.failures == {"timeout": 1}


async def test_an_answer_that_trickles_is_given_up_too() -> None:
    class Drops(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.05)

    async with faked(lambda _: httpx.Response(200, stream=Drops())) as store:
        with pytest.raises(Unavailable, match="did not answer within"):
            await store.measure(None, 300)


async def test_an_answer_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flood(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" " * 65_536

    monkeypatch.setattr("featurewatch.stores.upstream.MOST_BYTES", 1_000_000)
    async with faked(lambda _: httpx.Response(200, stream=Flood())) as store:
        with pytest.raises(UpstreamError, match="more than 1 MB"):
            await store.measure(None, 300)


async def test_a_caller_that_gives_up_ends_the_request() -> None:
    running, ended = asyncio.Event(), asyncio.Event()

    async def slow(request: httpx.Request) -> httpx.Response:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with faked(slow) as store:
        asking = asyncio.create_task(store.measure([CHAT], 300))
        await running.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.wait_for(ended.wait(), 10)


async def test_a_server_that_dies_in_mid_query_is_unavailable_until_it_is_back(own_prometheus: Prometheus) -> None:
    own_prometheus.start()
    now_ns = [NOW + SHIFT_NS]
    own_prometheus.write(points_of(flat(steady().pushes(every_s=15)), shift_ms=SHIFT_NS // 1_000_000))
    target = Target("Prometheus", "FEATUREWATCH_PROMETHEUS", own_prometheus.url, timeout_s=60)
    store = PrometheusStore(Upstream(target), clock=lambda: now_ns[0])
    try:
        expected = (await store.measure(None, 300))[CHAT].metrics
        own_prometheus.pause()
        asking = asyncio.create_task(store.measure(None, 300))
        await asyncio.to_thread(wait_for, lambda: _waits_for_an_answer(own_prometheus.port))
        own_prometheus.kill()
        with pytest.raises(Unavailable, match="broke off"):
            await asking
        with pytest.raises(Unavailable, match="cannot be reached"):
            await store.measure(None, 300)
        assert store.stats.failures["unreachable"] >= 1
        await asyncio.to_thread(own_prometheus.start)
        assert (await store.measure(None, 300))[CHAT].metrics == expected
    finally:
        await store.close()


def _waits_for_an_answer(port: int) -> bool:
    """Whether bytes of a request lie unread at a local port."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local == wanted and state == "01" and int(queues.partition(":")[2], 16) > 0:
            return True
    return False


async def test_a_server_that_hangs_is_given_up_in_time(own_prometheus: Prometheus) -> None:
    own_prometheus.start()
    target = Target("Prometheus", "FEATUREWATCH_PROMETHEUS", own_prometheus.url, timeout_s=1)
    store = PrometheusStore(Upstream(target))
    own_prometheus.pause()
    try:
        with pytest.raises(Unavailable, match="did not answer within 1 s"):
            await store.measure(None, 300)
    finally:
        own_prometheus.resume()
        await store.close()


async def test_a_number_is_answered_alike() -> None:
    upstream = Upstream(
        Target("Prometheus", "X", "http://p"), transport=httpx.MockTransport(lambda _: told("scalar", [0, "3"]))
    )
    async with upstream:
        assert [one.value for one in await QueryApi(upstream).instant("3", NOW)] == [3]


async def test_an_answer_is_read_whatever_its_coding() -> None:
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode()
    answer = httpx.Response(200, content=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    async with faked(lambda _: answer) as store:
        assert await store.measure([CHAT], 300) == {}
