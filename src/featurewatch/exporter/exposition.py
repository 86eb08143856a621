"""Snapshots as text for Prometheus: the text format 0.0.4 and OpenMetrics 1.0.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md. Sample lines are the same in both;
OpenMetrics names counters without `_total` in their heads, may carry exemplars and `_created`, and ends with `# EOF`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final, NamedTuple

from ..families import BUCKETS, DROPPED, DURATION, FAMILIES, PRICE_TABLE, WAITING, Family
from ..model import FeatureKey
from .snapshot import Distribution, Exemplar, Snapshot

LE: Final = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")
KEY_LABELS: Final = ("feature", "environment")
EOF: Final = "# EOF\n"
_KEY: Final = "\0"
"""Stands for the labels of a key, in which it cannot be."""


class State(NamedTuple):
    """All that is shown: the features' snapshots, what was dropped, the price table's version, and what waits.

    Attributes:
        waiting: bytes of lines by where they wait; empty where none are shipped.
    """

    snapshots: Sequence[Snapshot]
    dropped: Mapping[tuple[str, str, FeatureKey], int]
    price_table: str = ""
    waiting: Mapping[str, int] = MappingProxyType({})


class Exposition:
    """Renders states. It keeps what does not change from one scrape to the next: names and labels, escaped and joined.

    What it keeps is bounded by the series of the last two states: what a state does not need any more is forgotten
    with the next one. One object serves many threads: each render works on dictionaries of its own.
    """

    def __init__(self) -> None:
        self._features: dict[FeatureKey, _Lines] = {}

    def render(self, state: State, *, openmetrics: bool, created: bool = False) -> str:
        """Render a state; `created` adds `_created` to OpenMetrics, the text format has no place for it."""
        known, shared = self._features, _Shared()
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
                    parts.append(lines.histogram(family, distribution, exemplars, shared))
                    if born:
                        parts.append(lines.created(family, (), snapshot.start_ns))
            else:
                for lines, snapshot in features:
                    series = snapshot.numbers.get(family.name)
                    if series:
                        lines.numbers(parts, family, series, snapshot.start_ns if born else 0, shared)
        if state.price_table:
            parts.append(f"{_head(PRICE_TABLE, openmetrics)}{_name(PRICE_TABLE, (state.price_table,))} 1\n")
        if state.waiting:
            parts.append(_head(WAITING, openmetrics))
            parts.extend(f"{_name(WAITING, (where,))} {waits}\n" for where, waits in state.waiting.items())
        if openmetrics:
            parts.append(EOF)
        self._features = {lines.key: lines for lines, _ in features}
        return "".join(parts)


class _Shared:
    """What features have in common while one state is rendered: most of what their names and labels consist of."""

    def __init__(self) -> None:
        self._endings: dict[tuple[str, ...], str] = {}
        self._histograms: dict[str, str] = {}

    def ending(self, labels: tuple[str, ...], values: tuple[str, ...]) -> str:
        """Write a family's own labels with their values, as they follow those of the key, and the closing brace."""
        ending = self._endings.get(labels + values)
        if ending is None:
            pairs = (f',{label}="{escape(value)}"' for label, value in zip(labels, values, strict=True))
            ending = self._endings[labels + values] = "".join(pairs) + "}"
        return ending

    def histogram(self, family: Family) -> str:
        """Write a histogram's lines with _KEY where the key's labels go and `%s` where the values do."""
        template = self._histograms.get(family.name)
        if template is None:
            lines = [f'{family.name}_bucket{{{_KEY},le="{le}"}} %s\n' for le in LE]
            lines += (f"{family.name}_{suffix}{{{_KEY}}} %s\n" for suffix in ("sum", "count"))
            template = self._histograms[family.name] = "".join(lines)
        return template


class _Lines:
    """One feature's lines without their values."""

    __slots__ = ("_histograms", "_labels", "_prefixes", "key")

    def __init__(self, key: FeatureKey) -> None:
        self.key = key
        self._labels = ",".join(f'{name}="{escape(value)}"' for name, value in zip(KEY_LABELS, key, strict=True))
        self._prefixes: dict[str, dict[tuple[str, ...], str]] = {}
        self._histograms: dict[str, str] = {}

    def numbers(
        self,
        parts: list[str],
        family: Family,
        series: Mapping[tuple[str, ...], float],
        start_ns: int,
        shared: _Shared,
    ) -> None:
        before = self._prefixes.get(family.name, {})
        prefixes = before
        if before.keys() != series.keys():
            begin, labels, ending = f"{family.name}{{{self._labels}", family.labels, shared.ending
            prefixes = {values: before.get(values) or f"{begin}{ending(labels, values)} " for values in series}
            self._prefixes[family.name] = prefixes
        for values, value in series.items():
            parts.append(f"{prefixes[values]}{value!r}\n")
            if start_ns:
                parts.append(self.created(family, values, start_ns))

    def histogram(
        self,
        family: Family,
        distribution: Distribution,
        exemplars: Mapping[int, Exemplar] | None,
        shared: _Shared,
    ) -> str:
        template = self._histograms.get(family.name)
        if template is None:
            template = shared.histogram(family).replace(_KEY, self._labels.replace("%", "%%"))
            self._histograms[family.name] = template
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


def _name(family: Family, values: Iterable[str], name: str = "") -> str:
    """Join a sample's name and labels; `values` are those of the key and the family, or of the family alone."""
    values = tuple(values)
    labels = (*KEY_LABELS, *family.labels) if len(values) > len(family.labels) else family.labels
    joined = ",".join(f'{label}="{escape(value)}"' for label, value in zip(labels, values, strict=True))
    return f"{name or family.name}{{{joined}}}"


def _with_exemplars(lines: str, exemplars: Mapping[int, Exemplar]) -> str:
    split = lines.split("\n")
    for bucket, (trace_id, span_id, value, timestamp) in exemplars.items():
        span = f',span_id="{escape(span_id)}"' if span_id else ""
        split[bucket] += f' # {{trace_id="{escape(trace_id)}"{span}}} {value!r} {timestamp:.3f}'
    return "\n".join(split)


def _dropped(parts: list[str], dropped: Mapping[tuple[str, str, FeatureKey], int]) -> None:
    for (signal, reason, key), count in dropped.items():
        parts.append(f"{_name(DROPPED, (*key, signal, reason))} {count}\n")
