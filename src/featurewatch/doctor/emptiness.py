"""Why a query came to nothing: it is broken, or nobody exports what it reads, or there is simply no traffic. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ..families import COST, FAMILIES, REQUESTS, TOKEN_KINDS, TOKENS
from ..model import OUTCOMES
from ..stores.recording import groups as recording_groups
from .selectors import Selector, filters, fits

__all__ = ["OK", "Seen", "Verdict", "judge_empty"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of an empty query: `ok` where that is as it should be. Equal ones have one cause."""

    severity: Literal["ok", "warning", "error", "skipped"]
    found: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of a selector's series.

    Attributes:
        named: how many series have its name, within the last hour; chosen: how many of them are selected now.
        labels: those that series of this name have.
        changed: how often the most lively of the selected ones changed in the last minutes.
        known: whether something is to make series of this name: an app, a loaded rule.
        declared: what the bridge exports, None where it was not asked.
        scraped: whether Prometheus scrapes the bridge.
    """

    selector: Selector
    named: float
    chosen: float
    labels: frozenset[str]
    changed: float
    known: bool
    declared: frozenset[str] | None = None
    scraped: bool = True


OK: Final = Verdict("ok")

_ALWAYS_RIGHT: Final = ("ALERTS", "ALERTS_FOR_STATE", "scrape_", "up", "featurewatch_dropped_total")
"""Series that come and go: that there are none says nothing."""

_SOME_MODES: Final = (
    "loki",
    "alertmanager",
    "publisher",
    "channels",
    "notifications",
    "log_store",
    "metric_store",
    "upstream",
    "silences",
    "evaluator",
    "alert",
    "doctor",
    "jwt",
    "leader",
    "streams",
    "arrivals",
    "price_table",
    "call_totals",
    "otlp",
)
"""Of the bridge's metrics those that exist only where it is set up so: they begin with featurewatch_ and this."""

_VALUES: Final = {
    (REQUESTS.name, "outcome"): OUTCOMES,
    (TOKENS.name, "kind"): TOKEN_KINDS,
    (COST.name, "source"): ("reported", "estimated"),
}
"""Labels that have these values and never another."""

_RECORDED: Final = frozenset(rule.record for group in recording_groups(50.0) for rule in group.rules)
_SUFFIXES: Final = ("_bucket", "_sum", "_count", "_created", "_total")


def judge_empty(expression: str, what: str, seen: Sequence[Seen]) -> Verdict:
    """Judge a query that came to nothing; `what` says how: `is empty` or `is NaN`."""
    for one in seen:
        verdict = _missing(one) if not one.named else _misnamed(one)
        if verdict.severity != "ok":
            return verdict
    idle = not seen or any(not one.changed for one in seen) or filters(expression)
    if idle:
        return OK
    return Verdict(
        "warning",
        f"{what}, although its series have data",
        "correct the query: run it part by part in Prometheus; a division or a join usually loses the series",
    )


def _missing(seen: Seen) -> Verdict:
    """Say why there is no series of a name."""
    name = seen.selector.name
    if not name or seen.known or name.startswith(_ALWAYS_RIGHT) or _family(name):
        # What no app exports is told by the checks of the apps.
        return OK
    if ":" in name:
        if name in _RECORDED:
            return Verdict(
                "warning",
                "reads what the recording rules record, and they are not loaded",
                "add prometheus/rules/featurewatch.yml to rule_files of Prometheus, and reload it",
            )
        return Verdict("error", f"reads {name}, which no loaded rule records", "correct the name, or load its rule")
    if name.startswith("featurewatch_"):
        return _of_bridge(name, seen.declared, seen.scraped)
    return Verdict(
        "warning",
        f"reads {name}, which nothing that Prometheus scrapes exports",
        "correct the name; or add what exports it to scrape_configs",
    )


def _of_bridge(name: str, declared: frozenset[str] | None, scraped: bool) -> Verdict:
    bare = name
    for suffix in _SUFFIXES:
        bare = bare.removesuffix(suffix)
    if declared is not None and not {name, bare, f"{bare}_total"} & declared:
        if name.removeprefix("featurewatch_").startswith(_SOME_MODES):
            return OK
        return Verdict("error", f"reads {name}, which the bridge does not export", "correct the name in the query")
    if scraped:
        return OK
    return Verdict(
        "warning",
        "reads the bridge's own metrics, and Prometheus does not scrape the bridge",
        "add the bridge to scrape_configs (with authentication on: with a token of role viewer)",
    )


def _misnamed(seen: Seen) -> Verdict:
    """Find a label or a value that no series of the name has or will have: such a query never selects anything."""
    if seen.chosen:
        return OK
    strange = sorted(label for label in seen.selector.required if label not in seen.labels)
    if not strange:
        return _misvalued(seen.selector)
    have = ", ".join(sorted(seen.labels - {"__name__"})[:8])
    return Verdict(
        "error",
        f"selects by the label {', '.join(strange)}, which no series of {seen.selector.name} has",
        f"correct the label in the query; there are {have}",
    )


def _misvalued(selector: Selector) -> Verdict:
    """Find a value that a label of ours never has."""
    for label, operator, value in selector.matchers:
        values = _VALUES.get((selector.name, label))
        if values and not any(fits(operator, value, each) for each in values):
            return Verdict(
                "error",
                f'selects by {label}{operator}"{value}", which {selector.name} never has',
                f"correct the value in the query; {label} is one of {', '.join(values)}",
            )
    return OK


def _family(name: str) -> bool:
    bare = name
    for suffix in ("_bucket", "_sum", "_count"):
        bare = bare.removesuffix(suffix)
    return bare in FAMILIES or bare + "_total" in FAMILIES or name in FAMILIES
