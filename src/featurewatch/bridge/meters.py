"""The bridge's own metrics: requests by route, what was taken in and refused, streams, drops."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import FeaturewatchError
from .throttle import LIMITS

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Labelled: TypeAlias = Mapping[tuple[tuple[str, str], ...], float]
"""Values by labels."""

Told: TypeAlias = tuple[str, Literal["counter", "gauge"], str, Labelled]
"""Name, kind, help, and the value by labels of a family."""


class Meters:
    """Counts into a registry of its own, so that two bridges in one process never share a number."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._loop_readers: list[Callable[[], Iterable[Metric]]] = []
        self._frozen: list[Metric] = []
        self.show(lambda: self._frozen)
        self.requests = Histogram(
            "featurewatch_http_request_duration_seconds",
            "How long requests took to their last byte, by route template; streams are left out.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.running = Gauge(
            "featurewatch_http_requests_in_progress", "Requests that run now, streams included.", registry=self.registry
        )
        self.ingested = Counter(
            "featurewatch_ingested",
            "What was taken in and is safe.",
            ("signal", "protocol"),
            registry=self.registry,
        )
        self.test_results = Counter(
            "featurewatch_test_results",
            "Results of tests that were told, by whether they passed.",
            ("feature", "environment", "passed"),
            registry=self.registry,
        )
        self.refused = Counter(
            "featurewatch_refused",
            "What was refused on the way in, by the code of the error.",
            ("signal", "protocol", "code"),
            registry=self.registry,
        )
        self.limited = Counter(
            "featurewatch_rate_limited",
            "Requests refused since their caller asks too often, by the limit.",
            ("limit",),
            registry=self.registry,
        )
        for limit in LIMITS:
            self.limited.labels(limit)
        ProcessCollector(registry=self.registry)

    @contextmanager
    def refusals(self, signal: str, protocol: str) -> Iterator[None]:
        """Count what is refused within, by its code."""
        try:
            yield
        except FeaturewatchError as error:
            self.refused.labels(signal, protocol, error.code).inc()
            raise

    def show(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Show the families that `read` returns at each scrape; it is called in the scrape's thread."""
        self.registry.register(_Read(read))

    def show_from_loop(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Show the families that `read` returned at the last `freeze`: for what the event loop alone touches."""
        self._loop_readers.append(read)

    def freeze(self) -> None:
        """Read what belongs to the event loop, on it; the scrape then renders it in a thread."""
        self._frozen = [family for read in self._loop_readers for family in read()]


class _Read(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._read()


def families(told: Iterable[Told]) -> Iterator[Metric]:
    """Render what other parts count as plain numbers."""
    for name, kind, help_, values in told:
        labels = sorted({label for series in values for label, _ in series})
        make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
        family = make(name, help_, labels=labels)
        for series, value in values.items():
            given = dict(series)
            family.add_metric([given.get(label, "") for label in labels], value)
        yield family


class MeterRequests:
    """Times requests by the template of the route that answered; whatever no route answers is `none`. Pure ASGI."""

    def __init__(self, app: ASGIApp, meters: Meters, clock: Callable[[], float] = time.perf_counter) -> None:
        self.app = app
        self._meters = meters
        self._clock = clock

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # A coroutine that only waits for another would cost each open WebSocket its memory.
        return self._timed(scope, receive, send) if scope["type"] == "http" else self.app(scope, receive, send)

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = self._clock()
        status, streamed = 500, False

        async def send_and_note(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status = message["status"]
                streamed = any(
                    name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                    for name, value in message["headers"]
                )
            await send(message)

        with self._meters.running.track_inprogress():
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                if not streamed:
                    method = scope["method"] if scope["method"] in _METHODS else "other"
                    route = scope.get("featurewatch.route", "none")
                    self._meters.requests.labels(method, route, str(status)).observe(self._clock() - started)
