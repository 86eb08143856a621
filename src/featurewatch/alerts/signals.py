"""What a system says of an alert: Alertmanager's webhook and its list of alerts, read as one kind of value. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config ·
https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from ..alert_model import RULE_ID, SEVERITIES
from ..errors import BadInput, OutOfRange
from ..model import ENVIRONMENT, FEATURE_ID, FeatureKey, Severity
from ..times import parse_instant
from .routes import TEST_LABEL

__all__ = ["MOST_ALERTS", "Delivery", "Signal", "Source", "read_listed", "read_webhook"]

Source: TypeAlias = Literal["webhook", "poll", "backfill", "evaluator"]

MOST_ALERTS: Final = 20_000
"""Alerts of one webhook; Alertmanager sends a group at once."""

_LONGEST: Final = 8_192
_YEAR_ONE: Final = "0001-01-01"
"""How Go writes an instant that is not set: a firing alert's end."""


@dataclass(frozen=True, slots=True)
class Signal:
    """That an alert fires or ended, as one system saw it.

    Attributes:
        fingerprint: of all its labels, as Alertmanager makes it; two replicas of Prometheus make two.
        starts_ns: when it fired; it may move to an earlier instant.
        ends_ns: when it ended, None while it fires.
    """

    rule_id: str
    key: FeatureKey
    fingerprint: str
    starts_ns: int
    ends_ns: int | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    source: Source = "webhook"

    @property
    def severity(self) -> Severity:
        """The label's severity; one that is none of ours counts as medium."""
        told = self.labels.get("severity", "")
        return next((known for known in SEVERITIES if known == told), "medium")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook: whom it was for, and the alerts in it that are a feature's; `ignored` counts the others.

    `tests` names the test alerts in it, which are neither.
    """

    receiver: str
    signals: tuple[Signal, ...]
    ignored: int = 0
    tests: tuple[str, ...] = ()


def read_webhook(body: Any) -> Delivery:
    """Read Alertmanager's webhook, version 4. Unknown keys are left alone.

    Raises:
        BadInput: it is no such webhook; the message says what was expected. OutOfRange: it holds too many alerts.
    """
    if not isinstance(body, dict) or not isinstance(body.get("alerts"), list):
        raise BadInput("expected Alertmanager's webhook: an object with a list 'alerts'")
    version = body.get("version", "4")
    if str(version) != "4":
        raise BadInput(f"version: expected Alertmanager's webhook version 4, got {str(version)[:20]!r}")
    receiver = body.get("receiver", "")
    told: Sequence[Any] = body["alerts"]
    if len(told) > MOST_ALERTS:
        raise OutOfRange(f"alerts: expected at most {MOST_ALERTS} in one webhook, got {len(told)}")
    signals = []
    for index, alert in enumerate(told):
        where = f"alerts[{index}]"
        if not isinstance(alert, dict):
            raise BadInput(f"{where}: expected an object")
        status = alert.get("status")
        if status not in ("firing", "resolved"):
            raise BadInput(f"{where}.status: expected firing or resolved, got {str(status)[:40]!r}")
        signals.append(_signal(alert, where, ended=status == "resolved", source="webhook"))
    ours = tuple(signal for signal in signals if signal is not None)
    named = (alert["labels"].get(TEST_LABEL) for alert in told)
    tests = tuple(name for name in named if name)
    ignored = len(told) - len(ours) - len(tests)
    return Delivery(str(receiver)[:200] if isinstance(receiver, str) else "", ours, ignored, tests)


def read_listed(alerts: Any) -> list[tuple[Signal, Mapping[str, Any]]]:
    """Read `GET /api/v2/alerts`: each alert of a rule, firing, beside what the list says of it.

    Raises:
        BadInput: it is no such list.
    """
    if not isinstance(alerts, list):
        raise BadInput("expected Alertmanager's list of alerts")
    found: list[tuple[Signal, Mapping[str, Any]]] = []
    for index, alert in enumerate(alerts):
        if not isinstance(alert, dict):
            raise BadInput(f"[{index}]: expected an object")
        signal = _signal(alert, f"[{index}]", ended=False, source="poll")
        if signal is not None:
            found.append((signal, alert))
    return found


def _signal(alert: Mapping[str, Any], where: str, *, ended: bool, source: Source) -> Signal | None:
    labels = _texts(alert.get("labels"), f"{where}.labels")
    feature, environment = labels.get("feature", ""), labels.get("environment", "")
    rule_id = labels.get("rule_id", "")
    ours = FEATURE_ID.fullmatch(feature) and ENVIRONMENT.fullmatch(environment) and RULE_ID.fullmatch(rule_id)
    if not ours or TEST_LABEL in labels:
        return None
    fingerprint = alert.get("fingerprint")
    if not isinstance(fingerprint, str) or not 0 < len(fingerprint) <= 64:
        raise BadInput(f"{where}.fingerprint: expected a text of 1 to 64 characters")
    starts_ns = _instant(alert.get("startsAt"), f"{where}.startsAt")
    ends_ns = _instant(alert.get("endsAt"), f"{where}.endsAt") if ended else None
    if starts_ns is None:
        raise BadInput(f"{where}.startsAt: expected an instant")
    if ended:
        ends_ns = max(starts_ns, ends_ns or starts_ns)
    annotations = _texts(alert.get("annotations") or {}, f"{where}.annotations")
    return Signal(
        rule_id, FeatureKey(feature, environment), fingerprint, starts_ns, ends_ns, labels, annotations, source
    )


def _instant(value: Any, where: str) -> int | None:
    if not isinstance(value, str):
        raise BadInput(f"{where}: expected an instant in ISO 8601")
    if value.startswith(_YEAR_ONE):
        return None
    return parse_instant(value, name=where)


def _texts(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadInput(f"{where}: expected an object of texts")
    for name, text in value.items():
        if not isinstance(text, str):
            raise BadInput(f"{where}.{str(name)[:60]}: expected a text")
    return {name[:_LONGEST]: text[:_LONGEST] for name, text in value.items()}
