"""OTLP/HTTP as bytes: requests to protobuf messages, answers to bytes, in protobuf or JSON. Pure.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import base64
from typing import Any, Final, Literal, TypeAlias, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from ..errors import BadInput, Unsupported
from .bodies import decompress, parse_json, too_large

__all__ = ["JSON", "PROTOBUF", "Signal", "failure", "media_type", "parse", "plain", "success", "text_of"]

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

Signal: TypeAlias = Literal["metrics", "logs"]
M = TypeVar("M", bound=Message)

_HEX_FIELDS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


def media_type(content_type: str) -> str:
    """Tell in which of the two encodings a request is, and so its answer.

    Raises:
        Unsupported: another one.
    """
    name = content_type.partition(";")[0].strip().lower()
    if name in (PROTOBUF, "application/protobuf"):
        return PROTOBUF
    if name == JSON:
        return JSON
    raise Unsupported(f"Content-Type: expected {PROTOBUF} or {JSON}, got {content_type[:80]!r}")


def parse(body: bytes, content_type: str, content_encoding: str, message: M, *, max_bytes: int) -> M:
    """Fill `message` from a request's body.

    Raises:
        BadInput: the body is not what its headers say.
        TooLarge: it is larger than `max_bytes`, as sent or decompressed.
        Unsupported: its type or encoding is another than protobuf or JSON, gzip or deflate.
    """
    encoded = media_type(content_type)
    encoding = content_encoding.strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise Unsupported(f"Content-Encoding: expected gzip, deflate or none, got {content_encoding[:40]!r}")
    if len(body) > max_bytes:
        raise too_large(max_bytes)
    if encoding not in ("", "identity"):
        body = decompress(body, encoding, max_bytes)
    if encoded == PROTOBUF:
        try:
            message.ParseFromString(body)
        except DecodeError:
            raise BadInput(
                f"the body is not valid protobuf: expected {message.DESCRIPTOR.name} of OTLP, got {len(body)} bytes "
                f"that do not parse as one; check that the URL and the signal match"
            ) from None
        return message
    value = parse_json(body)
    if not isinstance(value, dict):
        raise BadInput(f"expected a JSON object ({message.DESCRIPTOR.name} of OTLP), got {type(value).__name__}")
    _hex_to_base64(value)
    try:
        json_format.ParseDict(value, message, ignore_unknown_fields=True)
    except (json_format.ParseError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"the body is not OTLP/JSON ({message.DESCRIPTOR.name}): {reason}") from None
    return message


def success(content_type: str, rejected: int = 0, message: str = "", signal: Signal = "metrics") -> bytes:
    """Encode the answer to a request that was taken, wholly or without `rejected` points or records.

    A message without anything rejected is a warning.
    """
    answer: ExportMetricsServiceResponse | ExportLogsServiceResponse
    if signal == "metrics":
        answer = ExportMetricsServiceResponse()
        if rejected or message:
            answer.partial_success.rejected_data_points = rejected
    else:
        answer = ExportLogsServiceResponse()
        if rejected or message:
            answer.partial_success.rejected_log_records = rejected
    if message:
        answer.partial_success.error_message = message
    return _encode(content_type, answer)


def failure(content_type: str, code: int, message: str) -> bytes:
    """Encode google.rpc.Status; `code` is one of google.rpc.Code (3 INVALID_ARGUMENT, 8 RESOURCE_EXHAUSTED, 14 …)."""
    return _encode(content_type, Status(code=code, message=message))


def _encode(content_type: str, message: Message) -> bytes:
    if content_type.partition(";")[0].strip().lower() == JSON:
        return json_format.MessageToJson(message, indent=None).encode()
    return message.SerializeToString()


def plain(value: AnyValue) -> Any:
    """Turn an AnyValue into what JSON can hold; bytes as base64."""
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            number = value.double_value
            return number if number - number == 0 else str(number)  # NaN and infinities have no JSON
        case "array_value":
            return [plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case _:
            return None


def text_of(value: AnyValue) -> str:
    """Write an attribute that should be text as text."""
    if value.HasField("string_value"):
        return value.string_value
    found = plain(value)
    return "" if found is None else str(found).lower() if isinstance(found, bool) else str(found)


def _hex_to_base64(value: dict[str, Any]) -> None:
    """Rewrite ids in place: OTLP/JSON has them in hexadecimal, protobuf's JSON in base64."""
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += item
        elif isinstance(item, dict):
            for name, inner in item.items():
                if name in _HEX_FIELDS and isinstance(inner, str):
                    try:
                        item[name] = base64.b64encode(bytes.fromhex(inner)).decode()
                    except ValueError:
                        raise BadInput(f"{name}: expected hexadecimal digits, got {inner[:40]!r}") from None
                elif isinstance(inner, (dict, list)):
                    waiting.append(inner)
