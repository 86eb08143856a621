"""structlog's events on their way into the queue, from a processor in its chain."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from .logs import PLACED_BY_STRUCTLOG, exception_text, key_of, put, unreadable
from .runtime import RUNTIME, Runtime
from .worker import on_own_thread_now

_LEVELS: Final = {
    "notset": 0, "trace": 5, "debug": 10, "info": 20, "success": 25, "warning": 30, "warn": 30, "error": 40, "err": 40,
    "exception": 40, "critical": 50, "fatal": 50,
}  # fmt: skip


def structlog_processor(
    *, runtime: Runtime = RUNTIME
) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """Return a processor that ships each event and hands it on unchanged; it stands before the one that renders.

    The feature is `feature=`, bound or given, else the running call's; `user_id`, `trace_id` and `source` (else the
    `logger`) have their place, the other fields are the line's metadata.
    """

    def ship(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        shipper = runtime.shipper
        if shipper is None or on_own_thread_now():
            return event
        try:
            extras: dict[str, Any] | None = {
                name: value for name, value in event.items() if name not in PLACED_BY_STRUCTLOG
            }
            key = key_of(runtime, extras)
            if key is None:
                return event
            error = event.get("exc_info")
            if error:
                extras = {**(extras or {}), "exception": exception_text(_exc_info(error))}
            number = event.get("level_number")
            if not isinstance(number, int):
                number = _LEVELS.get(str(event.get("level", method)).lower(), 20)
            source = str(event.get("logger") or getattr(logger, "name", None) or "app")
            put(shipper, time.time_ns(), key, number, str(event.get("event", "")), source, extras or None)
        except Exception as error:
            unreadable(runtime, error)
        return event

    return ship


def _exc_info(value: Any) -> Any:
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    return value if isinstance(value, tuple) else sys.exc_info()
