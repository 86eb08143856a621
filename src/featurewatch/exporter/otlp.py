"""Totals pushed by OTLP: snapshots rendered to OpenTelemetry's data model, sent by its own exporter."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..families import BUCKETS, DROPPED, FAMILIES, PRICE_TABLE, Family
from ..model import FeatureKey
from . import tls
from .answers import one_line, otlp_text
from .config import Config
from .drops import Drops
from .otel_logs import read_headers, read_resource
from .prices import known_table_version
from .snapshot import Distribution, Snapshot
from .worker import LOADING, Pause, Worker, silence

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.resources import Resource
    from requests import Response

_EXPORTER_LOGGER: Final = "opentelemetry.exporter.otlp.proto.http.metric_exporter"
_RETRIED: Final = re.compile(r"^Transient error (.*) encountered while exporting metrics batch, retrying in .*$", re.S)
"""How OpenTelemetry's exporter words what it tries again; that it does is its own affair."""

_LAST_WORD_S: Final = 0.3

_CAUSE: Final = re.compile(r"""^.*\(Caused by (\w+\(["'])\w+\(host='[^']*', port=\d+\): (.*)\)$""", re.S)
"""How requests words that no connection comes about: the cause last, and the host three times before it."""

_TIMEOUT: Final = 5.0
"""Seconds a push may take, its retries included, where OTEL_EXPORTER_OTLP_TIMEOUT says nothing."""


class Host(Protocol):
    """What a pusher needs of the runtime."""

    drops: Drops
    instance: str

    def snapshots(self) -> list[Snapshot]: ...


class Pusher:
    """Pushes all totals at an interval, and when someone flushes.

    Totals are cumulative: a push that fails loses nothing, the next one carries it.
    """

    def __init__(
        self,
        host: Host,
        config: Config,
        *,
        on_start: Callable[[], None] | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._host = host
        self._config = config
        self._clock = clock
        self._started = clock()
        self._exporter: Any = None
        self.reason = ""
        self._answer: Response | None = None
        self.held = False
        self.worker = Worker("metrics", self._push, on_start)

    observe: Final = None
    """Nothing is told of single calls: their totals are pushed."""

    def stop(self, deadline: float) -> None:
        """End the thread, and a retry that it waits in; tell where the last figures were not taken by then."""
        exporter = self._exporter
        if exporter is not None:
            exporter.shutdown()
        # A retry that ended tells why it was one.
        self.worker.stop(max(deadline, time.monotonic() + _LAST_WORD_S) if self.worker.asked else deadline, flush=False)
        if self.worker.asked:
            url = self._config.metrics_url
            self._host.drops.tell(f"push {url}", "metrics could not be pushed to %s in time", url)

    def _push(self) -> Pause:
        if self.held:
            return Pause(self._config.push_interval)
        host, url = self._host, self._config.metrics_url
        snapshots = host.snapshots()
        if not snapshots:
            return Pause(self._config.push_interval)
        self.reason, self._answer = "no answer", None
        try:
            sent = self._sent(snapshots)
        except Exception as error:  # a CA file that is none, a proxy's name that cannot be read, ...
            sent, self.reason = False, f"{type(error).__name__}: {error}"
        if sent:
            host.drops.recovered(f"push {url}", "metrics are pushed to %s again", url)
            return Pause(self._config.push_interval)
        host.drops.count("metrics", "push_failed")
        host.drops.tell(
            f"push {url}", "metrics could not be pushed to %s (%s)%s; they are kept and pushed again",
            url, self._why(), self._hint(),
        )  # fmt: skip
        return Pause(min(1.0, self._config.push_interval) if self.worker.hurried else self._config.push_interval, False)

    def _why(self) -> str:
        """Word what went wrong, with what the answer says of it, if it says anything."""
        answer = self._answer
        if answer is None or answer.status_code < 400:
            return self.reason
        with LOADING:
            text = otlp_text(answer.headers.get("Content-Type", ""), answer.content)
        return one_line(answer.status_code, text) if text else self.reason

    def _hint(self) -> str:
        """Say what to look at where what is pushed is denied."""
        status = 0 if self._answer is None else self._answer.status_code
        bridge = self._config.is_bridge(self._config.metrics_url)
        if status in (401, 403):
            wanted = "token to one with the role ingest" if bridge else "OTEL_EXPORTER_OTLP_HEADERS"
            return f": set {wanted}"
        if 300 <= status < 500 and status not in (400, 408, 413, 422, 429):
            return f": is {'endpoint' if bridge else 'otlp_endpoint'} right?"
        return ""

    def _sent(self, snapshots: Sequence[Snapshot]) -> bool:
        if self._exporter is None:
            with LOADING:
                self._exporter = self._new_exporter()
        host = self._host
        data = render(
            snapshots, host.drops.snapshot(), service=self._config.service_name, instance=host.instance,
            started_ns=self._started, now_ns=self._clock(), price_table=known_table_version(),
        )  # fmt: skip
        _pushing.by = self
        sent: bool = self._exporter.export(data).name == "SUCCESS"
        return sent if self._answer is None else sent and self._is_taken(self._answer)

    def _is_taken(self, answer: Response) -> bool:
        """Read what OpenTelemetry's exporter does not: a redirection takes nothing, and a success may be a partial one.

        https://opentelemetry.io/docs/specs/otlp/#partial-success-1
        """
        status, place = answer.status_code, answer.headers.get("Location", "")
        # One that was followed was not a POST any more.
        if not 200 <= status < 300 or answer.request.method != "POST":
            self.reason = f"{status} {answer.reason or ''}".strip() + (f", points to {place}" if place else "")
            return False
        if not answer.content:
            return True
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

        message = ExportMetricsServiceResponse()
        try:
            message.ParseFromString(answer.content)
        except DecodeError:
            # An answer of another kind; its status says that the metrics were taken.
            return True
        partial = message.partial_success
        if partial.rejected_data_points > 0:
            self._host.drops.count("metrics", "rejected", count=partial.rejected_data_points)
        if partial.rejected_data_points > 0 or partial.error_message:
            self._host.drops.tell(
                "push rejected", "%s rejected %d data points: %.500s",
                self._config.metrics_url, partial.rejected_data_points, partial.error_message or "no reason given",
            )  # fmt: skip
        return True

    def _hear_answer(self, answer: Response, *args: Any, **kwargs: Any) -> None:
        self._answer = answer

    def _new_exporter(self) -> Any:
        """Import all that a push needs, what it would import at its first request included, and make the exporter."""
        import encodings.idna  # noqa: F401  # what urllib3 imports with a first connection
        import netrc  # noqa: F401  # what requests imports with a first request

        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        logging.getLogger(_EXPORTER_LOGGER).addFilter(_hear)
        silence("urllib3.connectionpool")
        silence("opentelemetry.util.re")  # It shows wrong headers, secrets and all; `config` tells of them.
        url = self._config.metrics_url
        headers = self._config.headers(url)
        session = None
        # A session of one's own would take the place of the one that such a provider makes.
        if not any(name.endswith("_CREDENTIAL_PROVIDER") for name in os.environ):
            # What OTEL_EXPORTER_OTLP_HEADERS has for a collector is not for a bridge.
            told = {} if self._config.is_bridge(url) else read_headers(os.environ, "METRICS")[0]
            session = tls.session(self._config, {**told, **headers})
            session.hooks["response"].append(self._hear_answer)
        named = ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
        timeouts = ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
        return OTLPMetricExporter(
            endpoint=url,
            session=session,
            certificate_file=self._config.tls_ca_file or None,
            headers=headers,
            compression=None if any(os.environ.get(name) for name in named) else Compression.Gzip,
            timeout=None if any(os.environ.get(name) for name in timeouts) else _TIMEOUT,
        )


_pushing: Final = threading.local()
"""By whom a thread pushes."""


def _hear(record: logging.LogRecord) -> bool:
    """Take the reason from what OpenTelemetry's exporter logs on our thread, and keep the line out of the app's log,
    where it would come with every push; `_push` tells once. Other exporters of the app are left alone.
    """
    pusher: Pusher | None = getattr(_pushing, "by", None)
    if pusher is None:
        return True
    if record.levelno >= logging.WARNING and pusher.reason == "no answer":
        pusher.reason = _CAUSE.sub(r"\1\2", _RETRIED.sub(r"\1", record.getMessage()))
    return False


def render(
    snapshots: Iterable[Snapshot],
    dropped: Mapping[tuple[str, str, FeatureKey], int],
    *,
    service: str,
    instance: str,
    started_ns: int,
    now_ns: int,
    price_table: str = "",
) -> MetricsData:
    """Render snapshots as cumulative OTLP metrics: names, labels and buckets as in `families`, counts as integers."""
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        HistogramDataPoint,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
        Sum,
    )
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    cumulative = AggregationTemporality.CUMULATIVE
    numbers: dict[str, list[NumberDataPoint]] = {}
    histograms: dict[str, list[HistogramDataPoint]] = {}
    for snapshot in snapshots:
        base = {"feature": snapshot.key.feature, "environment": snapshot.key.environment}
        for name, series in snapshot.numbers.items():
            labels = FAMILIES[name].labels
            numbers.setdefault(name, []).extend(
                NumberDataPoint(_attributes(base, labels, values), snapshot.start_ns, now_ns, value)
                for values, value in series.items()
            )
        for name, distribution in snapshot.distributions.items():
            histograms.setdefault(name, []).append(
                _histogram_point(HistogramDataPoint, base, distribution, snapshot.start_ns, now_ns)
            )
    numbers[DROPPED.name] = [
        NumberDataPoint(
            _attributes(_known(key), DROPPED.labels, (signal, reason)), started_ns, now_ns, count
        )
        for (signal, reason, key), count in dropped.items()
    ]  # fmt: skip

    if price_table:
        numbers[PRICE_TABLE.name] = [
            NumberDataPoint(_attributes({}, PRICE_TABLE.labels, (price_table,)), started_ns, now_ns, 1)
        ]

    def data(family: Family) -> Any:
        if family.kind == "histogram":
            return Histogram(histograms[family.name], cumulative)
        points = numbers[family.name]
        return Gauge(points) if family.kind == "gauge" else Sum(points, cumulative, is_monotonic=True)

    metrics = [
        Metric(family.name, family.help, family.unit, data(family))
        for family in (*FAMILIES.values(), PRICE_TABLE)
        if numbers.get(family.name) or histograms.get(family.name)
    ]
    resource = _resource(service, instance)
    scope = InstrumentationScope("featurewatch")
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _resource(service: str, instance: str) -> Resource:
    """Name who sends, and what OTEL_RESOURCE_ATTRIBUTES adds to it.

    Not by Resource.create, which asks its detectors on a thread pool: none can be used while the process ends. Nor by
    OpenTelemetry's detector, which tells of a wrong variable each time.
    """
    from opentelemetry.sdk.resources import Resource

    known = {"service.name": service, "service.instance.id": instance, "telemetry.sdk.language": "python"}
    return Resource({**read_resource(os.environ), **known})


def _attributes(base: Mapping[str, str], labels: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    return {**base, **dict(zip(labels, values, strict=True))}


def _known(key: FeatureKey) -> dict[str, str]:
    """Leave out what is empty: to Prometheus an empty label is an absent one."""
    return {name: value for name, value in key._asdict().items() if value}


def _histogram_point(
    point: Any, base: Mapping[str, str], distribution: Distribution, start_ns: int, now_ns: int
) -> Any:
    return point(
        attributes=base,
        start_time_unix_nano=start_ns,
        time_unix_nano=now_ns,
        count=sum(distribution.counts),
        sum=distribution.sum,
        bucket_counts=distribution.counts,
        explicit_bounds=BUCKETS,
        # Extremes of a whole process's life say nothing, so none are kept; both are optional in OTLP.
        min=None,
        max=None,
    )
