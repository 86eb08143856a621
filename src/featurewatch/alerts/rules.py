"""Reading a rule that somebody wrote: everything that is wrong with it is told at once, and nothing of it is kept.

The same whether it comes as JSON, from a features.yml or from a rule file. What a rule leaves out is as in the rule
that it changes, or else the default; null gives a field its default back.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final, cast

from ..alert_model import (
    CHANNEL_NAME,
    CHANNEL_NAME_RULE,
    CONDITIONS,
    LOG_ENTRIES,
    ON_NO_DATA,
    SEVERITIES,
    AlertRule,
    LogSelection,
)
from ..errors import BadInput, Problem
from ..families import BUCKETS
from ..fields import Fields, nearest, refuse, shown
from ..formulas import METRICS, Quantile, metric_named
from ..levels import parse_level
from ..model import ENVIRONMENT, ENVIRONMENT_RULE, LEVELS, Level
from .conditions import NEAR, counts
from .slo import SLO_NAMES
from .texts import plain

__all__ = ["LONGEST_MINUTES", "read_channels", "read_rule"]

LONGEST_MINUTES: Final = 7200
_ORIGINS: Final = ("api", "file", "import")
_LONGEST_NAME: Final = 200
_MOST_CHANNELS: Final = 20
_LARGEST: Final = 1e15
_DAY_MINUTES: Final = 1440
_EXAMPLE: Final = (
    "{'name': 'Errors', 'metric': 'error_rate', 'condition': 'greater_than', 'threshold': 20, 'severity': 'high'}"
)
_SLOWEST_MS: Final = BUCKETS[-1] * 1000
"""What a percentile never exceeds: durations beyond the highest bucket are read as its bound."""


def read_rule(
    body: Any,
    feature: str,
    *,
    base: AlertRule | None = None,
    channels: Collection[str] | None = None,
) -> AlertRule:
    """Read and check a rule of a feature.

    Args:
        base: the rule that is changed: what `body` leaves out stays as it is there.
        channels: the names of the channels that there are; None: any name will do.

    Raises:
        BadInput, OutOfRange: with everything that is wrong in `problems`.
    """
    if not isinstance(body, dict):
        raise BadInput(f"expected a rule such as {_EXAMPLE}, got {shown(body)}")
    problems: list[Problem] = []
    rule = _Reader(body, feature, base, problems).rule(channels)
    refuse(problems, "rules", 1)
    return rule


def read_channels(
    fields: Fields, name: str, default: tuple[str, ...], known: Collection[str] | None
) -> tuple[str, ...]:
    """Read a list of channels, each once, in order.

    Args:
        known: the channels that there are; None: any name will do.
    """
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        fields.wrong(name, f"expected a list of channels' names such as ['ops'], got {shown(value)}")
        return default
    found = tuple(dict.fromkeys(one.strip() for one in value))
    if len(found) > _MOST_CHANNELS:
        fields.wrong(name, f"expected at most {_MOST_CHANNELS} channels, got {len(found)}", out_of_range=True)
    for one in found:
        if CHANNEL_NAME.fullmatch(one) is None:
            fields.wrong(name, f"expected {CHANNEL_NAME_RULE}, got {shown(one)}")
        elif known is not None and one not in known:
            there = f"there are {', '.join(sorted(known)[:20])}" if known else "there is none yet"
            fields.wrong(name, f"{one!r} is no channel{nearest(one, known) or '; ' + there}")
    return found


class _Reader:
    """Reads the fields of one rule over those of the one that it changes."""

    def __init__(self, body: Mapping[str, Any], feature: str, base: AlertRule | None, problems: list[Problem]) -> None:
        self._fields = Fields(dict(body), None, problems)
        self._given = body
        self._feature = feature
        self._base = base
        self._problems = problems

    def rule(self, channels: Collection[str] | None) -> AlertRule:
        fields, base = self._fields, self._base
        self._of_this_feature()
        kind = self._choice("kind", ("metric", "logs"), base.kind if base else "metric", "metric")
        metric = self._metric(kind)
        window = _DAY_MINUTES if metric == "uptime" else 5
        changed = AlertRule(
            id=base.id if base else "",
            feature=self._feature,
            name=self._name(),
            metric=metric,
            condition=self._choice("condition", CONDITIONS, base.condition if base else None),
            threshold=self._number(),
            severity=self._choice("severity", SEVERITIES, base.severity if base else None),
            enabled=self._boolean("enabled", base.enabled if base else True, True),
            cooldown_minutes=self._minutes("cooldown_minutes", base.cooldown_minutes if base else 60, 60, least=1),
            channels=read_channels(fields, "notification_channels", self._kept_channels(), channels),
            window_minutes=self._minutes(
                "window_minutes", base.window_minutes if base and base.metric == metric else window, window, least=1
            ),
            for_minutes=self._minutes("for_minutes", base.for_minutes if base else 1, 1),
            keep_firing_minutes=self._minutes("keep_firing_minutes", base.keep_firing_minutes if base else 0, 0),
            on_no_data=self._choice("on_no_data", ON_NO_DATA, base.on_no_data if base else "ignore", "ignore"),
            environment=self._environment(),
            kind=cast(Any, kind),
            logs=self._logs() if kind == "logs" else None,
            origin=self._choice("origin", _ORIGINS, base.origin if base else "api"),
        )
        if not self._problems:
            self._check(changed)
        if base is None:
            return changed
        return replace(
            changed, revision=base.revision, created_ns=base.created_ns,
            created_by=base.created_by, updated_ns=base.updated_ns, updated_by=base.updated_by,
            deployment=base.deployment,
        )  # fmt: skip

    def _wrong(self, name: str, message: str, *, out_of_range: bool = False) -> None:
        self._fields.wrong(name, message, out_of_range=out_of_range)

    def _of_this_feature(self) -> None:
        told = self._fields.get("featureId", "feature_id")
        if told not in (None, "", self._feature):
            self._wrong("featureId", f"the address says {self._feature!r}, the rule {shown(told)}: leave it out")

    def _name(self) -> str:
        if self._base is not None and self._given.get("name") is None:
            return self._base.name
        given = self._given.get("name")
        trimmed = str(self._fields.text("name", "", longest=_LONGEST_NAME, required=True)).strip()
        if isinstance(given, str) and not given.strip():
            self._wrong("name", f"expected what people call the rule, got {shown(given)}")
        if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in trimmed):
            self._wrong("name", "expected one line of text, got control characters")
        if trimmed in SLO_NAMES and (self._base is None or trimmed != self._base.name):
            self._wrong("name", f"{trimmed!r} is what a rule of an objective is called: take another name")
        return trimmed

    def _metric(self, kind: str) -> str:
        value = self._given.get("metric")
        if value is None and self._base is not None and self._base.kind == kind:
            return self._base.metric
        if kind == "logs":
            if value not in (None, "", LOG_ENTRIES):
                self._wrong("metric", f"a rule of kind 'logs' counts {LOG_ENTRIES}: leave it out, got {shown(value)}")
            return LOG_ENTRIES
        known = ", ".join(METRICS)
        if value is None or value == "":
            self._wrong("metric", f"is missing; expected one of {known}")
            return "error_rate"
        found = metric_named(value.strip()) if isinstance(value, str) else None
        if found is not None:
            return found.name
        if value == LOG_ENTRIES:
            self._wrong("metric", f"{LOG_ENTRIES} is what a rule of kind 'logs' counts: add kind: 'logs'")
        else:
            near = nearest(value.strip().removeprefix("metrics."), METRICS) if isinstance(value, str) else ""
            self._wrong("metric", f"{shown(value)} is no metric{near or f'; expected one of {known}'}")
        return "error_rate"

    def _number(self) -> float:
        value = self._given.get("threshold")
        if value is None and self._base is not None:
            return self._base.threshold
        if value is None:
            self._wrong("threshold", "is missing; expected a number")
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            self._wrong("threshold", f"expected a number, got {shown(value)}")
        elif not math.isfinite(value):
            self._wrong("threshold", f"expected a finite number, got {value}: nothing compares with that")
        elif value < 0:
            self._wrong("threshold", f"expected 0 or more, got {shown(value)}: no figure is less", out_of_range=True)
        elif value > _LARGEST:
            self._wrong("threshold", f"expected at most {_LARGEST:g}, got {shown(value)}", out_of_range=True)
        else:
            return float(value)
        return 0.0

    def _choice(self, name: str, choices: tuple[str, ...], kept: str | None, default: str | None = None) -> Any:
        value = self._given.get(name)
        if value is None or value == "":
            chosen = kept if name not in self._given or default is None else default
            if chosen is None:
                self._wrong(name, f"is missing; expected {', '.join(choices)}")
            return chosen or choices[0]
        if not isinstance(value, str) or value not in choices:
            near = nearest(value, choices) if isinstance(value, str) else ""
            reason = "; an objective is set as the feature's slo" if name == "kind" and value == "slo" else near
            self._wrong(name, f"expected {', '.join(choices)}, got {shown(value)}{reason}")
            return choices[0]
        return value

    def _boolean(self, name: str, kept: bool, default: bool) -> bool:
        if name not in self._given:
            return kept
        value = self._fields.boolean(name)
        return default if value is None else value

    def _minutes(self, name: str, kept: int, default: int, *, least: int = 0) -> int:
        if name not in self._given:
            return kept
        value = self._given[name]
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        expected = f"expected whole minutes from {least} to {LONGEST_MINUTES}"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self._wrong(name, f"{expected}, got {shown(value)}")
        elif isinstance(value, float) or not least <= value <= LONGEST_MINUTES:
            self._wrong(name, f"{expected}, got {shown(value)}", out_of_range=True)
        else:
            return value
        return default

    def _kept_channels(self) -> tuple[str, ...]:
        kept = "notification_channels" not in self._given and self._base is not None
        return self._base.channels if kept and self._base else ()

    def _environment(self) -> str | None:
        if "environment" not in self._given:
            return self._base.environment if self._base else None
        value = self._given["environment"]
        if value is None or value == "":
            return None
        if not isinstance(value, str) or ENVIRONMENT.fullmatch(value) is None:
            self._wrong("environment", f"expected {ENVIRONMENT_RULE}, got {shown(value)}")
            return None
        return value

    def _logs(self) -> LogSelection:
        value = self._given.get("logs")
        if value is None:
            kept = "logs" not in self._given and self._base is not None
            return (self._base.logs if kept and self._base else None) or LogSelection()
        if not isinstance(value, dict):
            self._wrong("logs", f"expected an object of levels, search and source, got {shown(value)}")
            return LogSelection()
        problems: list[Problem] = []
        inner = Fields(value, None, problems)
        levels = value.get("levels") or []
        if isinstance(levels, str):
            levels = levels.split(",")
        if not isinstance(levels, list) or not all(isinstance(level, str) for level in levels):
            inner.wrong("levels", f"expected a list such as ['error', 'fatal'], got {shown(value['levels'])}")
            levels = []
        found: set[Level] = set()
        for level in levels:
            try:
                found.add(parse_level(level, name=""))
            except BadInput as error:
                inner.wrong("levels", error.message.removeprefix(": "))
        selection = LogSelection(
            tuple(level for level in LEVELS if level in found),
            inner.text("search", "", longest=1000),
            inner.text("source", "", longest=256),
        )
        self._problems += [replace(problem, field=f"logs.{problem.field}") for problem in problems]
        return selection

    def _check(self, rule: AlertRule) -> None:
        """Refuse what is well-formed and can never fire, and say why."""
        name, threshold, most = rule.metric, rule.threshold, _most(rule.metric)
        why = ""
        if rule.condition == "less_than" and threshold == 0:
            why = f"{name} is never less than 0"
        elif rule.condition == "equals" and counts(name) and threshold != round(threshold):
            why = f"{name} is a whole number"
        elif most is not None and _beyond(rule, most):
            why = f"{name} is never more than {plain(most)}"
            if most == _SLOWEST_MS:
                why += ", the bound of the highest bucket that durations are counted in"
        told = f"{rule.condition} {plain(threshold)}"
        if why:
            self._wrong("threshold", f"{told} can never fire: {why}", out_of_range=True)
        elif most == 100 and threshold > 100:
            self._wrong("threshold", f"{told} always fires: {name} is a percentage up to 100", out_of_range=True)
        if rule.kind == "logs" and rule.on_no_data == "alert":
            self._wrong(
                "on_no_data", "no lines count as 0, not as no data: a rule on silence is 'less_than' 1",
                out_of_range=True,
            )  # fmt: skip


def _beyond(rule: AlertRule, most: float) -> bool:
    """Whether a condition asks for more than a figure can be."""
    match rule.condition:
        case "greater_than":
            return rule.threshold >= most
        case "equals":
            return rule.threshold * (1 - NEAR) > most
        case "less_than":
            return False


def _most(metric: str) -> float | None:
    """Return what a figure never exceeds, None where there is no bound."""
    found = METRICS.get(metric)
    if found is None:
        return None
    if found.unit == "percent":
        return 100.0
    return _SLOWEST_MS if isinstance(found.expression, Quantile) else None
