"""What the stores and the metric poll count of themselves, for /metrics."""

from __future__ import annotations

from collections.abc import Iterator

from ..stores import Stores
from ..streams.metric_poll import MetricPoll
from .meters import Labelled, Told


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
    dropped = getattr(stores.metrics, "dropped_samples", None)
    if dropped is not None:
        name, help_ = "featurewatch_metric_store_dropped_samples_total", "Samples too old, or of too many series."
        yield name, "counter", help_, {(): dropped}
