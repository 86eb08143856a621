"""Which figure an expression computes: what people wrote by hand, as a row of the table with a threshold. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from ..alert_model import Condition
from ..families import FAMILIES, REQUESTS
from ..formulas import METRICS, Gain, Metric, Observations, Observed, PerMinute, Quantile, Ratio
from ..model import OUTCOMES
from ..stores.recording import FIGURES, UPTIME_WINDOW_S, WINDOW_S
from .promql_reader import Aggregation, Binary, Call, Expr, NotRead, Number, Selector

__all__ = ["Recognised", "recognise"]

_FLIPPED: Final = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "=="}
_CONDITIONS: Final[Mapping[str, Condition]] = {
    ">": "greater_than", ">=": "greater_than", "<": "less_than", "<=": "less_than", "==": "equals",
}  # fmt: skip
_OWN: Final = ("feature", "environment")
_FIGURE_NAMES: Final = {recorded: name for name, recorded in FIGURES.items()}


_What: TypeAlias = Literal["gain", "sum", "count", "bucket"]
_SUFFIXES: Final[tuple[_What, ...]] = ("sum", "count", "bucket")


@dataclass(frozen=True, slots=True)
class Recognised:
    """A figure of one feature, compared with a threshold; `notes` say where it is not quite what was written."""

    metric: str
    condition: Condition
    threshold: float
    feature: str
    environment: str | None
    window_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Series:
    """What was selected: whose series, over how long, and whether environments stay apart."""

    feature: str
    environment: str | None
    window_s: float
    apart: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """A counter's gain, or a histogram's sum, count or buckets, times a factor."""

    what: _What
    family: str
    values: Mapping[str, frozenset[str]]
    series: _Series
    by_second: bool
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class _Value:
    """A figure of the table, times a factor."""

    metric: Metric
    series: _Series
    scale: float
    notes: tuple[str, ...] = field(default_factory=tuple)


_Quantity: TypeAlias = _Part | _Value | Number


def recognise(expr: Expr) -> Recognised:
    """Name the figure that is compared.

    Raises:
        NotRead: it is none of the table, or not of one feature; the text says why.
    """
    if not isinstance(expr, Binary) or expr.operator not in (*_FLIPPED, "!="):
        raise NotRead(_why_no_comparison(expr))
    operator, left, right = expr.operator, _quantity(expr.left), _quantity(expr.right)
    if operator == "!=":
        raise NotRead("'!=' is no condition that a rule has")
    if isinstance(left, Number):
        operator, left, right = _FLIPPED[operator], right, left
    if isinstance(left, Number) or not isinstance(right, Number):
        raise NotRead("it does not compare one figure with one number")
    value = _figure(left)
    if not value.scale:
        raise NotRead("it is multiplied by 0")
    condition = _CONDITIONS[operator if value.scale > 0 else _FLIPPED[operator]]
    notes = [*value.notes]
    if operator in (">=", "<="):
        notes.append(f"'{operator}' is imported as {condition}: at the threshold itself it does not fire")
    if condition == "equals":
        notes.append("'==' is imported as equals: it also fires within 0.5 % of the threshold, unless it counts calls")
    if value.series.environment is None and not value.series.apart:
        notes.append("it added the environments up; here each is looked at by itself")
    threshold = float(f"{right.value / value.scale:.12g}")
    series = value.series
    return Recognised(
        value.metric.name, condition, threshold, series.feature, series.environment, series.window_s, tuple(notes)
    )


def _why_no_comparison(expr: Expr) -> str:
    if isinstance(expr, Binary) and expr.operator in ("and", "or", "unless"):
        return f"it joins conditions by '{expr.operator}': a rule has one"
    if isinstance(expr, Call) and expr.function.startswith("absent"):
        return "it asks for absent series: set on_no_data of another rule to alert"
    return "it compares nothing with a threshold"


def _quantity(expr: Expr) -> _Quantity:
    match expr:
        case Number():
            return expr
        case Binary(operator, left, right):
            return _calculated(operator, left, right)
        case Aggregation("sum" | "max" | "avg", Selector(name, _, None) as inner, by) if name in _FIGURE_NAMES:
            return _together(_recorded(inner), by)
        case Aggregation("sum", inner, by):
            return _together(_quantity(inner), by)
        case Aggregation(operator):
            raise NotRead(f"{operator}() is no figure of the table")
        case Call("round" | "scalar", (inner,)):
            return _quantity(inner)
        case Call("round", (inner, Number(1.0))):
            return _quantity(inner)
        case Call("rate" | "increase", (Selector() as selected,)):
            return _gained(selected, by_second=expr.function == "rate")
        case Call("histogram_quantile", (Number(q), inner)):
            return _quantile(q, _quantity(inner))
        case Call(function):
            raise NotRead(f"{function}() is no figure of the table")
        case Selector(name) if name in _FIGURE_NAMES:
            return _recorded(expr)
        case Selector(name):
            raise NotRead(
                f"{name or 'a selector without a name'} is compared as it stands, without rate() or increase()"
            )


def _calculated(operator: str, left: Expr, right: Expr) -> _Quantity:
    one, other = _quantity(left), _quantity(right)
    if operator in (">", "!=") and other == Number(0.0) and not isinstance(one, Number):
        return one  # a divisor's guard
    if isinstance(one, Number) and isinstance(other, Number):
        return Number(_of_numbers(operator, one.value, other.value))
    if operator == "*" and isinstance(one, Number) and not isinstance(other, Number):
        return replace(other, scale=other.scale * one.value)
    if operator in ("*", "/") and isinstance(other, Number) and not isinstance(one, Number):
        if operator == "/" and not other.value:
            raise NotRead("it divides by 0")
        return replace(one, scale=one.scale * other.value if operator == "*" else one.scale / other.value)
    if operator == "/" and isinstance(one, _Part) and isinstance(other, _Part):
        return _ratio(one, other)
    if operator == "-" and one == Number(1.0) and isinstance(other, _Value):
        return _complement(other)
    raise NotRead(f"it calculates with '{operator}' what is no figure of the table")


def _of_numbers(operator: str, one: float, other: float) -> float:
    match operator:
        case "+":
            return one + other
        case "-":
            return one - other
        case "*":
            return one * other
        case "/" if other:
            return one / other
        case _:
            raise NotRead(f"'{operator}' of two numbers is not read")


def _complement(value: _Value) -> _Value:
    """Read one minus a share of errors or successes as the share of the other."""
    other = {"error_rate": "success_rate", "success_rate": "error_rate"}.get(value.metric.name)
    if other is None or value.scale != 1 / 100:
        raise NotRead("it subtracts what is no share of calls")
    return replace(value, metric=METRICS[other])


def _gained(selected: Selector, *, by_second: bool) -> _Part:
    if selected.range_s is None:
        raise NotRead(f"{selected.name} stands without a range such as [5m]")
    what: _What = "gain"
    name = selected.name
    for suffix in _SUFFIXES:
        base = name.removesuffix(f"_{suffix}")
        if base != name and base in FAMILIES and FAMILIES[base].kind == "histogram":
            what, name = suffix, base
    family = FAMILIES.get(name)
    if family is None or (family.kind == "histogram") != (what != "gain") or family.kind == "gauge":
        raise NotRead(
            f"{selected.name or 'a selector without a name'} is none of featurewatch's counters and histograms"
        )
    feature, environment, values = _matched(selected, family.labels)
    series = _Series(feature, environment, selected.range_s, apart=True)
    if name == "feature_errors_total":
        if values:
            raise NotRead("it tells errors apart by error_type")
        name, values = REQUESTS.name, {"outcome": frozenset({"error"})}
    return _Part(what, name, values, series, by_second)


def _matched(selected: Selector, own: tuple[str, ...]) -> tuple[str, str | None, dict[str, frozenset[str]]]:
    found: dict[str, str] = {}
    values: dict[str, frozenset[str]] = {}
    for label, operator, value in selected.matchers:
        if label in _OWN and operator == "=":
            found[label] = value
        elif label == "outcome" and label in own:
            values[label] = values.get(label, _OUTCOMES) & _chosen(operator, value)
        elif label in own and operator in ("=", "=~"):
            values[label] = frozenset(value.split("|")) if operator == "=~" else frozenset({value})
        elif operator == "=~" and value in (".*", ".+"):
            continue
        else:
            raise NotRead(f"it selects by {label}{operator}{value!r}")
    if "feature" not in found:
        raise NotRead('it is not of one feature: a matcher feature="…" is missing')
    if values.get("outcome") == _OUTCOMES:
        del values["outcome"]
    return found["feature"], found.get("environment"), values


_OUTCOMES: Final = frozenset(OUTCOMES)


def _chosen(operator: str, value: str) -> frozenset[str]:
    named = frozenset(value.split("|")) if operator in ("=~", "!~") else frozenset({value})
    if not named <= _OUTCOMES:
        raise NotRead(f"it selects by outcome{operator}{value!r}")
    return named if operator in ("=", "=~") else _OUTCOMES - named


def _together(quantity: _Quantity, by: tuple[str, ...] | None) -> _Quantity:
    """Add up what an aggregation adds up: all but what `by` keeps apart."""
    if isinstance(quantity, Number):
        raise NotRead("it adds up a number")
    kept = set(by or ()) - {*_OWN, "le"}
    if kept:
        raise NotRead(f"it tells series apart by {', '.join(sorted(kept))}")
    if isinstance(quantity, _Part) and quantity.what == "bucket" and "le" not in (by or ()):
        raise NotRead("it adds buckets up over le")
    apart = quantity.series.apart and "environment" in (by or ())
    return replace(quantity, series=replace(quantity.series, apart=apart))


def _quantile(q: float, quantity: _Quantity) -> _Value:
    if not isinstance(quantity, _Part) or quantity.what != "bucket":
        raise NotRead("it takes a quantile of what are no buckets")
    for metric in METRICS.values():
        match metric.expression:
            case Quantile(wanted, family, scale) if wanted == q and family.name == quantity.family:
                return _Value(metric, quantity.series, 1 / scale)
    raise NotRead(f"the {q:g}-quantile of {quantity.family} is no figure of the table")


def _ratio(top: _Part, bottom: _Part) -> _Value:
    series = _shared(top.series, bottom.series)
    if top.by_second != bottom.by_second:
        raise NotRead("it divides a rate by an increase, or the other way round")
    scale = top.scale / bottom.scale
    notes: tuple[str, ...] = ()
    decided = frozenset({"success", "error"})
    share = top.values.get("outcome", frozenset())
    if top.family == bottom.family == REQUESTS.name and len(share) == 1 and share < decided and not bottom.values:
        notes = ("cancelled calls counted among all; here they are left out",)
        bottom = replace(bottom, values={"outcome": decided})
    for metric in METRICS.values():
        match metric.expression:
            case Ratio(one, other, factor) if _is(top, one) and _is(bottom, other):
                return _Value(metric, series, scale / factor, notes)
    raise NotRead(f"{top.family} divided by {bottom.family} is no figure of the table")


def _figure(quantity: _Part | _Value) -> _Value:
    """Read a gain that stands alone: all calls or costs of the window, or calls by minute."""
    if isinstance(quantity, _Value):
        return quantity
    for metric in METRICS.values():
        match metric.expression:
            case Gain() as whole if not quantity.by_second and _is(quantity, whole):
                return _Value(metric, quantity.series, quantity.scale)
            case PerMinute(inner) if quantity.by_second and _is(quantity, inner):
                return _Value(metric, quantity.series, quantity.scale / 60)
    per = "by second" if quantity.by_second else "of a window"
    raise NotRead(f"{quantity.family} {per} is no figure of the table")


def _recorded(selected: Selector) -> _Value:
    feature, environment, _ = _matched(selected, ())
    name = _FIGURE_NAMES[selected.name]
    window_s = UPTIME_WINDOW_S if name == "uptime" else WINDOW_S
    return _Value(METRICS[name], _Series(feature, environment, window_s, apart=True), 1.0)


def _is(part: _Part, wanted: Gain | Observed | Observations) -> bool:
    if part.family != wanted.family.name:
        return False
    match wanted:
        case Observed():
            return part.what == "sum" and not part.values
        case Observations():
            return part.what == "count" and not part.values
        case Gain(_, label, values):
            return part.what == "gain" and dict(part.values) == ({label: frozenset(values)} if label else {})


def _shared(one: _Series, other: _Series) -> _Series:
    if (one.feature, one.environment) != (other.feature, other.environment):
        raise NotRead("it divides series of different features or environments")
    if one.window_s != other.window_s:
        raise NotRead("it divides figures of different windows")
    return replace(one, apart=one.apart and other.apart)
