"""What an answer to a push of lines means. Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["stored", "later", "denied", "refused", "too_large"]

RETRY_AFTER_MOST_S: Final = 300.0


class Verdict(NamedTuple):
    """What to do with a batch.

    Attributes:
        kind: stored; later: send it again; denied: the settings are wrong, send it again, slowly; refused: some of its
            lines are wrong; too_large: send it in parts.
        reason: of the lines that are dropped, as in `drops.REASONS`.
        said: the answer in one line.
        wait: the least seconds until it may be sent again.
        refused: of how many lines this is told, None where it is not.
    """

    kind: Kind
    reason: str = "rejected"
    said: str = ""
    wait: float = 0.0
    refused: int | None = None


def one_line(status: int, text: str) -> str:
    """Word an answer for a message: its status and the beginning of its text."""
    return f"{status} {' '.join(text[:1000].split())[:200]}".strip()


def otlp_text(kind: str, content: bytes) -> str:
    """Read what an OTLP server says of a failure, by its Content-Type; empty where that is no text.

    https://opentelemetry.io/docs/specs/otlp/#failures-1
    """
    if "protobuf" not in kind:
        return content.decode("utf-8", "replace") if not kind or kind.startswith(("text/", "application/json")) else ""
    from google.protobuf.message import DecodeError  # needed for a failure alone
    from google.rpc.status_pb2 import Status

    try:
        message: str = Status.FromString(content).message
        return message
    except DecodeError:
        return ""


def by_status(status: int, said: str, retry_after: str, now: float) -> Verdict:
    """Judge an answer that is no success by its status, for any kind of destination."""
    if status in (408, 425, 429) or status >= 500:
        return Verdict("later", said=said, wait=seconds_of(retry_after, now))
    if status == 413:
        return Verdict("too_large", "too_large", said)
    if status in (400, 422):
        return Verdict("refused", refusal_reason(said), said)
    # 260 is Loki's answer while ingestion is blocked, 200 a web page's, 301 a proxy's: nothing of it is stored.
    return Verdict("denied", said=said)


def refusal_reason(text: str) -> str:
    """Tell lines that came too late from those that are wrong by themselves."""
    late = ("too old", "too far behind", "out of order")
    return "too_old" if any(words in text for words in late) else "rejected"


def seconds_of(retry_after: str, now: float) -> float:
    """Read a Retry-After header, seconds or a date; 0 where it says nothing, at most five minutes.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    text = retry_after.strip()
    if not text:
        return 0.0
    if text.isascii() and text.isdecimal():
        return min(float(text), RETRY_AFTER_MOST_S)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - now), RETRY_AFTER_MOST_S)
    except (ValueError, TypeError):
        return 0.0
