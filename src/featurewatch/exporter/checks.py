"""Checks of single settings: each returns the value as it is kept, or says what was expected. Pure."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Final

from ..errors import BadInput
from ..model import ENVIRONMENT, ENVIRONMENT_RULE, LEVELS
from ..times import parse_duration
from .credentials import hidden

MODES: Final = ("metrics", "events")
LOGS: Final = ("auto", "loki", "otlp", "none")
TRUE: Final = ("1", "true", "yes", "on")


def text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"expected text of one line, got {value!r}")
    return value.strip()


def secret(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError("expected a secret of printable ASCII; what came is not shown")
    return value.strip()


def mode(value: object) -> str:
    if value not in MODES:
        raise ValueError(f"expected one of {', '.join(MODES)}, got {value!r}")
    return str(value)


def path(value: object) -> str:
    path = text(value)
    if path and not path.startswith("/"):
        raise ValueError(f"expected a path that starts with /, got {value!r}")
    return path.rstrip("/")


def environment(value: object) -> str:
    if not isinstance(value, str) or ENVIRONMENT.fullmatch(value) is None:
        raise ValueError(f"expected {ENVIRONMENT_RULE}, got {value!r}")
    return value


_URL: Final = re.compile(r"https?://(?:[^/\s]*@)?(?:\[[0-9A-Fa-f:.]+\]|[^/?#\s:@\[\]]+)(?::\d{1,5})?(?:[/?#]\S*)?")


def url(value: object) -> str:
    return url_as_it_stands(value).rstrip("/")


def url_as_it_stands(value: object) -> str:
    """Check a URL to which nothing is added, whose last slash matters."""
    text = value.strip() if isinstance(value, str) else ""
    if _URL.fullmatch(text) is None:
        raise ValueError(f"expected a URL such as http://127.0.0.1:8400 or https://host/path, got {hidden(value)!r}")
    return text


def logs(value: object) -> str:
    if value not in LOGS:
        raise ValueError(f"expected one of {', '.join(LOGS)}, got {value!r}")
    return str(value)


def spool_bytes(value: object) -> int:
    return int(number(1024**2, 2**50)(value))


def level(value: object) -> str:
    level = str(value).lower()
    level = {"warning": "warn", "critical": "fatal"}.get(level, level)
    if level not in LEVELS:
        raise ValueError(f"expected one of {', '.join(LEVELS)}, got {value!r}")
    return level


def number(least: float, most: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        try:
            number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise ValueError(f"expected a number from {_plain(least)} to {_plain(most)}, got {value!r}")
        return number

    return check


def _plain(limit: float) -> str:
    """Write a limit with all its digits: a size to be copied is no 1.04858e+06."""
    return f"{limit:g}" if limit < 1 else f"{limit:.0f}"


def seconds(least: float, most: float) -> Callable[[object], float]:
    """Check seconds, or a duration as text such as 5s or 1m30s."""
    bounded = number(least, most)

    def check(value: object) -> float:
        if isinstance(value, str) and value.strip()[-1:].isalpha():
            try:
                return bounded(parse_duration(value, name="value"))
            except BadInput as error:
                raise ValueError(error.message.removeprefix("value: ")) from None
        return bounded(value)

    return check


def milliseconds(value: object) -> float:
    return number(100, 86_400_000)(value) / 1000


def queue_bytes(value: object) -> int:
    return int(number(64 * 1024, 2**40)(value))


def folder(value: object) -> str:
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path.isprintable():
        raise ValueError(f"expected a path, got {value!r}")
    return path.strip()


def count(value: object) -> int:
    return int(number(1, 1_000_000)(value))


def flag(value: object) -> bool:
    word = str(value).lower()
    if word not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError(f"expected true or false, got {value!r}")
    return word in TRUE
