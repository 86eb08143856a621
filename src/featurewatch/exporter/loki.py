"""Loki's push JSON. Pure. https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from json.encoder import encode_basestring as quote
from typing import Any, Final

from ..model import FeatureKey
from .answers import Verdict, refusal_reason
from .frames import LOKI_JSON
from .lines import Record, columns, described, fitting, level

__all__ = ["LokiCodec", "refused"]

_COUNTS: Final = re.compile(r"\b(\d+) errors? like: |total ignored: (\d+) out of \d+")


class LokiCodec:
    """One stream for each feature and environment, in the lines' order; what else is known is structured metadata."""

    format = LOKI_JSON
    content_type = "application/json"

    def encode(self, lines: Iterable[Record], service: str) -> bytes:
        """Render records as the body of a push."""
        streams: dict[FeatureKey, list[str]] = {}
        for key, timestamp, message, about in lines:
            streams.setdefault(key, []).append(_value(timestamp, message, about))
        return _body(streams, service)

    def encode_lines(self, flat: Sequence[Any], service: str) -> bytes:
        """Render lines as they wait; most have an id, a level and a source alone, and those are written at once."""
        streams: dict[FeatureKey, list[str]] = {}
        ends: dict[tuple[int, str], str] = {}
        last, append = None, list[str]().append
        for key, timestamp, number, message, source, extras, trace_id, id in columns(flat):
            if key is not last:
                last, append = key, streams.setdefault(key, []).append
            text = fitting(message)
            if extras or trace_id:
                append(_value(timestamp, text, described(id, number, source, extras, trace_id)))
                continue
            end = ends.get((number, source))
            if end is None:
                end = ends[number, source] = f'"level":"{level(number)}","source":{quote(source)}}}]'
            append(f'["{timestamp}",{quote(text)},{{"id":"{id}",{end}')
        return _body(streams, service)

    def decode(self, body: bytes) -> tuple[str, list[Record]]:
        """Read a body that `encode` made."""
        service, records = "", list[Record]()
        for stream in json.loads(body)["streams"]:
            labels = stream["stream"]
            service = labels["service_name"]
            key = FeatureKey(labels["feature"], labels["environment"])
            records += (Record(key, int(moment), text, about) for moment, text, about in stream["values"])
        return service, records


def _value(timestamp: int, message: str, about: Mapping[str, str]) -> str:
    fields = ",".join([f'"{name}":{quote(text)}' for name, text in about.items()])
    return f'["{timestamp}",{quote(message)},{{{fields}}}]'


def _body(streams: Mapping[FeatureKey, Sequence[str]], service: str) -> bytes:
    parts = [
        f'{{"stream":{{"service_name":{quote(service)},"feature":{quote(key.feature)},'
        f'"environment":{quote(key.environment)}}},"values":[{",".join(values)}]}}'
        for key, values in streams.items()
    ]
    # "replace" turns what is not valid Unicode (lone surrogates) into "?", which JSON text survives.
    return f'{{"streams":[{",".join(parts)}]}}'.encode("utf-8", "replace")


def refused(text: str) -> Verdict:
    """Read a 400: why, and of how many lines, where Loki tells. It has stored the others of the push."""
    counts = [int(one or other) for one, other in _COUNTS.findall(text)]
    return Verdict("refused", refusal_reason(text), said=text, refused=sum(counts) if counts else None)
