"""Figures of a feature: usage, performance, cost, health; now and over time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from ... import wire
from ...errors import BadInput, OutOfRange
from ...formulas import METRICS, Metric, metric_named
from ...model import FeatureKey, MetricsSnapshot
from ...snapshots import UPTIME_WINDOW_S
from ...times import NS, format_instant
from .. import parameters, schemas
from ..endpoint import Call, endpoint
from ..http import answer
from ..parameters import Parameter

router = APIRouter(tags=["figures"])

PERFORMANCE: Final = (
    "error_rate", "success_rate", "response_time", "response_time_p50", "response_time_p95", "response_time_p99",
    "time_to_first_token_p95",
)  # fmt: skip
COSTS: Final = ("cost_per_request", "total_cost")
USAGE: Final = tuple(name for name in METRICS if name not in (*PERFORMANCE, *COSTS))

METRIC: Final = Parameter(
    "metric",
    f"Which figure: {', '.join(METRICS)}.",
    "error_rate",
    {"type": "string", "enum": list(METRICS)},
    required=True,
)
STEP: Final = Parameter(
    "step", "The time between two points, such as 15s or 15; by default one that gives at most 300 points.", "15s"
)
HISTORY: Final = (
    METRIC, parameters.START, parameters.END, parameters.TIME_RANGE, STEP, parameters.ENVIRONMENT_PARAMETER,
    parameters.UNKNOWN,
)  # fmt: skip
MOST_POINTS: Final = 11_000
DEFAULT_POINTS: Final = 300
STEPS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
"""Seconds: steps that people read well, the finest first."""


@endpoint(
    router, "GET", "/features/{feature_id}/metrics", "read", parameters=parameters.FIGURES, answer=schemas.MetricsShape
)
async def show_metrics(call: Call) -> Response:
    """Show how much a feature is used, and its uptime, over a window that ends now.

    Uptime is taken over 24 hours where no time_range is given. What cannot be known is null.
    """
    snapshot, window = await _measured(call)
    running = (await call.bridge.stores.metrics.in_progress([snapshot.key])).get(snapshot.key)
    shown = {**_window(snapshot, window, USAGE), **_figures(call, snapshot, USAGE), "requests_in_progress": running}
    return answer(call.request, shown)


@endpoint(
    router,
    "GET",
    "/features/{feature_id}/performance",
    "read",
    parameters=parameters.FIGURES,
    answer=schemas.PerformanceShape,
)
async def show_performance(call: Call) -> Response:
    """Show how often a feature fails and how fast it is, over a window that ends now."""
    snapshot, window = await _measured(call)
    by_type = await _once(call, "errors", snapshot.key, window, call.bridge.stores.metrics.errors)
    figures = _figures(call, snapshot, PERFORMANCE)
    shown = {
        **_window(snapshot, window, PERFORMANCE),
        **figures,
        "avg_response_time": figures["response_time"],
        "errors_by_type": dict(by_type),
    }
    return answer(call.request, shown)


@endpoint(
    router, "GET", "/features/{feature_id}/costs", "read", parameters=parameters.FIGURES, answer=schemas.CostsShape
)
async def show_costs(call: Call) -> Response:
    """Show what a feature costs over a window that ends now, in all and by model, dearest first."""
    snapshot, window = await _measured(call)
    by_model = await _once(call, "costs", snapshot.key, window, call.bridge.stores.metrics.costs)
    info = (await call.bridge.stores.metrics.info()).get(snapshot.key, {})
    shown = {
        **_window(snapshot, window, COSTS),
        **_figures(call, snapshot, COSTS),
        "by_model": [wire.model_cost(cost) for cost in by_model],
    }
    if "budget_usd_per_day" in info:
        shown["budget_usd_per_day"] = float(info["budget_usd_per_day"])
    return answer(call.request, shown)


@endpoint(
    router,
    "GET",
    "/features/{feature_id}/health",
    "read",
    parameters=parameters.FIGURES,
    answer=schemas.HealthShape,
)
async def show_health(call: Call) -> Response:
    """Show whether a feature works, and why not.

    error > unknown > warning > healthy: an open high or critical alert or an error rate of 50 % and more is an
    error, a missed threshold a warning, no data unknown.
    """
    snapshot, _ = await _measured(call)
    full = wire.snapshot(snapshot, unknown_as_zero=call.unknown_as_zero)
    shown = {name: full[name] for name in ("alerts", "environment", "timestamp", "stale")}
    return answer(call.request, {"status": snapshot.health, "reasons": list(snapshot.reasons), **shown})


@endpoint(
    router,
    "GET",
    "/features/{feature_id}/metrics/current",
    "read",
    parameters=parameters.FIGURES,
    answer=schemas.CurrentShape,
)
async def show_current(call: Call) -> Response:
    """Show the snapshot of a feature: what streams send as `metrics_update`."""
    snapshot, _ = await _measured(call)
    return answer(call.request, {"data": wire.snapshot(snapshot, unknown_as_zero=call.unknown_as_zero)})


@endpoint(
    router,
    "GET",
    "/metrics/current",
    "read",
    parameters=(parameters.FEATURES, *parameters.FIGURES),
    answer=schemas.CurrentListShape,
)
async def list_current(call: Call) -> Response:
    """Show the snapshots of features: of those named, or of all that the caller may see."""
    catalog, environment = call.bridge.catalog, call.query.environment()
    named = call.query.texts("feature_id")
    if named:
        records = [await catalog.feature(parameters.feature_id(name), call.caller) for name in named]
    else:
        records = list((await catalog.visible(call.caller)).values())
    keys = [await catalog.key_of(record, environment) for record in records]
    snapshots, _ = await _measure(call, keys)
    return answer(
        call.request,
        {"data": [wire.snapshot(snapshot, unknown_as_zero=call.unknown_as_zero) for snapshot in snapshots]},
    )


@endpoint(
    router,
    "GET",
    "/features/{feature_id}/metrics/history",
    "read",
    parameters=HISTORY,
    answer=schemas.HistoryShape,
)
async def show_history(call: Call) -> Response:
    """Show one figure over time: of the last hour unless a range is given.

    Each point `[epoch milliseconds, figure]` covers the step before it; null is what cannot be known.
    """
    metric = _metric(call.query.text("metric"))
    key = await call.key()
    start_ms, end_ms, step = _range(call)
    points = await call.bridge.flights.run(
        ("history", call.bridge.recent.figures, key, metric.name, start_ms, end_ms, step),
        lambda: _history(call, key, metric, start_ms, end_ms, step),
    )
    unknown = 0 if call.unknown_as_zero else None
    shown = {
        "metric": metric.name,
        "unit": metric.unit,
        "environment": key.environment,
        "step": f"{step}s",
        "points": [(at, unknown if value is None else float(f"{value:.7g}")) for at, value in points],
    }
    return answer(call.request, shown)


async def _measured(call: Call) -> tuple[MetricsSnapshot, float]:
    snapshots, window = await _measure(call, [await call.key()])
    return snapshots[0], window


async def _measure(call: Call, keys: Iterable[FeatureKey]) -> tuple[list[MetricsSnapshot], float]:
    """Measure over the time_range that is asked for; it is then the range of uptime as well."""
    asked = call.query.seconds("time_range", 0)
    snapshots = call.bridge.snapshots
    window = asked or snapshots.window_s
    found = await snapshots.known(frozenset(keys), window_s=window, uptime_window_s=asked or UPTIME_WINDOW_S)
    return found, window


async def _once(call: Call, what: str, key: FeatureKey, window: float, query: Any) -> Any:
    return await call.bridge.flights.run((what, call.bridge.recent.figures, key, window), lambda: query(key, window))


async def _history(
    call: Call, key: FeatureKey, metric: Metric, start_ms: int, end_ms: int, step: int
) -> Iterable[tuple[int, float | None]]:
    return await call.bridge.stores.metrics.history(key, metric.name, start_ms, end_ms, step)


def _figures(call: Call, snapshot: MetricsSnapshot, names: Iterable[str]) -> dict[str, Any]:
    chosen = {name: snapshot.metrics.get(name) for name in names}
    return dict(wire.figures(chosen, unknown_as_zero=call.unknown_as_zero))


def _window(snapshot: MetricsSnapshot, window: float, names: Iterable[str]) -> dict[str, Any]:
    return {
        "environment": snapshot.key.environment,
        "time_range": _duration(window),
        "timestamp": format_instant(snapshot.timestamp_ns),
        "statuses": {name: snapshot.statuses[name] for name in names if name in snapshot.statuses},
        "stale": snapshot.stale,
    }


def _metric(name: str) -> Metric:
    if not name:
        raise BadInput(f"metric is missing: expected one of {', '.join(METRICS)}")
    metric = metric_named(name)
    if metric is None:
        near = parameters.nearest(name.removeprefix("metrics."), METRICS)
        hint = f"did you mean {near}?" if near else f"expected one of {', '.join(METRICS)}"
        raise BadInput(f"metric: {name[:60]!r} is not a figure; {hint}")
    return metric


def _range(call: Call) -> tuple[int, int, int]:
    """Return start and end in epoch milliseconds, both on a multiple of the step, and the step in seconds."""
    now_ns = call.bridge.clock()
    start, end = call.query.span(now_ns)
    end = now_ns if end is None else end
    start = max(0, end - 3600 * NS) if start is None else start
    if start > end:
        raise BadInput("start_time is later than now, and no end_time is given")
    seconds = (end - start) / NS
    step = math.ceil(call.query.seconds("step", 0, bare=True)) or default_step(seconds)
    if seconds / step > MOST_POINTS:
        least = _duration(math.ceil(seconds / MOST_POINTS))
        raise OutOfRange(f"step: expected at least {least} over so long a time, got {call.query.text('step')}")
    # On multiples of the step, so that the same minute asked for twice is the same query.
    return start // NS // step * step * 1000, end // NS // step * step * 1000, step


def default_step(seconds: float) -> int:
    """Choose the finest step of `STEPS` that gives at most 300 points."""
    least = seconds / DEFAULT_POINTS
    return next((step for step in STEPS if step >= least), math.ceil(least / STEPS[-1]) * STEPS[-1])


def _duration(seconds: float) -> str:
    """Write a duration as its parameter is: in the largest unit that divides it."""
    whole = round(seconds)
    unit, size = next(
        (unit, size) for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)) if not whole % size
    )
    return f"{whole // size}{unit}"
