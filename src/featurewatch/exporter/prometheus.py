"""The totals as a prometheus_client collector, for a registry of the app's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..families import DROPPED, DURATION, FAMILIES, PRICE_TABLE, WAITING, Family
from ..model import FeatureKey
from .exposition import KEY_LABELS, LE
from .prices import known_table_version
from .runtime import RUNTIME, Runtime
from .snapshot import Exemplar, Snapshot

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class FeatureCollector:
    """A prometheus_client collector of every feature's totals; register it with any registry."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Name the families without their samples, so that registering collects nothing."""
        return [_family(family) for family in FAMILIES.values()]

    def collect(self) -> Iterable[Metric]:
        families = render(*self._runtime.exposed())
        if (shipper := self._runtime.shipper) is not None:
            waiting = _family(WAITING, ())
            for where, waits in shipper.waiting().items():
                waiting.add_metric((where,), waits)
            families.append(waiting)
        return families


def render(snapshots: Iterable[Snapshot], dropped: Mapping[tuple[str, str, FeatureKey], int]) -> list[Metric]:
    """Render snapshots as prometheus_client metric families, in the order of `families`."""
    families = {name: _family(family) for name, family in FAMILIES.items()}
    for snapshot in snapshots:
        for name, series in snapshot.numbers.items():
            add = families[name].add_metric
            for values, value in series.items():
                add((*snapshot.key, *values), value)
        for name, distribution in snapshot.distributions.items():
            exemplars = snapshot.exemplars if name == DURATION.name else {}
            buckets = [
                (le, count, _exemplar(exemplars[bucket])) if bucket in exemplars else (le, count)
                for bucket, (le, count) in enumerate(zip(LE, accumulate(distribution.counts), strict=True))
            ]
            families[name].add_metric(snapshot.key, buckets, distribution.sum)
    for (signal, reason, key), count in dropped.items():
        families[DROPPED.name].add_metric((*key, signal, reason), count)
    version = known_table_version()
    if version:
        families[PRICE_TABLE.name] = _family(PRICE_TABLE, ())
        families[PRICE_TABLE.name].add_metric((version,), 1)
    return list(families.values())


def _family(family: Family, base: tuple[str, ...] = KEY_LABELS) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    make = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    return make[family.kind](family.name, family.help, labels=(*base, *family.labels))


def _exemplar(exemplar: Exemplar) -> Any:
    from prometheus_client.samples import Exemplar as Theirs

    trace_id, span_id, value, timestamp = exemplar
    return Theirs({"trace_id": trace_id, **({"span_id": span_id} if span_id else {})}, value, timestamp)


def collector() -> FeatureCollector:
    """Return the collector of this process's features, for a registry of the app's own."""
    return FeatureCollector(RUNTIME)
