"""The totals as a prometheus_client collector, and as `/metrics` for ASGI, WSGI and Starlette."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..families import BUCKETS, DROPPED, FAMILIES, Family
from ..model import FeatureKey
from .aggregate import Distribution, Snapshot
from .runtime import RUNTIME, Runtime

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

_KEY_LABELS = ("feature", "environment")


class FeatureCollector:
    """A prometheus_client collector of every feature's totals; register it with any registry."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Name the families without their samples, so that registering collects nothing."""
        return [_family(family) for family in FAMILIES.values()]

    def collect(self) -> Iterable[Metric]:
        return render(self._runtime.snapshots(), self._runtime.drops.snapshot())


def render(snapshots: Iterable[Snapshot], dropped: Mapping[tuple[str, str, FeatureKey], int]) -> list[Metric]:
    """Render snapshots as prometheus_client metric families, in the order of `families`."""
    families = {name: _family(family) for name, family in FAMILIES.items()}
    for snapshot in snapshots:
        for name, series in snapshot.numbers.items():
            add = families[name].add_metric
            for values, value in series.items():
                add((*snapshot.key, *values), value)
        for name, distribution in snapshot.distributions.items():
            families[name].add_metric(snapshot.key, _cumulative(distribution), distribution.sum)
    for (signal, reason, key), count in dropped.items():
        families[DROPPED.name].add_metric((*key, signal, reason), count)
    return list(families.values())


def _family(family: Family) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    make = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    return make[family.kind](family.name, family.help, labels=(*_KEY_LABELS, *family.labels))


def _cumulative(distribution: Distribution) -> list[tuple[str, int]]:
    return list(zip(_LE, accumulate(distribution.counts), strict=True))


_LE = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")


def collector() -> FeatureCollector:
    """Return the collector of this process's features, for a registry of the app's own."""
    return FeatureCollector(RUNTIME)


def metrics_app() -> Callable[..., Any]:
    """Return an ASGI app that answers every request with the features' metrics, OpenMetrics where it is asked for."""
    from prometheus_client import make_asgi_app

    return make_asgi_app(_registry())


def metrics_wsgi_app() -> Callable[..., Any]:
    """Return a WSGI app that answers every request with the features' metrics, OpenMetrics where it is asked for."""
    from prometheus_client import make_wsgi_app

    return make_wsgi_app(_registry())


def metrics_route(app: Any, path: str = "/metrics") -> None:
    """Add `GET /metrics` to a Starlette or FastAPI app."""
    from starlette.routing import Route

    app.router.routes.append(Route(path, _Endpoint(metrics_app()), methods=["GET"], include_in_schema=False))


class _Endpoint:
    """An ASGI app as an object: Starlette takes a plain function for one of a request."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


def _registry() -> CollectorRegistry:
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(collector())
    return registry
