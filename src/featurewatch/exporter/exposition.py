"""Snapshots as text for Prometheus: the text format 0.0.4 and OpenMetrics 1.0.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md. Sample lines are the same in both;
OpenMetrics names counters without `_total` in their heads, may carry exemplars and `_created`, and ends with `# EOF`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from ..families import BUCKETS, DROPPED, DURATION, FAMILIES, PRICE_TABLE, Family
from ..model import FeatureKey
from .snapshot import Distribution, Exemplar, Snapshot

LE: Final = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")
KEY_LABELS: Final = ("feature", "environment")
EOF: Final = "# EOF\n"


class State(NamedTuple):
    """All that is shown: the features' snapshots, what was dropped, and the price table's version if there is one."""

    snapshots: Sequence[Snapshot]
    dropped: Mapping[tuple[str, str, FeatureKey], int]
    price_table: str = ""


class Exposition:
    """Renders states. It keeps what does not change from one scrape to the next: names and labels, escaped and joined.

    What it keeps is bounded by the series of the last two states: what a state does not need any more is forgotten
    with the next one. One object serves many threads: each render works on dictionaries of its own.
    """

    def __init__(self) -> None:
        self._features: dict[FeatureKey, _Lines] = {}

    def render(self, state: State, *, openmetrics: bool, created: bool = False) -> str:
        """Render a state; `created` adds `_created` to OpenMetrics, the text format has no place for it."""
        known = self._features
        features = [(known.get(snapshot.key) or _Lines(snapshot.key), snapshot) for snapshot in state.snapshots]
        parts: list[str] = []
        for family in FAMILIES.values():
            parts.append(_head(family, openmetrics))
            born = openmetrics and created and family.kind != "gauge"
            if family is DROPPED:
                _dropped(parts, state.dropped)
            elif family.kind == "histogram":
                for lines, snapshot in features:
                    distribution = snapshot.distributions.get(family.name)
                    if distribution is None:
                        continue
                    exemplars = snapshot.exemplars if openmetrics and family is DURATION else None
                    parts.append(lines.histogram(family, distribution, exemplars))
                    if born:
                        parts.append(lines.created(family, (), snapshot.start_ns))
            else:
                for lines, snapshot in features:
                    series = snapshot.numbers.get(family.name)
                    if series:
                        lines.numbers(parts, family, series, snapshot.start_ns if born else 0)
        if state.price_table:
            parts.append(f"{_head(PRICE_TABLE, openmetrics)}{_name(PRICE_TABLE, (state.price_table,))} 1\n")
        if openmetrics:
            parts.append(EOF)
        self._features = {lines.key: lines for lines, _ in features}
        return "".join(parts)


class _Lines:
    """One feature's lines without their values."""

    __slots__ = ("_histograms", "_prefixes", "key")

    def __init__(self, key: FeatureKey) -> None:
        self.key = key
        self._prefixes: dict[str, dict[tuple[str, ...], str]] = {}
        self._histograms: dict[str, str] = {}

    def numbers(self, parts: list[str], family: Family, series: Mapping[tuple[str, ...], float], start_ns: int) -> None:
        before = self._prefixes.get(family.name, {})
        prefixes = before
        if before.keys() != series.keys():
            prefixes = {values: before.get(values) or f"{_name(family, (*self.key, *values))} " for values in series}
            self._prefixes[family.name] = prefixes
        for values, value in series.items():
            parts.append(f"{prefixes[values]}{value!r}\n")
            if start_ns:
                parts.append(self.created(family, values, start_ns))

    def histogram(self, family: Family, distribution: Distribution, exemplars: Mapping[int, Exemplar] | None) -> str:
        template = self._histograms.get(family.name)
        if template is None:
            template = self._histograms[family.name] = _histogram_template(family, self.key)
        counts = tuple(accumulate(distribution.counts))
        lines = template % (*counts, repr(distribution.sum), counts[-1])
        return _with_exemplars(lines, exemplars) if exemplars else lines

    def created(self, family: Family, values: tuple[str, ...], start_ns: int) -> str:
        name = family.name.removesuffix("_total") + "_created"
        return f"{_name(family, (*self.key, *values), name)} {start_ns / 1e9!r}\n"


def escape(value: str) -> str:
    """Escape a label's value."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _head(family: Family, openmetrics: bool) -> str:
    name = family.name
    if openmetrics and family.kind == "counter":
        name = name.removesuffix("_total")
    return f"# HELP {name} {family.help}\n# TYPE {name} {family.kind}\n"


def _name(family: Family, values: Iterable[str], name: str = "", more: str = "") -> str:
    """Join a sample's name and labels; `values` are those of the key and the family, or of the family alone."""
    values = tuple(values)
    labels = (*KEY_LABELS, *family.labels) if len(values) > len(family.labels) else family.labels
    joined = ",".join(f'{label}="{escape(value)}"' for label, value in zip(labels, values, strict=True))
    return f"{name or family.name}{{{joined}{more}}}"


def _histogram_template(family: Family, key: FeatureKey) -> str:
    """Make the histogram's lines with `%s` where the values go: cumulative buckets, sum, count."""

    def line(suffix: str, more: str = "") -> str:
        return _name(family, key, family.name + suffix, more).replace("%", "%%") + " %s\n"

    return "".join([*(line("_bucket", f',le="{le}"') for le in LE), line("_sum"), line("_count")])


def _with_exemplars(lines: str, exemplars: Mapping[int, Exemplar]) -> str:
    split = lines.split("\n")
    for bucket, (trace_id, span_id, value, timestamp) in exemplars.items():
        span = f',span_id="{escape(span_id)}"' if span_id else ""
        split[bucket] += f' # {{trace_id="{escape(trace_id)}"{span}}} {value!r} {timestamp:.3f}'
    return "\n".join(split)


def _dropped(parts: list[str], dropped: Mapping[tuple[str, str, FeatureKey], int]) -> None:
    for (signal, reason, key), count in dropped.items():
        parts.append(f"{_name(DROPPED, (*key, signal, reason))} {count}\n")
