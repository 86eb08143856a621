"""Log records of `logging` and loguru on their way into the queue: as little as possible on the calling thread."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..model import FEATURE_ID, FEATURE_ID_RULE, FeatureKey, Level
from ..times import NS
from .call import current_call
from .loki import LINE_BYTES, Line, Shipper, cut, metadata_text
from .runtime import RUNTIME, Runtime
from .worker import THREAD_PREFIX, on_own_thread

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""What every record carries; whatever else it has, the app gave it."""

_OURS: Final = (
    "feature",
    "source",
    "trace_id",
    "user_id",
    "otelTraceID",
    "otelSpanID",
    "otelServiceName",
    "otelTraceSampled",
)
"""Extras that have a place of their own on a line, or come from OpenTelemetry's logging instrumentation."""

_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_EXCEPTION_CHARS: Final = 32 * 1024
_PLAIN_RECORD: Final = len(logging.makeLogRecord({}).__dict__)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEVEL_NUMBERS: Final[dict[str, int]] = {"debug": 0, "info": 20, "warn": 30, "error": 40, "fatal": 50}


class LogHandler(logging.Handler):
    """Ships records to where `configure` says: those of a running call, or with `extra={"feature": ...}`.

    Extras become the line's metadata, `source` (default: the logger's name), `trace_id` and `user_id` its fields.
    A record without a feature is skipped and counted. Where nothing is configured, nothing is kept.
    """

    def __init__(self, level: int | str | None = None, *, runtime: Runtime = RUNTIME) -> None:
        self._runtime = runtime
        super().__init__(_LEVEL_NUMBERS[runtime.config.log_level] if level is None else level)

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter and emit without the handler's lock: the queue has its own."""
        kept = self.filter(record) if self.filters else True
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        shipper = self._runtime.shipper
        if shipper is None or record.name == "featurewatch" or on_own_thread(record):
            return
        try:
            fields = record.__dict__
            extras = None
            if len(fields) > _PLAIN_RECORD:
                extras = {name: value for name, value in fields.items() if name not in _STANDARD}
            key = _key(self._runtime, extras)
            if key is None:
                return
            message = record.msg
            if self.formatter is not None:
                message = self.formatter.format(record)
            elif record.args or type(message) is not str:
                if isinstance(message, dict):
                    # structlog's wrap_for_formatter passes the event's dictionary on as the message.
                    extras = {**message, **(extras or {})}
                    message = str(extras.pop("event", ""))
                else:
                    message = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None:
                if not record.exc_text:
                    record.exc_text = _FORMATTER.formatException(record.exc_info)
                extras = {**(extras or {}), "exception": record.exc_text[-_EXCEPTION_CHARS:]}
            name = record.name
            # The float's whole seconds first: multiplied as a whole it would lose 256 ns and more.
            seconds = int(record.created)
            timestamp = seconds * NS + round((record.created - seconds) * NS)
            _put(shipper, timestamp, key, _level(record.levelno), message, "app" if name == "root" else name, extras)
        except Exception as error:
            _unreadable(self._runtime, error)


def loguru_sink(*, runtime: Runtime = RUNTIME) -> Callable[[Any], None]:
    """Return a sink for `loguru.logger.add`: what LogHandler does, with `logger.bind(feature=...)` for extras."""

    def sink(message: Any) -> None:
        shipper = runtime.shipper
        record: Mapping[str, Any] = message.record
        if shipper is None or record["name"] == "featurewatch" or record["thread"].name.startswith(THREAD_PREFIX):
            return
        try:
            extras = dict(record["extra"]) or None
            key = _key(runtime, extras)
            if key is None:
                return
            if record["exception"] is not None:
                text = _FORMATTER.formatException(tuple(record["exception"]))
                extras = {**(extras or {}), "exception": text[-_EXCEPTION_CHARS:]}
            moment = record["time"] - _EPOCH
            timestamp = (moment.days * 86_400 + moment.seconds) * NS + moment.microseconds * 1000
            source = record["name"] or "app"
            _put(shipper, timestamp, key, _level(record["level"].no), record["message"], source, extras)
        except Exception as error:
            _unreadable(runtime, error)

    return sink


def _level(number: int) -> Level:
    """Map a level's number: below INFO debug (loguru's TRACE too), SUCCESS info, from CRITICAL on fatal."""
    if number < 30:
        return "info" if number >= 20 else "debug"
    return "warn" if number < 40 else "error" if number < 50 else "fatal"


def _key(runtime: Runtime, extras: Mapping[str, Any] | None) -> FeatureKey | None:
    """Find whom a record belongs to: the feature that it names, else the running call's; None is counted."""
    named = extras.get("feature") if extras is not None else None
    if named is None:
        call = current_call()
        if call:
            return call._aggregate.key
        runtime.drops.count("logs", "no_feature")
        return None
    if isinstance(named, str) and FEATURE_ID.fullmatch(named) is not None:
        return FeatureKey(named, runtime.config.environment)
    runtime.drops.count("logs", "invalid_feature")
    runtime.drops.tell("log feature", "a log record names no feature: expected %s, got %.80r", FEATURE_ID_RULE, named)
    return None


def _put(
    shipper: Shipper,
    timestamp: int,
    key: FeatureKey,
    level: Level,
    message: str,
    source: str,
    extras: dict[str, Any] | None,
) -> None:
    size = len(message)
    if size > LINE_BYTES:
        message = cut(message)
        size = len(message)
    trace_id = user_id = None
    kept: dict[str, Any] | str | None = None
    if extras is not None:
        source = str(extras.get("source") or source)
        trace_id = _text(extras.get("trace_id") or extras.get("otelTraceID"))
        user_id = _text(extras.get("user_id"))
        users = {name: value for name, value in extras.items() if name not in _OURS}
        if all(type(value) in _ATOMS for value in users.values()):
            kept = users
            size += sum(len(value) if type(value) is str else 16 for value in users.values())
        else:
            # A container may change before it is shipped, so it is written down now.
            kept = metadata_text(users)
            size += len(kept)
    shipper.put(Line(timestamp, key, level, message, source, trace_id or _trace_id(), user_id, kept), size)


def _trace_id() -> str | None:
    """Return the trace id of OpenTelemetry's current span, where the app uses OpenTelemetry."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.trace_id else None


def _text(value: object) -> str | None:
    return str(value) if value not in (None, "", "0") else None


def _unreadable(runtime: Runtime, error: Exception) -> None:
    runtime.drops.count("logs", "unreadable")
    runtime.drops.tell("unreadable", "a log record could not be read and is not shipped: %r", error)


_FORMATTER: Final = logging.Formatter()
