"""OTLP metrics to samples. Pure; what is wrong with one point does not touch the others.

A series is its resource, its point's attributes and its start: two processes never share one. What counts comes as
monotonic cumulative sums and as cumulative histograms whose bounds include ours; gauges as gauges.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isclose, isfinite
from typing import Final, NamedTuple, TypeAlias

import orjson
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from .. import families
from ..errors import BadInput
from ..families import BUCKETS, FAMILIES, TOKEN_KINDS, Family
from ..model import OUTCOMES, Sample
from ..stores.metric_samples import REMEMBERED_NS
from .decode_otlp_logs import LogBatch, decode_logs
from .otlp_keys import KEY_NAMES, Refusals, check_time, key_of
from .otlp_wire import failure, media_type, parse, success, text_of

__all__ = [
    "AcceptedPoint", "LogBatch", "MetricBatch", "decode_logs", "decode_metrics", "failure", "media_type", "read_points",
    "success",
]  # fmt: skip

LARGEST: Final = 2.0**53
"""Up to here floating point counts by ones."""

LONGEST_LABEL: Final = 256

_CHOICES: Final = {
    (families.REQUESTS.name, "outcome"): OUTCOMES,
    (families.TOKENS.name, "kind"): TOKEN_KINDS,
    (families.COST.name, "source"): ("reported", "estimated"),
}
_ABSENT: Final = {"model": "unknown", "error_type": "other"}

_Point: TypeAlias = NumberDataPoint | HistogramDataPoint
_NO_VALUE: Final = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_CUMULATIVE: Final = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """The samples of a request, and what was refused of it: how many points, and why in one line."""

    samples: list[Sample]
    rejected: int = 0
    message: str = ""


class AcceptedPoint(NamedTuple):
    """A point that is taken: where its metric stands in the request (resource, scope, metric), and what it says."""

    place: tuple[int, int, int]
    metric: Metric
    point: NumberDataPoint | HistogramDataPoint
    samples: list[Sample]


def decode_metrics(
    body: bytes, content_type: str, content_encoding: str, *, environment: str, now_ns: int, max_bytes: int
) -> MetricBatch:
    """Decode an ExportMetricsServiceRequest.

    Metrics of other names are passed over; those whose names begin with `feature_` but that nobody knows are refused.

    Args:
        environment: of points that name none.
        max_bytes: of the body, as sent and decompressed.

    Raises:
        BadInput: the body as a whole cannot be read; TooLarge, Unsupported.
    """
    request = parse(body, content_type, content_encoding, ExportMetricsServiceRequest(), max_bytes=max_bytes)
    refused = Refusals()
    samples = [one for point in read_points(request, refused, environment, now_ns) for one in point.samples]
    return MetricBatch(samples, refused.count, refused.message("points"))


def read_points(
    request: ExportMetricsServiceRequest, refused: Refusals, environment: str, now_ns: int
) -> Iterator[AcceptedPoint]:
    """Yield the points that are taken, in order; what is refused is counted in `refused`."""
    for resource_at, of_resource in enumerate(request.resource_metrics):
        resource = _Resource({pair.key: text_of(pair.value) for pair in of_resource.resource.attributes})
        for scope_at, of_scope in enumerate(of_resource.scope_metrics):
            for metric_at, metric in enumerate(of_scope.metrics):
                family = FAMILIES.get(metric.name)
                points = _points(metric)
                if family is None:
                    if metric.name.startswith("feature_"):
                        refused.add(f"{metric.name[:80]!r} is no metric of featurewatch", len(points))
                    continue
                try:
                    _check_kind(family, metric)
                except BadInput as error:
                    refused.add(error.message, len(points))
                    continue
                for point in points:
                    try:
                        samples = list(_samples(family, point, resource, environment, now_ns))
                    except BadInput as error:
                        refused.add(error.message)
                    else:
                        if samples:
                            yield AcceptedPoint((resource_at, scope_at, metric_at), metric, point, samples)


class _Resource:
    """What a point takes from its resource: its attributes, and which process it is."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self.attributes = attributes
        self._named = bool(attributes.get("service.instance.id"))
        told = (
            [attributes.get(name, "") for name in ("service.namespace", "service.name", "service.instance.id")]
            if self._named
            else sorted(item for item in attributes.items() if item[0] not in KEY_NAMES)
        )
        self._identity = orjson.dumps(told)
        self._known: dict[tuple[int, bytes], str] = {}

    def instance(self, start_ns: int, others: Mapping[str, str]) -> str:
        """Name the process, by its start where it has no id, and apart by attributes that are no label of ours."""
        apart = orjson.dumps(sorted(others.items())) if others else b""
        name = (0 if self._named else start_ns, apart)
        if (known := self._known.get(name)) is None:
            told = b"\0".join((self._identity, str(name[0]).encode(), apart))
            known = self._known[name] = hashlib.blake2b(told, digest_size=12).hexdigest()
        return known


def _points(metric: Metric) -> list[_Point]:
    data = metric.WhichOneof("data")
    return list(getattr(metric, data).data_points) if data else []


def _check_kind(family: Family, metric: Metric) -> None:
    data = metric.WhichOneof("data")
    if data in ("sum", "histogram") and getattr(metric, data).aggregation_temporality != _CUMULATIVE:
        raise BadInput(
            f"{family.name}: expected cumulative temporality, got delta or none: set "
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative"
        )
    match family.kind:
        case "counter" if data != "sum" or not metric.sum.is_monotonic:
            expected = "a monotonic cumulative sum"
        case "histogram" if data != "histogram":
            expected = "a cumulative histogram with explicit bounds"
        case "gauge" if data != "gauge" and (data != "sum" or metric.sum.is_monotonic):
            expected = "a gauge"
        case _:
            return
    raise BadInput(f"{family.name}: expected {expected}, got {data or 'nothing'}")


def _samples(family: Family, point: _Point, resource: _Resource, environment: str, now_ns: int) -> Iterator[Sample]:
    if point.flags & _NO_VALUE:
        return
    own = {pair.key: text_of(pair.value) for pair in point.attributes}
    if family is families.DROPPED and not (own.get("feature") or resource.attributes.get("feature")):
        return  # dropped before anyone knew of which feature
    key = key_of(own, resource.attributes, environment)
    labels = tuple(_label(family, name, own) for name in family.labels)
    others = {name: text for name, text in own.items() if name not in family.labels and name not in KEY_NAMES}
    time_ns = check_time(point.time_unix_nano, now_ns)
    if time_ns < now_ns - REMEMBERED_NS:
        raise BadInput("time: expected one of the last 2 days, got an earlier one, which may have been counted before")
    start_ns = point.start_time_unix_nano
    instance = resource.instance(start_ns, others)
    if isinstance(point, HistogramDataPoint):
        counts = _counts(family, point)
        value = _number(family, point.sum) if any(counts) else 0.0
        yield Sample(family.name, key, labels, instance, start_ns, time_ns, value, counts)
    else:
        value = _number(family, point.as_int if point.HasField("as_int") else point.as_double)
        yield Sample(family.name, key, labels, instance, start_ns, time_ns, value)


def _label(family: Family, name: str, own: Mapping[str, str]) -> str:
    text = own.get(name) or _ABSENT.get(name, "")
    allowed = _CHOICES.get((family.name, name))
    if allowed is not None and text not in allowed:
        raise BadInput(f"{family.name}: {name}: expected {', '.join(allowed)}, got {text[:40]!r}")
    if len(text) > LONGEST_LABEL:
        raise BadInput(f"{family.name}: {name}: expected at most {LONGEST_LABEL} characters, got {len(text)}")
    return text


def _number(family: Family, value: float) -> float:
    if not isfinite(value) or value < 0 or value > LARGEST:
        raise BadInput(f"{family.name}: expected a number from 0 to 2^53, got {value:g}")
    return value


def _counts(family: Family, point: HistogramDataPoint) -> tuple[int, ...]:
    """Fold a histogram into our buckets: exact, since its bounds include all of ours."""
    counts = point.bucket_counts
    if not counts and not point.count:
        return (0,) * (len(BUCKETS) + 1)
    into = _folding(tuple(point.explicit_bounds))
    if into is None:
        raise BadInput(
            f"{family.name}: expected explicit bounds that include {', '.join(f'{bound:g}' for bound in BUCKETS)} "
            f"(seconds), got {', '.join(f'{bound:g}' for bound in point.explicit_bounds[:20]) or 'none'}: set them "
            "by a view"
        )
    if len(counts) != len(into) or sum(counts) != point.count:
        raise BadInput(
            f"{family.name}: expected a count for each of {len(into)} buckets that add up to {point.count}, "
            f"got {len(counts)} that add up to {sum(counts)}"
        )
    if point.count > LARGEST:
        raise BadInput(f"{family.name}: expected at most 2^53 observations, got {point.count}")
    if point.count and not point.HasField("sum"):
        raise BadInput(f"{family.name}: expected the sum of what was observed, got none")
    folded = [0] * (len(BUCKETS) + 1)
    for index, count in zip(into, counts, strict=True):
        folded[index] += count
    return tuple(folded)


@lru_cache(maxsize=64)
def _folding(bounds: tuple[float, ...]) -> tuple[int, ...] | None:
    """Find our bucket for each of theirs; None where one of theirs would have to be divided."""
    if list(bounds) != sorted(set(bounds)) or not all(isfinite(bound) for bound in bounds):
        return None
    ours = [next((bound for bound in bounds if isclose(bound, edge, rel_tol=1e-9)), None) for edge in BUCKETS]
    edges = [bound for bound in ours if bound is not None]
    if len(edges) < len(BUCKETS):
        return None
    return (*(bisect_left(edges, bound) for bound in bounds), len(BUCKETS))
