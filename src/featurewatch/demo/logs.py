"""How the app's log lines reach featurewatch: by `logging`, and by loguru where it is installed."""

from __future__ import annotations

import contextvars
import importlib.util
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import featurewatch

from .workload import Step

if TYPE_CHECKING:
    import loguru

Say: TypeAlias = Callable[..., None]

log: Final = logging.getLogger("assistant")

request: Final[contextvars.ContextVar[Step | None]] = contextvars.ContextVar("request", default=None)
"""The request that is served here: threads and tasks started for it see it too."""


class RequestFilter(logging.Filter):
    """Write onto each record whose request it belongs to, so that no line of the app has to say it."""

    def filter(self, record: logging.LogRecord) -> bool:
        step = request.get()
        if step is not None:
            record.user_id = step.reader
            record.trace_id = step.trace_id
        return True


def start_logging() -> None:
    """Send the app's lines to featurewatch, and show the exporter's own complaints, if any, on the terminal."""
    handler = featurewatch.LogHandler()
    handler.addFilter(RequestFilter())
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    logging.getLogger("featurewatch").addHandler(logging.StreamHandler())


def loguru_or_logging() -> Say:
    """Make a function `say(level, message, **metadata)`: by loguru where it is installed, else by `logging`.

    An app uses one of the two. The demo has both, to show that featurewatch takes them alike.
    """
    if importlib.util.find_spec("loguru") is None:
        return lambda level, message, **about: log.log(getattr(logging, level), message, extra=about)
    from loguru import logger

    logger.remove()
    logger.add(featurewatch.loguru_sink(), level="DEBUG")
    logger.configure(patcher=_note_request)
    return lambda level, message, **about: logger.opt(depth=1).bind(**about).log(level, message)


def _note_request(record: loguru.Record) -> None:
    step = request.get()
    if step is not None:
        record["extra"].update(user_id=step.reader, trace_id=step.trace_id)
