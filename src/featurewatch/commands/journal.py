"""The bridge's own log: everything that its libraries say, in one format, on stderr."""

from __future__ import annotations

import logging
import sys
from typing import Final

from loguru import logger

__all__ = ["QUIET", "log_to_stderr"]

_FORMAT: Final = (
    "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> <cyan>{extra[logger]}</cyan> {message}"
)
QUIET: Final = ("uvicorn.error", "websockets", "httpx", "httpcore", "asyncio", "multipart")
"""Libraries that tell of each connection, their debugging of each frame and header, credentials among them: only their
warnings are logged."""


class _ToLoguru(logging.Handler):
    """Hands the records of the standard library's logging over."""

    def emit(self, record: logging.LogRecord) -> None:
        known = logging.getLevelNamesMapping()
        level = record.levelname if record.levelname in known else record.levelno
        target = logger.bind(logger=record.name.removeprefix("featurewatch."))
        target.opt(exception=record.exc_info).log(level, "{}", record.getMessage())


def log_to_stderr(*, verbose: bool = False) -> None:
    """Send all logging of the process through loguru to stderr, in colour on a terminal."""
    level = "DEBUG" if verbose else "INFO"
    logger.remove()
    logger.configure(extra={"logger": "featurewatch"})
    # Without diagnose: it would write the values of variables, secrets among them, into tracebacks.
    logger.add(sys.stderr, level=level, format=_FORMAT, diagnose=False, backtrace=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=level, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
