"""What a check says: a finding each, and all of them as a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ..times import NS, format_instant
from .catalog import CHECKS

__all__ = ["SEVERITIES", "Finding", "Report", "Severity", "broken", "doubtful", "fine", "left_out", "shortened"]

Severity: TypeAlias = Literal["error", "warning", "skipped", "ok"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "skipped", "ok")
"""The worst first."""

_SHOWN: Final = 300
_ORDER: Final = {check: place for place, check in enumerate(CHECKS)}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says of one subject.

    Attributes:
        check: a name of `catalog.CHECKS`.
        subject: what was looked at, such as `Prometheus at http://prometheus:9090` or `app/10.0.0.1:8000`.
        found: what is the case, in a line.
        todo: what to do about it, in a line; "" where nothing is to be done.
    """

    check: str
    severity: Severity
    subject: str
    found: str
    todo: str = ""

    def __post_init__(self) -> None:
        if self.wrong and not self.todo:
            raise ValueError(f"expected what to do about {self.check} of {self.subject}")

    @property
    def wrong(self) -> bool:
        """Whether something is to be done."""
        return self.severity in ("error", "warning")


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one examination; `began_ns` is an instant, nanoseconds since the epoch."""

    findings: tuple[Finding, ...]
    began_ns: int
    seconds: float

    @property
    def healthy(self) -> bool:
        return not any(finding.wrong for finding in self.findings)

    @property
    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}

    def of(self, severity: Severity) -> Sequence[Finding]:
        return sorted_by_need(finding for finding in self.findings if finding.severity == severity)

    def as_data(self) -> dict[str, Any]:
        """Return it as it is shown as JSON."""
        return {
            "healthy": self.healthy,
            "began": format_instant(self.began_ns),
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "findings": [as_data(finding) for finding in sorted_by_need(self.findings)],
        }

    @property
    def ended_s(self) -> float:
        """When it ended, seconds since the epoch."""
        return self.began_ns / NS + self.seconds


def as_data(finding: Finding) -> dict[str, str]:
    """Return a finding as it is shown as JSON."""
    told = {"check": finding.check, "severity": finding.severity, "subject": finding.subject, "found": finding.found}
    return {**told, **({"todo": finding.todo} if finding.todo else {})}


def sorted_by_need(findings: Iterable[Finding]) -> list[Finding]:
    """Put the worst first, and of equals what lies nearer to the cause: this machine, upstreams, apps, queries."""
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), _ORDER.get(finding.check, 0)))


def broken(check: str, subject: str, found: str, todo: str) -> Finding:
    """Something does not work."""
    return Finding(check, "error", subject, shortened(found), todo)


def doubtful(check: str, subject: str, found: str, todo: str) -> Finding:
    """Something works, but less well than it should, or not for long."""
    return Finding(check, "warning", subject, shortened(found), todo)


def fine(check: str, subject: str, found: str) -> Finding:
    return Finding(check, "ok", subject, shortened(found))


def left_out(check: str, subject: str, why: str) -> Finding:
    """It could not be looked at, or does not apply; nothing is known of it."""
    return Finding(check, "skipped", subject, shortened(why))


def shortened(text: str, length: int = _SHOWN) -> str:
    """Write a text as one line of a bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"
