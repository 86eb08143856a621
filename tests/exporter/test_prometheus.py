"""`/metrics` and the collector, read by prometheus_client's own parsers and by promtool."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from starlette.applications import Starlette

import featurewatch
from featurewatch import Feature
from featurewatch.families import BUCKETS, FAMILIES, PRICE_TABLE

BASE = {"feature": "chat", "environment": "production"}


def some_calls() -> None:
    featurewatch.configure(environment="production")
    feature = Feature("chat", name='The "chat"\n', owner="docs", models=["gpt-5-mini"], budget_usd_per_day=20)
    with feature.call() as call:
        call.tokens(input=10, output=5)
        call.cost(0.25)
        call.first_token()
    with feature.call() as call:
        call.fail("refused")
    feature.probe(ok=True)


def exposition() -> str:
    registry = CollectorRegistry()
    registry.register(featurewatch.collector())
    return generate_latest(registry).decode()


def samples(text: str, parse: Callable[[str], Any]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], family: str, /, **labels: str) -> float:
    return found[family, frozenset((BASE | labels).items())]


def test_the_text_holds_every_family_with_its_values() -> None:
    some_calls()
    found = samples(exposition(), parse_text)
    assert value(found, "feature_requests_total", outcome="success") == 1
    assert value(found, "feature_requests_total", outcome="error") == 1
    assert value(found, "feature_requests_total", outcome="cancelled") == 0
    assert value(found, "feature_errors_total", error_type="refused") == 1
    assert value(found, "feature_request_duration_seconds_count") == 2
    assert value(found, "feature_request_duration_seconds_bucket", le="+Inf") == 2
    assert value(found, "feature_time_to_first_token_seconds_count") == 1
    assert value(found, "feature_requests_in_progress") == 0
    assert value(found, "feature_tokens_total", model="gpt-5-mini", kind="input") == 10
    assert value(found, "feature_tokens_total", model="gpt-5-mini", kind="reasoning") == 0
    assert value(found, "feature_cost_usd_total", model="gpt-5-mini", source="reported") == 0.25
    assert value(found, "feature_cost_usd_total", model="gpt-5-mini", source="estimated") == 0
    assert value(found, "feature_unpriced_requests_total", model="gpt-5-mini") == 0
    assert value(found, "feature_budget_usd_per_day") == 20
    assert value(found, "feature_probe_success") == 1
    assert value(found, "feature_info", name='The "chat"\n', owner="docs", version="") == 1
    nowhere = {"feature": "", "environment": ""}
    assert value(found, "featurewatch_dropped_total", signal="logs", reason="queue_full", **nowhere) == 0


def test_bounds_are_the_agreed_ones() -> None:
    some_calls()
    bounds = {
        dict(labels)["le"]
        for name, labels in samples(exposition(), parse_text)
        if name == "feature_request_duration_seconds_bucket"
    }
    assert bounds == {f"{bound:g}" for bound in BUCKETS} | {"+Inf"}


def test_family_names_and_kinds_are_the_tables() -> None:
    some_calls()
    kinds = {family.name: family.type for family in parse_text(exposition())}
    assert kinds == {
        name.removesuffix("_total"): family.kind
        for name, family in (*FAMILIES.items(), (PRICE_TABLE.name, PRICE_TABLE))
    }


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed")
def test_promtool_accepts_the_text() -> None:
    some_calls()
    checked = subprocess.run(["promtool", "check", "metrics"], input=exposition(), capture_output=True, text=True)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def get(app: Any, path: str = "/metrics", **headers: str) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(main())


def test_the_asgi_app_negotiates_openmetrics() -> None:
    some_calls()
    plain = get(featurewatch.metrics_app())
    assert plain.headers["content-type"].startswith("text/plain")
    open_metrics = get(featurewatch.metrics_app(), accept="application/openmetrics-text; version=1.0.0")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert samples(open_metrics.text, parse_openmetrics) == samples(plain.text, parse_text)


def test_the_wsgi_app_answers() -> None:
    some_calls()
    with httpx.Client(transport=httpx.WSGITransport(app=featurewatch.metrics_wsgi_app())) as client:
        answer = client.get("http://app/metrics")
    assert value(samples(answer.text, parse_text), "feature_requests_total", outcome="success") == 1


def test_a_starlette_app_gets_the_route_and_nothing_else() -> None:
    some_calls()
    app = Starlette()
    featurewatch.metrics_route(app)
    answer = get(app)
    assert answer.status_code == 200
    assert value(samples(answer.text, parse_text), "feature_requests_total", outcome="success") == 1
    assert get(app, "/other").status_code == 404


def test_the_collector_registers_before_anything_is_declared() -> None:
    registry = CollectorRegistry()
    registry.register(featurewatch.collector())
    Feature("chat")
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(featurewatch.collector())
    assert registry.get_sample_value(
        "feature_requests_total", {"feature": "chat", "environment": "development", "outcome": "success"}
    ) == 0  # fmt: skip


def test_wrong_exposition_text_never_comes_of_odd_labels() -> None:
    feature = Feature("chat", name="a\\b", models=['quo"te', "new\nline"])
    for model in ("ünï", "\ud800"):
        with feature.call(model=model) as call:
            call.cost(1)
            call.fail("\x00\udfff")
    found = {dict(labels).get("model") for _, labels in samples(exposition(), parse_text)}
    assert {'quo"te', "new\nline", "ünï", "?"} <= found
