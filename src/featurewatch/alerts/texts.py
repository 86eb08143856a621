"""How alerts speak to people: titles, messages and figures, alike wherever an alert is made. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from ..alert_model import AlertRule, Condition

__all__ = ["IN_WORDS", "NO_DATA", "figure", "message", "plain", "title"]

IN_WORDS: Final[dict[Condition, str]] = {
    "greater_than": "greater than",
    "less_than": "less than",
    "equals": "equal to",
}

NO_DATA: Final = "no data"
"""What the message of an alert on absent series says in place of a value."""


def title(rule: AlertRule) -> str:
    return f"{rule.name} Alert"


def message(rule: AlertRule, value: str | None) -> str:
    """Say what is wrong; `value` is a figure as it is shown, None where the series are absent."""
    if value is None:
        return f"{rule.metric} has {NO_DATA}: nothing was heard of {rule.feature}"
    return f"{rule.metric} is {value}, which is {IN_WORDS[rule.condition]} threshold of {plain(rule.threshold)}"


def figure(value: float) -> str:
    """Show a measured value: whole from 1000 on, else four significant digits."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def plain(value: float) -> str:
    """Show a number that people typed in the digits that they typed: 20 for 20.0, never an exponent.

    >>> plain(20.0), plain(0.00001)
    ('20', '0.00001')
    """
    return f"{value:.0f}" if value == int(value) else format(Decimal(repr(value)), "f")
