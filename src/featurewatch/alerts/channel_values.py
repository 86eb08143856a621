"""The values that settings of channels take: each function reads one, or says what was expected. Pure."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

from ..fields import shown

__all__ = [
    "Wrong",
    "address",
    "addresses",
    "apprise",
    "bot_token",
    "chat",
    "flag",
    "host_port",
    "line",
    "plain",
    "secret",
    "url",
]

_LONGEST: Final = 2000
_HOST_PORT: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}")
_ADDRESS: Final = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")
_CHAT: Final = re.compile(r"-?\d{1,18}")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s]")
_BOT: Final = re.compile(r"\d+:[A-Za-z0-9_-]+")


class Wrong(ValueError):
    """A value is not what a setting takes; the text says what was expected."""


def line(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Wrong(f"expected text, got {shown(value)}")
    if len(value) > _LONGEST:
        raise Wrong(f"expected at most {_LONGEST} characters, got {len(value)}")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value.strip()):
        raise Wrong("expected text on one line")
    return value.strip()


def plain(value: Any) -> str:
    text = line(value)
    if "{{" in text:
        raise Wrong("expected text without '{{', which Alertmanager would take for a template")
    return text


def secret(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Wrong("expected text")
    text = value.strip()
    if len(text) > _LONGEST or any(ord(letter) < 32 or ord(letter) == 127 for letter in text) or "{{" in text:
        raise Wrong(f"expected at most {_LONGEST} characters on one line, without '{{{{'")
    return text


def url(value: Any) -> str:
    text = secret(value)
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0 and " " not in text
    except ValueError:
        valid = False
    if not valid:
        # What came is not repeated: it may be a secret.
        raise Wrong("expected a URL such as https://example.com/hook")
    if "@" in parts.netloc:
        raise Wrong("expected a URL without user and password: they would show wherever the URL does")
    return text


def addresses(value: Any) -> str:
    listed = value if isinstance(value, list) else plain(value).split(",")
    found = [part.strip() if isinstance(part, str) else "" for part in listed]
    if not found or len(found) > 50 or not all(map(_is_address, found)):
        raise Wrong(f"expected mail addresses such as ops@example.com, separated by commas, got {shown(value)}")
    return ", ".join(found)


def address(value: Any) -> str:
    text = plain(value)
    if not _is_address(text):
        raise Wrong(f"expected a mail address such as ops@example.com, got {shown(value)}")
    return text


def _is_address(text: str) -> bool:
    bare = text[text.index("<") + 1 : -1] if "<" in text and text.endswith(">") else text
    return _ADDRESS.fullmatch(bare) is not None and "{{" not in text and len(text) <= 320


def host_port(value: Any) -> str:
    text = line(value)
    if _HOST_PORT.fullmatch(text) is None or not 0 < int(text.rpartition(":")[2]) < 65_536:
        raise Wrong(f"expected host:port such as smtp.example.com:587, got {shown(value)}")
    return text


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"expected true or false, got {shown(value)}")
    return value


def chat(value: Any) -> int:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if _CHAT.fullmatch(text.strip()) is None or int(text) == 0:
        raise Wrong(
            f"expected the number of a chat such as -1001234567890, got {shown(value)}: the bot's getUpdates tells it"
        )
    return int(text)


def bot_token(value: Any) -> str:
    text = secret(value)
    if _BOT.fullmatch(text) is None:
        raise Wrong("expected a bot's token as @BotFather gives it: digits, ':' and a key")
    return text


def apprise(value: Any) -> str:
    text = secret(value)
    if _SCHEME.match(text) is None:
        raise Wrong("expected one address of apprise such as ntfy://ntfy.sh/topic or matrixs://user:pass@host/#room")
    return text
