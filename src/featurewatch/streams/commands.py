"""What clients say: JSON text in, a command out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from ..errors import BadInput
from ..levels import parse_level
from ..model import ENVIRONMENT, ENVIRONMENT_RULE, FEATURE_ID, FEATURE_ID_RULE, Level
from ..stores.base import LogFilter
from .routes import EVERY

LONGEST_TEXT: Final = 4096
LONGEST_TOKEN: Final = 16_384
"""Characters of a JWT: those with the groups of a large directory reach 8,000."""


@dataclass(frozen=True, slots=True)
class SubscribeLogs:
    """Send lines. `feature` None: of all that are subscribed.

    `after` "": begin with the last 50, or after a reconnect with what was missed. `history` True: with the last 50 in
    any case; False: with none of those.
    """

    feature: str | None
    filter: LogFilter
    environment: str | None
    after: str
    history: bool | None = None


@dataclass(frozen=True, slots=True)
class UnsubscribeLogs:
    feature: str | None


@dataclass(frozen=True, slots=True)
class Subscribe:
    feature: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    feature: str


@dataclass(frozen=True, slots=True)
class Auth:
    token: str


@dataclass(frozen=True, slots=True)
class Ping:
    pass


Command: TypeAlias = SubscribeLogs | UnsubscribeLogs | Subscribe | Unsubscribe | Auth | Ping

TYPES: Final = ("subscribe_logs", "unsubscribe_logs", "subscribe", "unsubscribe", "auth", "ping")


def parse(text: str) -> Command:
    """Read a message; its fields may stand beside `type` or, as in messages of the server, within `data`.

    Raises:
        BadInput: what was expected and what came.
    """
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadInput(f'expected a JSON object such as {{"type": "subscribe_logs"}} ({error})') from None
    if not isinstance(message, dict):
        raise BadInput(f"expected a JSON object, got {_kind(message)}")
    type_, data = message.get("type"), message.get("data")
    fields = {**data, **message} if isinstance(data, dict) else message
    match type_:
        case "subscribe_logs":
            filter, environment = filters(fields.get("filters"))
            return SubscribeLogs(
                _feature(fields), filter, environment, _text(fields, "after"), _truth(fields, "history")
            )
        case "unsubscribe_logs":
            return UnsubscribeLogs(_feature(fields))
        case "subscribe":
            return Subscribe(_required(fields))
        case "unsubscribe":
            return Unsubscribe(_required(fields))
        case "auth":
            token = _text(fields, "token", LONGEST_TOKEN)
            if not token:
                raise BadInput('token is missing: expected {"type": "auth", "token": "…"}')
            return Auth(token)
        case "ping":
            return Ping()
        case _:
            raise BadInput(f"type: expected one of {', '.join(TYPES)}, got {_shown(type_)}")


def filters(given: Any) -> tuple[LogFilter, str | None]:
    """Read the filters of lines, named as in GET /logs; unknown ones are ignored.

    Raises:
        BadInput: one cannot be read.
    """
    if given is None:
        return LogFilter(), None
    if not isinstance(given, Mapping):
        raise BadInput(f"filters: expected an object, got {_kind(given)}")
    return LogFilter(_levels(given), _text(given, "source"), _text(given, "search")), _environment(given)


def feature_id(value: Any, *, every: bool = False) -> str:
    """Check that a value can be a feature's id, or `*` where `every` allows it.

    Raises:
        BadInput: it cannot.
    """
    if isinstance(value, str) and (FEATURE_ID.fullmatch(value) or (every and value == EVERY)):
        return value
    raise BadInput(f"featureId: expected {FEATURE_ID_RULE}, got {_shown(value)}")


def _feature(fields: Mapping[str, Any]) -> str | None:
    value = fields.get("featureId", fields.get("feature_id"))
    return None if value in (None, "", EVERY) else feature_id(value)


def _required(fields: Mapping[str, Any]) -> str:
    return feature_id(fields.get("featureId", fields.get("feature_id")), every=True)


def _text(fields: Mapping[str, Any], name: str, longest: int = LONGEST_TEXT) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"{name}: expected a text, got {_kind(value)}")
    if len(value) > longest:
        raise BadInput(f"{name}: expected at most {longest} characters, got {len(value)}")
    return value


def _truth(fields: Mapping[str, Any], name: str) -> bool | None:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise BadInput(f"{name}: expected true or false, got {_kind(value)}")


def _environment(fields: Mapping[str, Any]) -> str | None:
    value = _text(fields, "environment").strip()
    if value and ENVIRONMENT.fullmatch(value) is None:
        raise BadInput(f"environment: expected {ENVIRONMENT_RULE}, got {_shown(value)}")
    return value or None


def _levels(fields: Mapping[str, Any]) -> frozenset[Level]:
    given = fields.get("levels", fields.get("level"))
    parts = given.split(",") if isinstance(given, str) else [] if given is None else given
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise BadInput(f'levels: expected a list or a text such as "warn,error", got {_kind(given)}')
    return frozenset(parse_level(part, name="levels") for part in parts if part.strip())


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = text if len(text) <= 60 else text[:60] + "…"
    return repr(text) if isinstance(value, str) else text
