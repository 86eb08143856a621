"""OTLP metrics passed on to where metrics are kept: checked as those that are kept here, and named as they are read."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from ..families import FAMILIES
from ..model import FeatureKey
from ..stores.upstream import Upstream
from .decode_otlp import AcceptedPoint, read_points
from .otlp_keys import Refusals
from .otlp_wire import PROTOBUF, parse

__all__ = ["ForwardBatch", "Forwarder", "decode"]

_PATH: Final = "/v1/metrics"
"""Where OTLP/HTTP takes metrics, unless the address says otherwise."""


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """The points of a request that are taken, and what was refused of it: how many points, and why in one line."""

    request: ExportMetricsServiceRequest
    points: list[AcceptedPoint]
    rejected: int = 0
    message: str = ""

    @property
    def keys(self) -> set[FeatureKey]:
        return {point.samples[0].key for point in self.points}

    def without(self, excess: Collection[FeatureKey]) -> list[AcceptedPoint]:
        """Return the points of other features than these."""
        return [point for point in self.points if point.samples[0].key not in excess]


def decode(
    body: bytes, content_type: str, content_encoding: str, *, environment: str, now_ns: int, max_bytes: int
) -> ForwardBatch:
    """Decode an ExportMetricsServiceRequest; arguments and errors as of `decode_otlp.decode_metrics`."""
    request = parse(body, content_type, content_encoding, ExportMetricsServiceRequest(), max_bytes=max_bytes)
    refused = Refusals()
    points = list(read_points(request, refused, environment, now_ns))
    return ForwardBatch(request, points, refused.count, refused.message("points"))


def encode(request: ExportMetricsServiceRequest, points: Collection[AcceptedPoint]) -> bytes:
    """Write these points of a request as one of their own, protobuf in gzip.

    Each carries `feature` and `environment` itself, whether it had them or its resource: what becomes a label is the
    attributes of points alone. Resources and scopes stay as they were, so that the series keep their job and instance.
    Units that would become part of a name are left out: names are given.
    """
    told = ExportMetricsServiceRequest()
    before: tuple[int, ...] = (-1, -1, -1)
    for accepted in points:
        place = accepted.place
        if place[:1] != before[:1]:
            resource = told.resource_metrics.add()
            resource.resource.CopyFrom(request.resource_metrics[place[0]].resource)
        if place[:2] != before[:2]:
            scope = resource.scope_metrics.add()
            scope.scope.CopyFrom(request.resource_metrics[place[0]].scope_metrics[place[1]].scope)
        kind = str(accepted.metric.WhichOneof("data"))
        if place != before:
            metric = scope.metrics.add(name=accepted.metric.name, description=accepted.metric.description)
            if kind != "gauge":
                data, was = getattr(metric, kind), getattr(accepted.metric, kind)
                data.aggregation_temporality = was.aggregation_temporality
                if kind == "sum":
                    data.is_monotonic = was.is_monotonic
        point = getattr(metric, kind).data_points.add()
        point.CopyFrom(accepted.point)
        key, labels = accepted.samples[0].key, FAMILIES[accepted.metric.name].labels
        named = {**key._asdict(), **dict(zip(labels, accepted.samples[0].labels, strict=True))}
        others = [pair for pair in accepted.point.attributes if pair.key not in named]
        del point.attributes[:]
        point.attributes.extend(others)
        for name, value in named.items():
            point.attributes.add(key=name).value.string_value = value
        before = place
    return gzip.compress(told.SerializeToString(), 1)


class Forwarder:
    """Passes metrics on. What was not taken is sent again by whoever pushes: totals are cumulative."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._path = "" if "/" in upstream.target.bare.partition("://")[2] else _PATH

    @property
    def upstream(self) -> Upstream:
        return self._upstream

    async def send(self, request: ExportMetricsServiceRequest, points: Collection[AcceptedPoint]) -> tuple[int, str]:
        """Send these points of a request; return how many were refused of them, and why.

        Raises:
            Unavailable, TooMany: they could not be delivered now. UpstreamError: they were refused as a whole.
        """
        body = await asyncio.to_thread(encode, request, points)
        headers = {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}
        answer = await self._upstream.ask("POST", self._path, content=body, headers=headers)
        said = ExportMetricsServiceResponse()
        try:
            said.ParseFromString(answer.content)
        except DecodeError:  # its status says that they were taken
            return 0, ""
        return said.partial_success.rejected_data_points, said.partial_success.error_message
