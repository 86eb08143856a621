"""Series told to a server by Prometheus's remote write 1.0, past ones too.

https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

import cramjam
import httpx

from featurewatch.families import FAMILIES
from featurewatch.model import Sample

Labels: TypeAlias = tuple[tuple[str, str], ...]
Points: TypeAlias = Mapping[Labels, Sequence[tuple[int, float]]]
"""Labels, `__name__` among them, to (epoch ms, value)."""

STALE: Final = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""Prometheus's mark that a series has ended."""

_AT_ONCE: Final = 20_000


def labels(name: str, told: Mapping[str, str]) -> Labels:
    return tuple(sorted({"__name__": name, **told}.items()))


def points_of(samples: Iterable[Sample], *, shift_ms: int = 0, extra: Mapping[str, str] | None = None) -> Points:
    """Tell samples as a scrape of each instance does, with its `up`; `extra` are further labels of all series."""
    points: dict[Labels, dict[int, float]] = {}

    def add(name: str, told: Mapping[str, str], at_ms: int, value: float) -> None:
        points.setdefault(labels(name, {**told, **(extra or {})}), {})[at_ms] = value

    for sample in samples:
        family, at_ms = FAMILIES[sample.family], sample.time_ns // 1_000_000 + shift_ms
        target = {"job": "app", "instance": f"{sample.instance}:8000"}
        told = {
            **target, "feature": sample.key.feature, "environment": sample.key.environment,
            **dict(zip(family.labels, sample.labels, strict=True)),
        }  # fmt: skip
        add("up", target, at_ms, 1)
        if family.kind != "histogram":
            add(family.name, told, at_ms, sample.value)
            continue
        add(f"{family.name}_sum", told, at_ms, sample.value)
        add(f"{family.name}_count", told, at_ms, sum(sample.counts))
        for index, count in enumerate(accumulate(sample.counts)):
            le = "+Inf" if index == len(sample.counts) - 1 else f"{0.01 * 2**index:g}"
            add(f"{family.name}_bucket", {**told, "le": le}, at_ms, count)
    return {told: sorted(values.items()) for told, values in points.items()}


def write(url: str, points: Points) -> None:
    """Send all points; `url` is the server's own, without a path."""
    batch: list[bytes] = []
    size = 0
    with httpx.Client(base_url=url, timeout=60) as client:
        for told, values in points.items():
            for start in range(0, len(values), _AT_ONCE):
                part = values[start : start + _AT_ONCE]
                batch.append(_field(1, _series(told, part)))
                size += len(part)
                if size >= _AT_ONCE:
                    _send(client, batch)
                    batch, size = [], 0
        _send(client, batch)


def _send(client: httpx.Client, batch: Sequence[bytes]) -> None:
    if batch:
        answer = client.post(
            "/api/v1/write",
            content=bytes(cramjam.snappy.compress_raw(b"".join(batch))),
            headers={
                "Content-Type": "application/x-protobuf",
                "Content-Encoding": "snappy",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
            },
        )
        assert answer.status_code in (200, 204), f"{answer.status_code}: {answer.text}"


def _series(told: Labels, values: Sequence[tuple[int, float]]) -> bytes:
    named = b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in told)
    samples = b"".join(
        _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms)) for at_ms, value in values
    )
    return named + samples


def _field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
