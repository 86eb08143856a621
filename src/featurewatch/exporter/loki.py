"""Loki's push JSON. Pure. https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from json.encoder import encode_basestring as quote
from typing import Final

from ..model import FeatureKey
from .answers import Verdict, refusal_reason
from .frames import LOKI_JSON
from .lines import Record

__all__ = ["LokiCodec", "refused"]

_COUNTS: Final = re.compile(r"\b(\d+) errors? like: |total ignored: (\d+) out of \d+")


class LokiCodec:
    """One stream for each feature and environment, in the lines' order; what else is known is structured metadata."""

    format = LOKI_JSON
    content_type = "application/json"

    def encode(self, records: Iterable[Record], service: str) -> bytes:
        """Render records as the body of a push."""
        streams: dict[FeatureKey, list[str]] = {}
        sources: dict[str, str] = {}
        for key, timestamp, message, about in records:
            if len(about) == 3:  # as most: an id and a level, which need no quoting, and a source, one of few
                source = about["source"]
                if source not in sources:
                    sources[source] = quote(source)
                fields = f'"id":"{about["id"]}","level":"{about["level"]}","source":{sources[source]}'
            else:
                fields = ",".join([f'"{name}":{quote(text)}' for name, text in about.items()])
            value = f'["{timestamp}",{quote(message)},{{{fields}}}]'
            if key in streams:
                streams[key].append(value)
            else:
                streams[key] = [value]
        parts = [
            f'{{"stream":{{"service_name":{quote(service)},"feature":{quote(key.feature)},'
            f'"environment":{quote(key.environment)}}},"values":[{",".join(values)}]}}'
            for key, values in streams.items()
        ]
        # "replace" turns what is not valid Unicode (lone surrogates) into "?", which JSON text survives.
        return f'{{"streams":[{",".join(parts)}]}}'.encode("utf-8", "replace")

    def decode(self, body: bytes) -> tuple[str, list[Record]]:
        """Read a body that `encode` made."""
        service, records = "", list[Record]()
        for stream in json.loads(body)["streams"]:
            labels = stream["stream"]
            service = labels["service_name"]
            key = FeatureKey(labels["feature"], labels["environment"])
            records += (Record(key, int(moment), text, about) for moment, text, about in stream["values"])
        return service, records


def refused(text: str) -> Verdict:
    """Read a 400: why, and of how many lines, where Loki tells. It has stored the others of the push."""
    counts = [int(one or other) for one, other in _COUNTS.findall(text)]
    return Verdict("refused", refusal_reason(text), said=text, refused=sum(counts) if counts else None)
