"""Log records of `logging` and loguru on their way into the queue: as little as possible on the calling thread."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ..model import FEATURE_ID, FEATURE_ID_RULE, FeatureKey
from ..times import NS
from .call import _current, current_call
from .drops import LOGGER
from .lines import LINE_BYTES, cut, plain
from .runtime import RUNTIME, Runtime
from .shipper import Shipper
from .worker import THREAD_PREFIX

_PLAIN_RECORD: Final = len(logging.makeLogRecord({}).__dict__)
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""What every record carries, or gets from a formatter; whatever else it has, the app gave it."""

PLACED_BY_STRUCTLOG: Final = frozenset(
    {
        "event", "level", "level_number", "logger", "timestamp", "exc_info",
        "_record", "_from_structlog", "_logger", "_name",
    }
)  # fmt: skip
"""Fields of its events with a place of their own, or of no use beside the line."""

_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_EXCEPTION_CHARS: Final = 32 * 1024
"""How much of a traceback is kept: its end, where the error is."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEVEL_NUMBERS: Final = {"debug": 0, "info": 20, "warn": 30, "error": 40, "fatal": 50}
_FORMATTER: Final = logging.Formatter()
_OWN: Final = LOGGER.name
_modules: Final = sys.modules


class LogHandler(logging.Handler):
    """Ships records to where `configure` says: those of a running call, or with `extra={"feature": ...}`.

    Extras become the line's metadata; `source` (else the logger's name), `trace_id` and `user_id` its fields. A record
    without a feature is skipped and counted. Where nothing is configured, nothing is kept. With a formatter set, its
    result is the line.
    """

    def __init__(self, level: int | str | None = None, *, runtime: Runtime = RUNTIME) -> None:
        self._runtime = runtime
        super().__init__(_LEVEL_NUMBERS[runtime.config.log_level] if level is None else level)

    def handle(self, record: logging.LogRecord) -> bool:
        """Filter and emit without the handler's lock: the queue has its own."""
        kept = self.filter(record) if self.filters else True
        if kept:
            # A filter may answer with another record from Python 3.12 on.
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record; what cannot be read is told and counted, never raised."""
        runtime = self._runtime
        shipper = runtime.shipper
        name, thread = record.name, record.threadName
        if name == _OWN:
            self._show(record)
            return
        if shipper is None or (thread is not None and thread.startswith(THREAD_PREFIX)):
            return
        try:
            extras = None
            if len(record.__dict__) > _PLAIN_RECORD:
                extras = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
            message: Any = record.msg
            fields = type(message) is dict and "event" in message
            if fields:
                # structlog's wrap_for_formatter passes the event's fields on as the message.
                given = {**message, **(extras or {})}
                extras = {name: value for name, value in given.items() if name not in PLACED_BY_STRUCTLOG}
                message = given["event"]
            call = None if extras is not None else _current.get()
            # What most lines are, without the way through functions: no extras, in a call.
            key = call._aggregate.key if call is not None and call._open else key_of(runtime, extras)
            if key is None:
                return
            if self.formatter is not None:
                message = self.formatter.format(record)
            elif fields:
                message = str(message)
            elif record.args or type(message) is not str:
                message = record.getMessage()
            if record.exc_info and record.exc_info[0] is not None and self.formatter is None:
                if not record.exc_text:
                    record.exc_text = _FORMATTER.formatException(record.exc_info)
                extras = {**(extras or {}), "exception": record.exc_text[-_EXCEPTION_CHARS:]}
            if record.stack_info and self.formatter is None:
                extras = {**(extras or {}), "stack": record.stack_info[-_EXCEPTION_CHARS:]}
            put(shipper, record.created, key, record.levelno, message, "app" if name == "root" else name, extras)
        except Exception as error:
            unreadable(runtime, error)

    def _show(self, record: logging.LogRecord) -> None:
        """Show what the exporter tells the app where handlers like this are all there are.

        Such a line is never shipped, and Python shows it by itself only where there is no handler.
        """
        handlers: list[logging.Handler] = []
        logger: logging.Logger | None = LOGGER
        while logger is not None:
            handlers += logger.handlers
            logger = logger.parent if logger.propagate else None
        alone = handlers[:1] == [self] and all(isinstance(handler, LogHandler) for handler in handlers)
        last = logging.lastResort
        if alone and last is not None and record.levelno >= last.level:
            last.handle(record)


def loguru_sink(*, runtime: Runtime = RUNTIME) -> Callable[[Any], None]:
    """Return a sink for `loguru.logger.add`: what LogHandler does, with `logger.bind(feature=...)` for extras."""

    def sink(message: Any) -> None:
        shipper = runtime.shipper
        record: Mapping[str, Any] = message.record
        if shipper is None or record["thread"].name.startswith(THREAD_PREFIX):
            return
        try:
            extras = dict(record["extra"]) or None
            key = key_of(runtime, extras)
            if key is None:
                return
            if record["exception"] is not None:
                extras = {**(extras or {}), "exception": exception_text(tuple(record["exception"]))}
            since = record["time"] - _EPOCH
            time = (since.days * 86_400 + since.seconds) * NS + since.microseconds * 1000
            put(shipper, time, key, record["level"].no, record["message"], record["name"] or "app", extras)
        except Exception as error:
            unreadable(runtime, error)

    return sink


def key_of(runtime: Runtime, extras: Mapping[str, Any] | None) -> FeatureKey | None:
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


def exception_text(exc_info: Any) -> str:
    """Write an exception and its traceback, the end of it where it is long: there the error is."""
    return _FORMATTER.formatException(exc_info)[-_EXCEPTION_CHARS:]


def put(
    shipper: Shipper,
    time: float,
    key: FeatureKey,
    level_number: int,
    message: str,
    source: str,
    extras: dict[str, Any] | None,
) -> None:
    """Queue a line; what of its extras may change later is written down now."""
    size = len(message)
    if size > LINE_BYTES:
        message = cut(message)
        size = len(message)
    if extras is not None:
        for name, value in extras.items():
            if type(value) in _ATOMS:
                size += len(value) if type(value) is str else 16
            else:
                # A container may change before it is shipped, so it is written down now.
                extras[name] = value = plain(value)
                size += len(str(value))
    trace = _modules.get("opentelemetry.trace")
    try:
        trace_id = 0 if trace is None else trace.get_current_span().get_span_context().trace_id
    except Exception:  # half imported, by another thread just now; or a span of the app's own
        trace_id = 0
    shipper.put((time, key, level_number, message, source, extras, trace_id), size)


def unreadable(runtime: Runtime, error: Exception) -> None:
    """Count and tell a record that cannot be read."""
    runtime.drops.count("logs", "unreadable")
    runtime.drops.tell("unreadable", "a log record could not be read and is not shipped: %r", error)
