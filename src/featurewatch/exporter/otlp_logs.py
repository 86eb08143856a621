"""Lines as OTLP log records in protobuf. Pure.

https://opentelemetry.io/docs/specs/otel/logs/data-model/ ; a line's id is `log.record.uid`, its metadata are
attributes, its feature and environment too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from ..model import FeatureKey
from .answers import Verdict, refusal_reason
from .frames import OTLP_PROTOBUF
from .lines import Record, records

__all__ = ["OtlpCodec", "accepted"]

_SEVERITIES: Final = {"debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21}
_NAMES: Final = {"id": "log.record.uid", "source": "source", "user_id": "user.id"}
_MOST_INT: Final = 2**63


class OtlpCodec:
    """One resource, the service, with what else is known of it; one record for each line."""

    format = OTLP_PROTOBUF
    content_type = "application/x-protobuf"

    def __init__(self, resource: Iterable[tuple[str, str]] = ()) -> None:
        self._resource = tuple(resource)

    def encode(self, lines: Iterable[Record], service: str) -> bytes:
        """Render records as an ExportLogsServiceRequest."""
        request = ExportLogsServiceRequest()
        of_resource = request.resource_logs.add()
        # The service first: that is how `decode` knows it.
        of_resource.resource.attributes.append(_pair("service.name", service))
        of_resource.resource.attributes.extend(_pair(name, value) for name, value in self._resource)
        scope = of_resource.scope_logs.add()
        scope.scope.name = "featurewatch"
        scope.log_records.extend(_record(line) for line in lines)
        return request.SerializeToString()

    def encode_lines(self, flat: Sequence[Any], service: str) -> bytes:
        """Render lines as they wait."""
        return self.encode(records(flat), service)

    def decode(self, body: bytes) -> tuple[str, list[Record]]:
        """Read a request that `encode` made.

        Raises:
            ValueError: it is none.
        """
        request = ExportLogsServiceRequest()
        try:
            request.ParseFromString(body)
        except DecodeError as error:
            raise ValueError(str(error)) from None
        service, lines = "", list[Record]()
        for of_resource in request.resource_logs:
            service = next((pair.value.string_value for pair in of_resource.resource.attributes), "")
            lines += (_line(found) for scope in of_resource.scope_logs for found in scope.log_records)
        return service, lines


def accepted(content: bytes) -> Verdict:
    """Read a success: a partial one says how many records were refused and why; which, it does not say."""
    answer = ExportLogsServiceResponse()
    try:
        answer.ParseFromString(content)
    except DecodeError:
        return Verdict("stored")
    refused = answer.partial_success.rejected_log_records
    said = " ".join(answer.partial_success.error_message.split())[:200]
    return Verdict("stored", refusal_reason(said), said, refused=refused) if refused > 0 else Verdict("stored")


def _record(line: Record) -> LogRecord:
    about = dict(line.about)
    level = about.pop("level")
    trace_id = _trace_id(about.get("trace_id", ""))
    if trace_id:
        del about["trace_id"]
    metadata = about.pop("metadata", "")
    attributes = [_pair("feature", line.key.feature), _pair("environment", line.key.environment)]
    attributes += (_pair(_NAMES.get(name, name), text) for name, text in about.items())
    if metadata:
        attributes += (_pair(name, value) for name, value in json.loads(metadata).items())
    return LogRecord(
        time_unix_nano=max(0, line.timestamp),
        observed_time_unix_nano=max(0, line.timestamp),
        severity_number=_SEVERITIES[level],  # type: ignore[arg-type]  # an enum's number to the stubs, an int to protobuf
        severity_text=level.upper(),
        body=_value(line.message),
        attributes=attributes,
        trace_id=trace_id,
    )


def _line(found: LogRecord) -> Record:
    values = {pair.key: _plain(pair.value) for pair in found.attributes}
    key = FeatureKey(str(values.pop("feature")), str(values.pop("environment")))
    level = next(level for level, number in _SEVERITIES.items() if number == found.severity_number)
    about = {"id": str(values.pop("log.record.uid")), "level": level, "source": str(values.pop("source"))}
    trace_id = found.trace_id.hex() or values.pop("trace_id", None)
    if trace_id:
        about["trace_id"] = str(trace_id)
    if "user.id" in values:
        about["user_id"] = str(values.pop("user.id"))
    if values:
        about["metadata"] = json.dumps(values, ensure_ascii=False)
    return Record(key, found.time_unix_nano, found.body.string_value, about)


def _trace_id(text: str) -> bytes:
    """Read a trace id of 32 hexadecimal digits; empty where it is another kind of id, which stays an attribute."""
    try:
        return bytes.fromhex(text) if len(text) == 32 else b""
    except ValueError:
        return b""


def _pair(name: str, value: Any) -> KeyValue:
    return KeyValue(key=_valid(name), value=_value(value))


def _value(value: Any) -> AnyValue:
    if isinstance(value, str):
        return AnyValue(string_value=_valid(value))
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int) and -_MOST_INT <= value < _MOST_INT:
        return AnyValue(int_value=value)
    if isinstance(value, (int, float)):
        return AnyValue(double_value=float(value)) if abs(value) < 1e308 else AnyValue(string_value=str(value))
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_value(item) for item in value]))
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value=KeyValueList(values=[_pair(name, item) for name, item in value.items()]))
    return AnyValue()


def _plain(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case None:
            return None
        case kind:
            return getattr(value, kind)


def _valid(text: str) -> str:
    """Replace what is not valid Unicode (lone surrogates), which protobuf refuses."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
