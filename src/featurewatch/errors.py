"""Every error that featurewatch raises on purpose.

    FeaturewatchError
    ├── SettingsError          a setting, argument or declaration is wrong; nothing was started
    ├── BadInput        400    malformed or missing
    │   ├── OutOfRange  422    well-formed, but outside what is allowed
    │   ├── TooLarge    413    over a size limit
    │   ├── SlowBody    408    a body that does not come; the connection is closed
    │   └── Unsupported 415    a content type or encoding that is not understood
    ├── Unauthenticated 401
    ├── Forbidden       403
    ├── NotFound        404
    ├── Conflict        409
    ├── StaleEdit       412    If-Match names an older revision
    ├── UpgradeRequired 426    the endpoint wants a WebSocket
    ├── TooMany         429    a rate or a queue is full; `retry_after` says when to come back
    ├── UpstreamError   502    an upstream answered wrongly
    │   └── AnswerTooLong      it answered with more than is read
    └── Unavailable     503    a store or an upstream cannot be reached
        ├── TimedOut           it did not answer in time
        ├── StoreFull          the disk is full
        └── StoreLocked        another process holds the data

A message is one line: what was expected, what came, what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: `index` within a list (None outside one), the field, what is wrong.

    `out_of_range`: it is well-formed, but outside what is allowed.
    """

    field: str
    message: str
    index: int | None = None
    out_of_range: bool = False


class FeaturewatchError(Exception):
    """The root. `code` is a stable word for programs, `status` the HTTP status it maps to."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)


class SettingsError(FeaturewatchError):
    code = "settings"


class BadInput(FeaturewatchError):
    code = "bad_request"
    status = 400


class OutOfRange(BadInput):
    code = "out_of_range"
    status = 422


class TooLarge(BadInput):
    code = "too_large"
    status = 413


class SlowBody(BadInput):
    code = "timeout"
    status = 408


class Unsupported(BadInput):
    code = "unsupported_media_type"
    status = 415


class Unauthenticated(FeaturewatchError):
    code = "unauthenticated"
    status = 401


class Forbidden(FeaturewatchError):
    code = "forbidden"
    status = 403


class NotFound(FeaturewatchError):
    code = "not_found"
    status = 404


class Conflict(FeaturewatchError):
    code = "conflict"
    status = 409


class StaleEdit(FeaturewatchError):
    code = "precondition_failed"
    status = 412


class UpgradeRequired(FeaturewatchError):
    code = "upgrade_required"
    status = 426


class TooMany(FeaturewatchError):
    code = "too_many"
    status = 429

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UpstreamError(FeaturewatchError):
    code = "upstream"
    status = 502


class AnswerTooLong(UpstreamError):
    code = "answer_too_long"


class Unavailable(FeaturewatchError):
    code = "unavailable"
    status = 503


class TimedOut(Unavailable):
    code = "timed_out"


class StoreFull(Unavailable):
    code = "store_full"


class StoreLocked(Unavailable):
    code = "store_locked"
