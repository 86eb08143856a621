"""What a bridge refuses, as the errors of `featurewatch.errors`; and what stands in its way, as errors of this package.

Lost                 the connection is gone, or the bridge cannot be reached or is busy: try again
└── Blocked          something between here and the bridge lets no WebSocket pass
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from .. import errors
from ..errors import BadInput, FeaturewatchError, Forbidden, Problem, TooMany, Unauthenticated, UpstreamError

__all__ = ["FINAL", "Blocked", "Lost", "named", "one_line", "refusal", "said_by_a_bridge"]

FINAL: Final = (BadInput, Unauthenticated, Forbidden, errors.NotFound)
"""Errors that trying again does not cure."""

BY_STATUS: Final[Mapping[int, type[FeaturewatchError]]] = {
    kind.status: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FeaturewatchError) and "status" in vars(kind)
}
_BY_CODE: Final[Mapping[str, type[FeaturewatchError]]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FeaturewatchError) and "code" in vars(kind)
}
_OF_PROXIES: Final = frozenset({401, 403, 413, 429, 503})


class Lost(Exception):
    """A connection ended or could not be made, and another attempt may do better.

    Args:
        reason: one line for a person.
        retry_after: seconds that the bridge asked to wait.
    """

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Blocked(Lost):
    """A WebSocket did not come about though something answers, or ended without a word: a proxy, a firewall.

    Args:
        dead: it was open, and nothing passed any more.
    """

    def __init__(self, reason: str, *, dead: bool = False) -> None:
        super().__init__(reason)
        self.dead = dead


def refusal(status: int, body: bytes, retry_after: str | None = None) -> FeaturewatchError:
    """Make the error that an answer tells of.

    Of an answer that is none of a bridge's, what a proxy before one may say of itself keeps its meaning; another
    server's 404 says nothing of a feature.
    """
    told = _told(body)
    if told is None:
        if status in _OF_PROXIES:
            error = BY_STATUS[status](f"something before the bridge answered {status}")
            return _patient(error, retry_after)
        return UpstreamError(f"something else than a bridge answered {status}: is the address right?")
    problems = [
        Problem(str(one.get("field")), str(one.get("message")), one.get("index"))
        for one in told.get("details") or ()
        if isinstance(one, Mapping)
    ]
    kind = named(told.get("code")) or BY_STATUS.get(status, UpstreamError)
    error = kind(str(told["error"]))
    error.problems = tuple(problems)
    return _patient(error, retry_after)


def said_by_a_bridge(body: bytes) -> bool:
    """Tell whether the body of a refusal is a bridge's own."""
    return _told(body) is not None


def named(code: Any) -> type[FeaturewatchError] | None:
    """Find the error by its stable word."""
    return _BY_CODE.get(code) if isinstance(code, str) else None


def one_line(error: BaseException) -> str:
    """Write what a library says of a failure in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _told(body: bytes) -> Mapping[str, Any] | None:
    try:
        told = json.loads(body)
    except ValueError:
        return None
    whole = isinstance(told, Mapping) and isinstance(told.get("error"), str) and "code" in told
    return told if whole else None


def _patient(error: FeaturewatchError, retry_after: str | None) -> FeaturewatchError:
    if isinstance(error, TooMany) and retry_after is not None and retry_after.strip().isdigit():
        error.retry_after = int(retry_after)
    return error
