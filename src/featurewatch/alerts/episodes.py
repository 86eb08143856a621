"""An alert from its firing to its end, whatever order its signals come in and however often. Pure.

An episode is (rule, feature, environment), one open at a time. What Alertmanager tells of it, fingerprints and starts,
are its attributes: they change with labels, and a pair of replicas has two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from ..alert_model import Alert, ResolveReason
from ..episode_model import Change, Episode, Instance, Place, Step
from .signals import Signal

__all__ = ["close", "hear", "lost", "place", "says"]

_SHOWN: Final = ("value", "threshold", "unit", "condition", "window", "generator_url", "runbook_url")
"""Annotations that an alert's metadata repeats."""


def place(signal: Signal) -> Place:
    """Tell which episode a signal is about."""
    return Place(signal.rule_id, signal.key)


def hear(signal: Signal, current: Episode | None, make_id: Callable[[], str]) -> Step | None:
    """Take note of a signal.

    Args:
        current: the newest episode of its place, open or not.

    Returns:
        The episode as it is now, and what changed; None where the signal says nothing new.
    """
    if current is not None and current.open:
        return _firing(signal, current) if signal.ends_ns is None else _ended(signal, current, signal.ends_ns)
    if current is not None:
        known = current.instances.get(signal.fingerprint)
        if signal.ends_ns is not None:
            if current.held and (known is not None or signal.ends_ns >= current.alert.triggered_ns):
                return _cleared(signal, current)
            if signal.starts_ns <= _newest(current) or (known and known.starts_ns >= signal.starts_ns):
                return None
        elif known is not None and known.starts_ns >= signal.starts_ns:
            # A webhook may be a late copy; the list of what fires now is not.
            return _reopened(signal, current) if signal.source == "poll" and not current.held else None
        elif current.held and signal.starts_ns <= (current.alert.resolved_ns or 0):
            return Step(replace(current, instances=_with(current, signal)), ())
        elif signal.starts_ns <= current.alert.triggered_ns:
            return None
    started = _begun(signal, make_id())
    if signal.ends_ns is None:
        return Step(started, ("triggered",))
    return Step(close(started, signal.ends_ns), ("triggered", "resolved"))


def close(
    episode: Episode,
    at_ns: int,
    *,
    reason: ResolveReason = "unknown",
    by: str | None = None,
    condition_active: bool = False,
) -> Episode:
    """End an episode. While its condition holds it was people who closed it, and its instances stay as they are."""
    instances = episode.instances if condition_active else _ended_at(episode.instances, at_ns)
    alert = replace(
        episode.alert,
        status="resolved",
        resolved_ns=at_ns,
        resolved_by=by,
        resolve_reason=reason,
        condition_active=condition_active,
    )
    return replace(episode, alert=alert, instances=instances)


def lost(episode: Episode, present: frozenset[str], at_ns: int) -> Step | None:
    """Take note that of an episode's instances only those present fire still; None where that is nothing new."""
    gone = {
        fingerprint: replace(instance, ends_ns=at_ns)
        for fingerprint, instance in episode.instances.items()
        if instance.ends_ns is None and fingerprint not in present
    }
    if not gone:
        return None
    left = replace(episode, instances={**episode.instances, **gone})
    if any(instance.ends_ns is None for instance in left.instances.values()):
        return Step(left, ())
    if not left.open:
        return Step(replace(left, alert=replace(left.alert, condition_active=False)), ("updated",))
    return Step(close(left, at_ns), ("resolved",))


def says(signal: Signal) -> dict[str, Any]:
    """Return what a signal's annotations tell an alert's metadata; a value that is a number as one."""
    told: dict[str, Any] = {}
    for name in _SHOWN:
        text = signal.annotations.get(name)
        if text:
            told["trigger_value" if name == "value" else name] = _number(text)
    return told


def _begun(signal: Signal, id_: str) -> Episode:
    name = signal.labels.get("alertname", "")
    alert = Alert(
        id=id_,
        rule_id=signal.rule_id,
        key=signal.key,
        title=signal.annotations.get("title") or name or signal.rule_id,
        message=signal.annotations.get("message") or signal.annotations.get("summary") or name,
        severity=signal.severity,
        status="active",
        triggered_ns=signal.starts_ns,
        metadata={"metric": signal.labels.get("metric", ""), **says(signal)},
    )
    return Episode(alert, {signal.fingerprint: Instance(signal.starts_ns, None, dict(signal.labels))})


def _firing(signal: Signal, current: Episode) -> Step | None:
    known = current.instances.get(signal.fingerprint)
    if known is not None and known.starts_ns <= signal.starts_ns and known.ends_ns is None:
        return None
    late_copy = known is not None and known.ends_ns is not None and signal.starts_ns <= known.starts_ns
    if late_copy and signal.source != "poll":
        return None
    alert = current.alert
    earlier = min(alert.triggered_ns, signal.starts_ns) if known is not None else alert.triggered_ns
    changed = replace(alert, triggered_ns=earlier, severity=signal.severity)
    told: tuple[Change, ...] = ("updated",) if changed != alert else ()
    return Step(replace(current, alert=changed, instances=_with(current, signal)), told)


def _ended(signal: Signal, current: Episode, ends_ns: int) -> Step | None:
    known = current.instances.get(signal.fingerprint)
    if known is None and ends_ns < current.alert.triggered_ns:
        return None
    if known is not None and (known.ends_ns is not None or ends_ns < known.starts_ns):
        return None
    left = replace(current, instances=_with(current, signal))
    if any(instance.ends_ns is None for instance in left.instances.values()):
        return Step(left, ())
    last = max(instance.ends_ns or 0 for instance in left.instances.values())
    return Step(close(left, max(last, left.alert.triggered_ns)), ("resolved",))


def _cleared(signal: Signal, current: Episode) -> Step | None:
    left = replace(current, instances=_with(current, signal))
    if any(instance.ends_ns is None for instance in left.instances.values()):
        return Step(left, ())
    return Step(replace(left, alert=replace(left.alert, condition_active=False)), ("updated",))


def _reopened(signal: Signal, current: Episode) -> Step:
    alert = replace(
        current.alert,
        status="active",
        resolved_ns=None,
        resolved_by=None,
        resolve_reason=None,
        acknowledged_ns=None,
        acknowledged_by=None,
        condition_active=True,
    )
    return Step(replace(current, alert=alert, instances=_with(current, signal), hold=None), ("updated",))


def _with(episode: Episode, signal: Signal) -> dict[str, Instance]:
    instance = Instance(signal.starts_ns, signal.ends_ns, dict(signal.labels))
    return {**episode.instances, signal.fingerprint: instance}


def _ended_at(instances: Mapping[str, Instance], at_ns: int) -> dict[str, Instance]:
    return {
        fingerprint: instance if instance.ends_ns is not None else replace(instance, ends_ns=at_ns)
        for fingerprint, instance in instances.items()
    }


def _newest(episode: Episode) -> int:
    return max((instance.starts_ns for instance in episode.instances.values()), default=episode.alert.triggered_ns)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
