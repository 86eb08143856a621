"""What it takes to make a bridge say what a features.yml says: steps that can be shown, and done. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias

from .. import alert_wire
from ..alert_model import AlertRule
from ..model import Thresholds
from .features_file import Declared, DeclaredFeature
from .texts import amount, plain

__all__ = ["SET", "Action", "Existing", "Step", "difference", "summary"]

Action: TypeAlias = Literal["add", "change", "remove", "keep", "send"]
"""send: whether it changes anything is known to the bridge alone, since it never shows a secret."""

SET: Final = "set"
"""What the bridge shows where a channel's secret is."""

_SLO: Final = {"window": "30d", "notification_channels": [], "cooldown_minutes": 60}
"""What an objective has where nothing is said."""


@dataclass(frozen=True, slots=True)
class Existing:
    """What a bridge has: features and channels by name, rules by feature, all as they are on the wire."""

    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rules: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    channels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: what is shown of it, and the request that does it.

    Attributes:
        target: what it is done to, such as `rule summarize/Errors`.
        changes: what was and is to be, by field.
        method, path, body: the request; no method where there is nothing to do.
        revision: what the request expects to find, so that an edit in between is not lost.
    """

    action: Action
    target: str
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    method: str = ""
    path: str = ""
    body: Any = None
    revision: int | None = None


def difference(declared: Declared, existing: Existing, *, prune: bool = False) -> list[Step]:
    """Return the steps in the order in which they can be done: channels, features, rules, then what is to go.

    Rules that came from a file and are in none now go; with `prune` those that people made too.
    """
    steps = [_channel(name, body, existing.channels.get(name)) for name, body in declared.channels.items()]
    steps += [_feature(name, one, existing.features.get(name)) for name, one in declared.features.items()]
    removals: list[Step] = []
    for name, one in declared.features.items():
        there = {str(rule["name"]): rule for rule in existing.rules.get(name, ()) if rule.get("kind") != "slo"}
        steps += [_rule(name, rule, there.get(rule.name)) for rule in one.rules]
        removals += _superfluous(name, {rule.name for rule in one.rules}, there.values(), prune=prune)
    return steps + removals


def summary(steps: Iterable[Step], *, done: bool = False) -> str:
    """Say in a line what the steps amount to, or amounted to."""
    counts = {"add": 0, "change": 0, "remove": 0, "send": 0}
    for step in steps:
        if step.action in counts:
            counts[step.action] += 1
    words = {"add": "added", "change": "changed", "remove": "removed"}
    told = [f"{count} {words[action] if done else f'to {action}'}" for action, count in counts.items() if count]
    return ", ".join(told) or "nothing to change"


def _channel(name: str, body: Mapping[str, Any], there: Mapping[str, Any] | None) -> Step:
    target, path = f"channel {name}", f"/channels/{name}"
    if there is None:
        return Step("add", target, {"kind": (None, body.get("kind"))}, "PUT", path, dict(body))
    shown: Mapping[str, Any] = there.get("settings") or {}
    told: Mapping[str, Any] = body.get("settings") or {}
    changes = {
        f"settings.{setting}": (shown[setting], told[setting])
        for setting in sorted(shown.keys() & told.keys())
        if not _hidden(shown[setting]) and shown[setting] != told[setting]
    }
    for name_ in ("kind", "send_resolved", "severities"):
        if name_ in body and _bare(body[name_]) != _bare(there.get(name_)):
            changes[name_] = (there.get(name_), body[name_])
    revision = there.get("revision")
    if changes:
        return Step("change", target, changes, "PUT", path, dict(body), revision)
    if shown.keys() != told.keys() or any(map(_hidden, shown.values())):
        return Step("send", target, {}, "PUT", path, dict(body), revision)
    return Step("keep", target)


def _bare(value: Any) -> Any:
    """Leave the order of a list aside, which says nothing here."""
    return sorted(map(str, value)) if isinstance(value, list) else value


def _hidden(value: Any) -> bool:
    """Whether something else than the value is shown: a secret, or an address whose end is one."""
    return value == SET or (isinstance(value, str) and value.endswith("?…"))


def _feature(name: str, declared: DeclaredFeature, there: Mapping[str, Any] | None) -> Step:
    target, path = f"feature {name}", f"/features/{name}"
    fields = dict(_flat(declared.fields))
    if there is None:
        changes = {field_: (None, value) for field_, value in fields.items() if value is not None}
        return Step("add", target, changes, "PUT", path, dict(declared.fields))
    pairs = {field_: (_now(there, field_), value) for field_, value in fields.items()}
    changes = {field_: pair for field_, pair in pairs.items() if not _same(field_, *pair)}
    if not changes:
        return Step("keep", target)
    return Step("change", target, changes, "PATCH", path, dict(declared.fields), there.get("revision"))


def _flat(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if name == "thresholds":
            default = asdict(Thresholds())
            for inner, threshold in value.items():
                yield f"thresholds.{inner}", default[inner] if threshold is None else threshold
        else:
            yield name, value


def _now(there: Mapping[str, Any], name: str) -> Any:
    outer, _, inner = name.partition(".")
    value = there.get(outer)
    return value.get(inner) if inner and isinstance(value, Mapping) else value


def _same(name: str, before: Any, after: Any) -> bool:
    if name == "environments":
        return set(after) <= set(before or ())
    if name == "slo":
        return (before and {**_SLO, **before}) == (after and {**_SLO, **after})
    if after is None and name not in ("organization_id",):
        return True  # its default is what the app says of itself, which is not for us to know
    return bool(before == after)


def _rule(feature: str, rule: AlertRule, there: Mapping[str, Any] | None) -> Step:
    target, path = f"rule {feature}/{rule.name}", f"/features/{feature}/alerts/rules"
    wanted = alert_wire.rule(rule)
    body = {name: wanted[name] for name in (*alert_wire.RULE_FIELDS, "origin") if name in wanted}
    if there is None:
        told = f"{rule.metric} {rule.condition} {amount(rule.metric, plain(rule.threshold))}, {rule.severity}"
        return Step("add", target, {"rule": (None, told)}, "POST", path, body)
    changes = {
        name: (there.get(name), body.get(name))
        for name in (*alert_wire.RULE_FIELDS, "origin")
        if there.get(name) != body.get(name)
    }
    if not changes:
        return Step("keep", target)
    return Step("change", target, changes, "PUT", f"{path}/{there['id']}", body, there.get("revision"))


def _superfluous(
    feature: str, named: Collection[str], there: Iterable[Mapping[str, Any]], *, prune: bool
) -> Iterator[Step]:
    for rule in there:
        if rule["name"] not in named and (prune or rule.get("origin") == "file"):
            path = f"/features/{feature}/alerts/rules/{rule['id']}"
            yield Step("remove", f"rule {feature}/{rule['name']}", {}, "DELETE", path, None, rule.get("revision"))
