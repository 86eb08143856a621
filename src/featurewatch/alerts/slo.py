"""A service level objective as rules: alerts on how fast its error budget burns. Pure.

The figures are those of Google's SRE workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": of a 30-day budget
2 % gone in an hour is 14.4 times too fast, 5 % in 6 hours 6 times, 10 % in a day 3 times, 10 % in 3 days just too
fast. Each is asked of its window and of one a twelfth as long, so that an alert ends soon after the trouble does.
For an objective over another time the windows are scaled, so that the same shares of the budget count.
https://sre.google/workbook/alerting-on-slos/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..alert_model import AlertRule, Burn
from ..errors import OutOfRange
from ..model import FeatureRecord, Severity, Slo
from ..times import parse_duration

__all__ = ["SHORTEST_WINDOW_S", "SLO_NAMES", "check_window", "slo_rules"]

SHORTEST_WINDOW_S: Final = 86_400.0
"""An objective over less than a day leaves no time between its windows."""

_LEAST_LONG: Final = 10
_LEAST_SHORT: Final = 2
"""Minutes below which a window holds too few scrapes. The factor stays, so that the more urgent is the steeper."""

_MOST: Final = 95.0
"""Percent. Where a loose objective would ask for more failures than there can be, so many count: an outage alerts."""

_MONTH_MINUTES: Final = 30 * 1440


@dataclass(frozen=True, slots=True)
class _Pace:
    """How fast of 30 days' budget `share` is gone within `long_minutes`: the factor, which holds for any window."""

    share: float
    long_minutes: int
    severity: Severity

    @property
    def factor(self) -> float:
        return round(self.share * _MONTH_MINUTES / self.long_minutes, 4)

    @property
    def name(self) -> str:
        return f"SLO burn rate ({self.severity})"


_PACES: Final = (
    _Pace(0.02, 60, "critical"),
    _Pace(0.05, 360, "high"),
    _Pace(0.10, 1440, "medium"),
    _Pace(0.10, 4320, "low"),
)

SLO_NAMES: Final = frozenset(pace.name for pace in _PACES)
"""What the rules of an objective are called, and no other rule: people, previews and imports know rules by name."""


def slo_rules(record: FeatureRecord) -> tuple[AlertRule, ...]:
    """Return the rules that a feature's objective stands for; none where it has no objective.

    Their ids are stable, and so are their names: an edited objective changes expressions alone.
    """
    if record.slo is None:
        return ()
    slo = record.slo
    minutes = parse_duration(slo.window, name="slo.window", at_most=366 * 86_400) / 60
    return tuple(_rule(record, slo, minutes, index, pace) for index, pace in enumerate(_PACES, 1))


def check_window(window: str) -> None:
    """Refuse an objective's window that cannot be alerted on.

    Raises:
        BadInput: it is no duration. OutOfRange: it is shorter than a day or longer than 366 days.
    """
    if parse_duration(window, name="slo.window", at_most=366 * 86_400) < SHORTEST_WINDOW_S:
        raise OutOfRange(
            f"slo.window: expected 1d to 366d such as 30d, got {window!r}: within less than a day there is no telling "
            "a budget that burns from one bad minute"
        )


def _rule(record: FeatureRecord, slo: Slo, minutes: float, index: int, pace: _Pace) -> AlertRule:
    long_minutes = max(_LEAST_LONG, round(pace.long_minutes * minutes / _MONTH_MINUTES))
    burn = Burn(
        factor=pace.factor,
        long_minutes=long_minutes,
        short_minutes=max(_LEAST_SHORT, round(long_minutes / 12)),
    )
    return AlertRule(
        id=f"slo-{record.id}-{index}",
        feature=record.id,
        name=pace.name,
        metric="error_rate",
        condition="greater_than",
        threshold=min(_MOST, round(burn.factor * (100 - slo.objective), 10)),
        severity=pace.severity,
        cooldown_minutes=slo.cooldown_minutes,
        channels=slo.channels,
        window_minutes=long_minutes,
        for_minutes=0,
        kind="slo",
        burn=burn,
        origin="slo",
        revision=record.revision,
    )
