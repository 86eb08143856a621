"""An alert that is heard of only afterwards says what it would have said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from featurewatch.alert_model import AlertRule
from featurewatch.alerts.retelling import retell
from featurewatch.alerts.signals import Signal

from .test_endings import KEY, LONG_AGO_NS, NOW_NS, RULE, THEN, Figures

pytestmark = pytest.mark.anyio

LABELS = {"alertname": "Errors", "metric": "error_rate", "severity": "high"}
SIGNAL = Signal("r1", KEY, "f", LONG_AGO_NS, LONG_AGO_NS + 1, LABELS, {}, "backfill")


async def told(figures: Figures, rule: AlertRule | None = RULE, **labels: str) -> Mapping[str, str]:
    async def find(ids: Collection[str]) -> Mapping[str, AlertRule]:
        return {} if rule is None else {rule.id: rule}

    (signal,) = await retell([replace(SIGNAL, labels=LABELS | labels)], find, figures)  # type: ignore[arg-type]  # series is all that is asked
    return signal.annotations


async def test_it_says_the_value_of_the_minute_in_which_it_fired() -> None:
    said = await told(Figures({"error_rate": 3.0}, {("error_rate", 5, THEN): 45.25}))
    assert said["title"] == "Errors Alert"
    assert said["message"] == "error_rate is 45.25 %, which is greater than threshold of 20 %"
    assert (said["value"], said["threshold"], said["unit"], said["window"]) == ("45.25", "20", "percent", "5m")


@pytest.mark.parametrize("figures", [Figures(), Figures({}, {("error_rate", 5, THEN): 3.0}), Figures(away=True)])
async def test_a_value_that_is_not_known_any_more_is_not_made_up(figures: Figures) -> None:
    said = await told(figures)
    assert said["message"] == "error_rate was greater than threshold of 20 %"
    assert "value" not in said


async def test_absent_series_are_told_as_such() -> None:
    said = await told(Figures({}, {("error_rate", 5, THEN): 45.0}), no_data="true")
    assert said["message"] == "error_rate has no data: nothing was heard of chat"


async def test_of_a_rule_that_was_edited_since_or_is_gone_nothing_is_claimed() -> None:
    figures = Figures({}, {("error_rate", 5, THEN): 45.0})
    assert await told(figures, replace(RULE, threshold=1.0, updated_ns=NOW_NS)) == {"title": "Errors Alert"}
    assert await told(figures, None) == {}
