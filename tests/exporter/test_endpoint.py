"""The answer to a scrape: formats, encodings, methods, what else is shown, and an event loop that goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import math
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

import featurewatch
from exporter.recorded import dropped, recorded
from featurewatch import Feature
from featurewatch.exporter import call as calls
from featurewatch.exporter.endpoint import INLINE_FEATURES, Endpoint
from featurewatch.exporter.exposition import Exposition, State
from featurewatch.exporter.negotiation import OPENMETRICS, TEXT, accepts_gzip, choose
from featurewatch.exporter.runtime import RUNTIME
from featurewatch.exporter.snapshot import Distribution, Snapshot
from featurewatch.model import FeatureKey

OPEN = "application/openmetrics-text; version=1.0.0"
DURATION = "feature_request_duration_seconds"


def get(method: str = "GET", *, registry: Any = None, **headers: str) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=featurewatch.metrics_app(registry))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, "/metrics", headers={"accept-encoding": "", **headers})

    return asyncio.run(main())


def samples(text: str, parse: Callable[[str], Any]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8", OPENMETRICS),
        ('application/openmetrics-text; version="0.0.1"', OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.5,text/plain;version=0.0.4;q=0.8", TEXT),
        ("application/openmetrics-text;q=0.5,text/plain;version=0.0.3", OPENMETRICS),
        ("application/openmetrics-text;q=high,text/plain;q=0.1", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
         "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4",
         OPENMETRICS),
        ("application/json", TEXT),
        (";;;,,=,q", TEXT),
    ],
)  # fmt: skip
def test_the_format_is_what_the_scraper_likes_better(accept: str, expected: object) -> None:
    assert choose(accept) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("", False), ("gzip", True), ("deflate, gzip;q=0.5", True), ("gzip;q=0", False), ("*", True), ("identity", False),
     ("gzip;q=0, *", False), ("gzip;q=nan", False)],
)  # fmt: skip
def test_gzip_is_used_where_it_is_accepted(accept: str, expected: bool) -> None:
    assert accepts_gzip(accept) is expected
    Feature("chat")
    answer = Endpoint(RUNTIME).answer("GET", "", accept)
    assert (("Content-Encoding", "gzip") in answer.headers) is expected
    text = gzip.decompress(answer.body) if expected else answer.body
    assert b"feature_requests_total" in text
    assert ("Content-Length", str(len(answer.body))) in answer.headers


def test_methods_are_answered_as_http_has_it() -> None:
    Feature("chat")
    full, head = get(), get("HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == full.headers["content-length"]
    assert get("OPTIONS").headers["allow"] == "GET, HEAD, OPTIONS"
    refused = get("POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_an_app_of_its_own_answers_the_server_s_lifespan() -> None:
    async def main() -> list[str]:
        waiting = ["lifespan.startup", "lifespan.shutdown"]
        said: list[str] = []

        async def receive() -> dict[str, str]:
            return {"type": waiting.pop(0)}

        async def send(message: dict[str, str]) -> None:
            said.append(message["type"])

        await featurewatch.metrics_app()({"type": "lifespan"}, receive, send)
        return said

    assert asyncio.run(main()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("accept", ["", OPEN])
def test_what_else_is_in_a_registry_follows_ours_which_is_shown_once(accept: str) -> None:
    Feature("chat")
    registry = CollectorRegistry()
    Counter("http_requests", "Of the app.", ["route"], registry=registry).labels("/a").inc(3)
    registry.register(featurewatch.collector())
    text = get(registry=registry, accept=accept).text
    found = samples(text, parse_openmetrics if accept else parse_text)
    assert found["http_requests_total", frozenset({("route", "/a")})] == 3
    assert text.count("# TYPE feature_requests_in_progress gauge") == 1
    assert text.count("# EOF") == bool(accept)


@pytest.mark.parametrize("accept", ["", OPEN])
def test_lines_that_wait_are_shown_in_bytes_by_where(accept: str, tmp_path: Path) -> None:
    feature = Feature("chat")
    assert "featurewatch_waiting_bytes" not in get(accept=accept).text, "nothing is shipped"
    featurewatch.configure(loki_url="http://127.0.0.1:9", spool_dir=str(tmp_path))
    logger = logging.Logger("app")
    logger.addHandler(featurewatch.LogHandler())
    with feature.call():
        logger.info("a line that nobody takes")
    registry = CollectorRegistry()
    registry.register(featurewatch.collector())

    def waits() -> dict[str, float]:
        text = get(registry=registry, accept=accept).text
        assert text.count("# TYPE featurewatch_waiting_bytes gauge") == 1
        found = samples(text, parse_openmetrics if accept else parse_text)
        return {dict(labels)["where"]: value for (name, labels), value in found.items() if "waiting" in name}

    deadline = time.monotonic() + 30
    while not (seen := waits())["spool"]:
        assert time.monotonic() < deadline, seen
        threading.Event().wait(0.05)
    assert seen.keys() == {"memory", "spool"}
    collected = {family.name: family for family in featurewatch.collector().collect()}
    assert {sample.labels["where"] for sample in collected["featurewatch_waiting_bytes"].samples} == seen.keys()
    featurewatch.shutdown(timeout=0)


@pytest.mark.parametrize("openmetrics", [False, True])
@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 1e300) | st.integers(0, 2**70), min_size=1, max_size=4),
    labels=st.lists(st.text(max_size=8), min_size=4, max_size=4, unique=True),
    counts=st.lists(st.integers(0, 2**53), min_size=15, max_size=15),
)
def test_any_labels_and_values_come_back_as_they_went(
    openmetrics: bool, values: list[float], labels: list[str], counts: list[int]
) -> None:
    # prometheus_client's parser of the text format strips blanks, and both split lines at more than the format does.
    labels = [
        f"x{''.join(c for c in label.strip() if c not in chr(13) + chr(0))}%sx{n}" for n, label in enumerate(labels)
    ]
    key = FeatureKey(labels[0], labels[1])
    costs = {(f"m{number}{labels[2]}", labels[3]): value for number, value in enumerate(values)}
    snapshot = Snapshot(key, 1, {"feature_cost_usd_total": costs}, {DURATION: Distribution(tuple(counts), 1.5)})
    exposition = Exposition()
    for _ in range(2):
        text = exposition.render(State([snapshot], {}), openmetrics=openmetrics)
    found = samples(text, parse_openmetrics if openmetrics else parse_text)
    base = {("feature", key.feature), ("environment", key.environment)}
    for (model, source), value in costs.items():
        assert math.isclose(
            found["feature_cost_usd_total", frozenset({*base, ("model", model), ("source", source)})], value
        )
    assert found[f"{DURATION}_count", frozenset(base)] == sum(counts)
    assert found[f"{DURATION}_bucket", frozenset({*base, ("le", "0.02")})] == counts[0] + counts[1]


def test_series_that_are_no_more_are_forgotten() -> None:
    exposition = Exposition()
    for number in range(5):
        key = FeatureKey(f"f{number}", "production")
        text = exposition.render(State([Snapshot(key, 1, {"feature_cost_usd_total": {("m", "s"): 1.0}}, {})], {}),
                                 openmetrics=False)  # fmt: skip
        assert text.count("feature_cost_usd_total{") == 1
    assert len(exposition._features) == 1


def test_created_is_shown_on_request_and_in_openmetrics_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    feature = Feature("chat", models=["m"])
    assert "_created" not in get(accept=OPEN).text
    featurewatch.configure(created=True)
    found = samples(get(accept=OPEN).text, parse_openmetrics)
    base = {("feature", "chat"), ("environment", "development")}
    start = feature._aggregate.snapshot().start_ns / 1e9 if feature._aggregate else 0
    for name, labels in ((f"{DURATION}_created", base), ("feature_requests_created", {*base, ("outcome", "error")})):
        assert math.isclose(found[name, frozenset(labels)], start)
    assert "_created" not in get().text
    monkeypatch.setenv("FEATUREWATCH_CREATED", "1")
    featurewatch.configure()
    assert RUNTIME.config.created
    monkeypatch.setenv("PROMETHEUS_DISABLE_CREATED_SERIES", "True")
    featurewatch.configure()
    assert not RUNTIME.config.created
    featurewatch.configure(created=True)
    assert RUNTIME.config.created


def exemplars(text: str) -> dict[str, Any]:
    return {
        sample.labels["le"]: sample.exemplar
        for family in parse_openmetrics(text)
        if family.name == DURATION
        for sample in family.samples
        if sample.exemplar is not None
    }


def test_a_call_that_is_traced_is_its_bucket_s_exemplar() -> None:
    feature = Feature("chat")
    with feature.call() as call:
        call.trace(0xABC, 0xDEF)
    with feature.call() as call:
        call.trace("datadog-17")
    (le, exemplar), = exemplars(get(accept=OPEN).text).items()  # fmt: skip
    assert (le, exemplar.labels) == ("0.01", {"trace_id": "datadog-17"})
    assert 0 <= exemplar.value <= 0.01
    assert "trace_id" not in get().text
    registry = CollectorRegistry()
    registry.register(featurewatch.collector())
    theirs = exemplars(generate_openmetrics(registry).decode())[le]
    assert (theirs.labels, theirs.value) == (exemplar.labels, exemplar.value)


def test_the_longest_ids_are_an_exemplar_that_openmetrics_allows() -> None:
    feature = Feature("chat")
    with feature.call() as call:
        call.trace("a" * 64, "b" * 48)
        call.trace("of another span", "c" * 49)
    (exemplar,) = exemplars(get(accept=OPEN).text).values()
    assert exemplar.labels == {"trace_id": "a" * 64, "span_id": "b" * 48}
    assert dropped("calls", "invalid_value") == 1


@pytest.mark.parametrize("wrong", ["", "with blank", "x" * 65, 0, -1, 2**128, 1.5, None, True])
def test_a_trace_id_that_cannot_be_one_is_told_and_left_out(wrong: Any, caplog: pytest.LogCaptureFixture) -> None:
    feature = Feature("chat")
    with feature.call() as call:
        call.trace(wrong)
    assert exemplars(get(accept=OPEN).text) == {}
    assert dropped("calls", "invalid_value") == 1
    assert "trace" in caplog.text
    assert recorded(feature).success == 1


def run(script: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_current_span_of_opentelemetry_is_the_exemplar_if_it_is_sampled() -> None:
    """In a process of its own: a tracer provider is set once in a process."""
    found = run("""if True:
        import json, featurewatch
        from featurewatch.exporter.runtime import RUNTIME
        feature = featurewatch.Feature("chat")
        with feature.call():
            pass
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ParentBased, ALWAYS_ON, ALWAYS_OFF
        RUNTIME.snapshots()
        unset = feature._aggregate.tracer is None
        trace.set_tracer_provider(TracerProvider())
        RUNTIME.snapshots()
        with trace.get_tracer("app").start_as_current_span("request") as span, feature.call():
            pass
        with feature.call():
            pass
        with TracerProvider(sampler=ALWAYS_OFF).get_tracer("x").start_as_current_span("unsampled"), feature.call():
            pass
        (snapshot,) = RUNTIME.snapshots()
        (exemplar,) = snapshot.exemplars.values()
        context = span.get_span_context()
        print(json.dumps({"unset": unset, "exemplar": exemplar[:2], "kept": len(feature._aggregate.traces),
            "span": [f"{context.trace_id:032x}", f"{context.span_id:016x}"]}))
    """)
    assert found["unset"] is True, "before the app traces, no call pays for it"
    assert found["exemplar"] == found["span"]
    assert found["kept"] == 0


def test_a_tracer_that_fails_harms_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import trace

    monkeypatch.setattr(trace, "get_tracer_provider", lambda: TracerProvider(sampler=ALWAYS_OFF))
    monkeypatch.setattr(trace, "get_current_span", lambda: 1 / 0)
    feature = Feature("chat")
    RUNTIME.snapshots()
    assert feature._aggregate is not None
    assert feature._aggregate.tracer is not None
    with feature.call():
        pass
    assert recorded(feature).success == 1


def test_features_over_the_limit_count_for_other_and_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    featurewatch.configure(max_features=2)
    first, second = Feature("a"), Feature("b")
    for number in range(50):
        extra = Feature(f"user-{number}")
        assert extra.id == f"user-{number}"
        with extra.call() as call:
            call.tokens(input=1)
    assert Feature("a") is first
    assert [snapshot.key.feature for snapshot in RUNTIME.snapshots()] == ["a", "b", "other"]
    (other,) = (snapshot for snapshot in RUNTIME.snapshots() if snapshot.key.feature == "other")
    assert other.numbers["feature_requests_total"]["success",] == 50
    assert recorded(second).success == 0
    assert dropped("calls", "feature_limit") == 50
    assert caplog.text.count("one too many") == 1
    assert len(RUNTIME.features) == 2
    kept = Feature("late")
    featurewatch.configure(max_features=2, environment="production")
    with kept.call():
        pass
    assert {snapshot.key for snapshot in RUNTIME.snapshots() if snapshot.key.feature == "other"} == {
        ("other", "development"), ("other", "production")
    }  # fmt: skip


def test_the_event_loop_goes_on_while_many_features_are_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(INLINE_FEATURES + 1):
        Feature(f"f{number}")
    threads: list[str] = []
    render = Exposition.render

    def watched(self: Exposition, state: State, **options: bool) -> str:
        threads.append(threading.current_thread().name)
        return render(self, state, **options)

    monkeypatch.setattr(Exposition, "render", watched)
    assert get().status_code == 200
    assert threads[0] != threading.main_thread().name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed")
def test_promtool_accepts_the_text_of_the_endpoint() -> None:
    feature = Feature("chat", models=["m"], budget_usd_per_day=3)
    with feature.call() as call:
        call.fail('"odd"\n\\')
        call.first_token()
    feature.probe(ok=False)
    checked = subprocess.run(["promtool", "check", "metrics"], input=get().text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_counts_of_a_scrape_belong_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcome and duration of a call appear together, also while calls end on other threads."""
    monkeypatch.setattr(calls, "FOLD_AT", 3)
    feature = Feature("chat")
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with feature.call():
                pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(12):
            found = samples(get().text, parse_text)
            base = {("feature", "chat"), ("environment", "development")}
            assert (
                found[f"{DURATION}_count", frozenset(base)]
                == found["feature_requests_total", frozenset({*base, ("outcome", "success")})]
            )
    finally:
        stop.set()
        for thread in threads:
            thread.join()
