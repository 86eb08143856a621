"""What is asked of every upstream alike: does it answer, is it new enough, do the clocks agree. Pure."""

from __future__ import annotations

import re
from typing import Final

from .asking import Got
from .findings import Finding, broken, doubtful, fine, left_out

__all__ = ["Version", "answers", "clock", "recent", "said_of"]

Version = tuple[int, ...]

_SKEW_S: Final = 5.0
_BAD_SKEW_S: Final = 30.0
_NUMBERS: Final = re.compile(r"v?(\d+)\.(\d+)")


def answers(subject: str, got: Got, todo: str) -> Finding:
    """Judge whether an upstream answers; its refusal of a credential is told as what it is."""
    if got:
        return fine("reachable", subject, "answers")
    if got.status in (401, 403):
        todo = "set the credentials that the message names to what this upstream asks for"
    return broken("reachable", subject, said_of(subject, got), todo)


def said_of(subject: str, got: Got) -> str:
    """Take off a message what the finding says anyway: the subject's name, and its question at the end."""
    bare = got.failure.removeprefix(f"{subject} ").partition(": is it running")[0]
    return bare if bare.startswith(("cannot", "did not")) else f"it {bare}" if bare != got.failure else bare


def recent(subject: str, told: str, least: Version, why: str) -> Finding:
    """Judge a version; `why` says what an older one lacks."""
    found = _NUMBERS.match(told)
    wanted = ".".join(map(str, least))
    if found is None:
        return left_out("version", subject, f"it does not tell a version that can be read ({told or 'none'})")
    if tuple(map(int, found.groups())) < least:
        return broken("version", subject, f"it is {told}, which {why}", f"update it to {wanted} or later")
    return fine("version", subject, told)


def clock(subject: str, ahead_s: float | None) -> Finding:
    """Judge how far a clock is ahead of this machine's; answers tell whole seconds."""
    if ahead_s is None:
        return left_out("clock", subject, "its answers carry no Date")
    off = abs(ahead_s)
    if off < _SKEW_S:
        return fine("clock", subject, "within 5 s of this machine's")
    found = f"its clock is {_amount(off)} {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
    todo = (
        "let both machines keep time by NTP (timedatectl, chronyc tracking): figures and lines are else looked for in "
        "the wrong minutes"
    )
    return (broken if off >= _BAD_SKEW_S else doubtful)("clock", subject, found, todo)


def _amount(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
