"""What the stores and the metric poll count of themselves, for /metrics."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ..stores import Stores
from ..stores.upstream_stats import BOUNDS, FAILURES, UpstreamStats
from ..streams.metric_poll import MetricPoll
from .meters import Labelled, Told
from .otlp_forward import Forwarder


def readings(stores: Stores, poll: MetricPoll) -> Iterator[Told]:
    """Yield the families; a store that keeps nothing itself (over Prometheus or Loki) has none of its own."""
    stats = poll.stats
    yield "featurewatch_poll_ticks_total", "counter", "Times that all features were measured.", {(): stats.ticks}
    yield "featurewatch_poll_failures_total", "counter", "Ticks that failed or were stale.", {(): stats.failures}
    yield "featurewatch_poll_last_seconds", "gauge", "How long the last tick took.", {(): stats.last_seconds}
    removed = getattr(stores.logs, "removed", None)
    if removed is not None:
        by_reason: Labelled = {(("reason", reason),): count for reason, count in removed.items()}
        yield "featurewatch_log_store_removed_lines_total", "counter", "Lines that retention removed.", by_reason
    queued = getattr(stores.logs, "queued_bytes", None)
    if queued is not None:
        yield "featurewatch_log_store_queued_bytes", "gauge", "Bytes of lines that wait for the disk.", {(): queued}
    more = getattr(stores.logs, "readings", None)
    if more is not None:
        yield from more()
    dropped = getattr(stores.metrics, "dropped_samples", None)
    if dropped is not None:
        name, help_ = "featurewatch_metric_store_dropped_samples_total", "Samples too old, or of too many series."
        yield name, "counter", help_, {(): dropped}
    skipped = getattr(stores.metrics, "skipped_series", None)
    if skipped is not None:
        help_ = "Series whose feature or environment is no name that featurewatch takes, at the last tick."
        yield "featurewatch_metric_store_skipped_series", "gauge", help_, {(): skipped}
    recorded = getattr(stores.metrics, "recorded", None)
    if recorded is not None:
        help_ = "Whether figures are read as the recording rules left them."
        yield "featurewatch_metric_store_recorded", "gauge", help_, {(): float(recorded)}


def upstreams(stores: Stores, forwarder: Forwarder | None) -> Iterator[Metric]:
    """Yield how long upstreams take to answer, and how often they fail."""
    counted: dict[str, UpstreamStats | None] = {
        "metrics": getattr(stores.metrics, "stats", None),
        "logs": getattr(stores.logs, "stats", None),
        "otlp": None if forwarder is None else forwarder.upstream.stats,
    }
    name = "featurewatch_upstream"
    seconds = HistogramMetricFamily(f"{name}_request_duration_seconds", "How long answers took.", labels=("upstream",))
    last = GaugeMetricFamily(f"{name}_last_request_seconds", "How long the last answer took.", labels=("upstream",))
    failures = CounterMetricFamily(
        f"{name}_failures", "Requests that failed, by reason.", labels=("upstream", "reason")
    )
    told = {upstream: stats for upstream, stats in counted.items() if isinstance(stats, UpstreamStats)}
    for upstream, stats in told.items():
        cumulative = list(accumulate(stats.counts))
        buckets = [(f"{bound:g}", count) for bound, count in zip(BOUNDS, cumulative, strict=False)]
        seconds.add_metric((upstream,), [*buckets, ("+Inf", cumulative[-1])], stats.seconds)
        last.add_metric((upstream,), stats.last_seconds)
        for reason in FAILURES:
            failures.add_metric((upstream, reason), stats.failures[reason])
    if told:
        yield from (seconds, last, failures)
