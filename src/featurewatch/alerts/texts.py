"""How alerts speak to people: titles, messages and figures, alike wherever an alert is made. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from ..alert_model import LOG_ENTRIES, AlertRule, Condition
from ..formulas import METRICS

__all__ = [
    "IN_WORDS",
    "NO_DATA",
    "amount",
    "crossing",
    "figure",
    "figure_template",
    "message",
    "plain",
    "title",
    "unit",
]

IN_WORDS: Final[dict[Condition, str]] = {
    "greater_than": "greater than",
    "less_than": "less than",
    "equals": "equal to",
}

NO_DATA: Final = "no data"
"""What the message of an alert on absent series says in place of a value."""

_SYMBOLS: Final = {"percent": "%", "ms": "ms", "USD": "USD"}
"""How units are written behind a number. What others count, such as requests, is said by the figure's name."""

_WHOLE_FROM: Final = 1000.0
_NEARLY_ALL: Final = 99.0
_TINY_USD: Final = 0.001


def title(rule: AlertRule) -> str:
    return f"{rule.name} Alert"


def message(rule: AlertRule, value: str | None) -> str:
    """Say what is wrong; `value` is a figure as it is shown, without its unit; None where the series are absent."""
    if value is None:
        return f"{rule.metric} has {NO_DATA}: nothing was heard of {rule.feature}"
    return f"{rule.metric} is {amount(rule.metric, value)}, which is {_limit(rule)}"


def crossing(rule: AlertRule) -> str:
    """Say what was wrong where the value is not known any more."""
    return f"{rule.metric} was {_limit(rule)}"


def _limit(rule: AlertRule) -> str:
    return f"{IN_WORDS[rule.condition]} threshold of {amount(rule.metric, plain(rule.threshold))}"


def unit(metric: str) -> str:
    """Name what a figure is measured in, as the table does: percent, ms, USD, requests …"""
    return "lines" if metric == LOG_ENTRIES else METRICS[metric].unit


def amount(metric: str, number: str) -> str:
    """Write a number of a figure with its unit.

    >>> amount("error_rate", "45.2"), amount("response_time", "412"), amount("total_requests", "7")
    ('45.2 %', '412 ms', '7')
    """
    symbol = _SYMBOLS.get(unit(metric))
    return f"{number} {symbol}" if symbol else number


def figure(metric: str, value: float) -> str:
    """Show a measured value: whole from 1000 on, else four significant digits.

    Six digits for percent near 100, since 99.996 is less than a threshold that 100 is not; no exponent for money.

    >>> figure("uptime", 99.996), figure("cost_per_request", 0.00002), figure("error_rate", 33.333333)
    ('99.996', '0.0000200', '33.33')
    """
    if value >= _WHOLE_FROM:
        return f"{value:.0f}"
    if unit(metric) == "percent" and value > _NEARLY_ALL:
        return f"{value:.6g}"
    if unit(metric) == "USD" and 0 < value < _TINY_USD:
        return f"{value:.7f}"
    return f"{value:.4g}"


def figure_template(metric: str) -> str:
    """Write `figure` as a template of Prometheus.

    https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
    """
    cases = [(f"ge $value {_WHOLE_FROM}", "%.0f")]
    if unit(metric) == "percent":
        cases.append((f"gt $value {_NEARLY_ALL}", "%.6g"))
    if unit(metric) == "USD":
        cases.append((f"and (gt $value 0.0) (lt $value {_TINY_USD})", "%.7f"))
    chosen = "{{ else ".join(f'if {case} }}}}{{{{ printf "{form}" $value }}}}' for case, form in cases)
    return f'{{{{ {chosen}{{{{ else }}}}{{{{ printf "%.4g" $value }}}}{{{{ end }}}}'


def plain(value: float) -> str:
    """Show a number that people typed in the digits that they typed: 20 for 20.0, never an exponent.

    >>> plain(20.0), plain(0.00001)
    ('20', '0.00001')
    """
    return f"{value:.0f}" if value == int(value) else format(Decimal(repr(value)), "f")
