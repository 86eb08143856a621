"""What Prometheus knows of the apps: the targets it scrapes, and the series that they export. Asked, not judged."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ..confidential import redacted
from ..errors import BadInput
from ..families import BUCKETS, DROPPED, DURATION, FAMILIES, FIRST_TOKEN, REQUESTS
from ..stores.promql import Matchers, selector
from ..stores.recording import MARKER
from ..stores.upstream import Upstream
from ..times import parse_duration
from .asking import Vector, data_of, get, listed, objects, query
from .names import family_meant

__all__ = ["OF_EVERY_BRIDGE", "ExporterFacts", "Place", "Scraped", "gather"]

WATCHED: Final = (DURATION, FIRST_TOKEN)
OWN_BOUNDS: Final = frozenset({*BUCKETS, float("inf")})
LOWEST: Final = ("0.01", "1e-02", "0.010")
HIGHEST: Final = ("81.92", "81.920", "8.192e+01")
"""How these bounds may be written."""
_BY: Final = "job, instance"
_AT_ONCE: Final = 2
"""Questions at a time: some look at every series of ours, and others want answers too."""
_QUERY: Final = re.compile(r"\?[^\s\"]+")
"""What a URL says behind its path may be a secret."""
RESETS_OVER: Final = "30m"
LOOKBACK: Final = "1h"
OF_EVERY_BRIDGE: Final = "featurewatch_poll_ticks_total"
"""What every bridge exports."""


class Place(NamedTuple):
    """Whose series these are: Prometheus's job and instance."""

    job: str
    instance: str

    def __str__(self) -> str:
        return f"{self.job or 'no job'}/{self.instance or 'no instance'}"


@dataclass(frozen=True, slots=True)
class Scraped:
    """A target that Prometheus scrapes."""

    place: Place
    pool: str
    url: str
    up: bool
    error: str = ""
    interval_s: float = 0.0

    @property
    def shown(self) -> str:
        return f"{self.place} ({redacted(self.url)})"

    @property
    def address(self) -> tuple[str, str]:
        """Where it is, whatever else the URL says."""
        parts = urlsplit(self.url)
        return parts.netloc.rpartition("@")[2].lower(), parts.path


@dataclass(frozen=True, slots=True)
class ExporterFacts:
    """What is known of the apps by their series; `failures` are questions that were not answered.

    Attributes:
        known: places that showed features within the last hour; bridges: those that showed a bridge's own figures.
        outcomes: by place, the outcomes of each feature and environment.
        histograms: whether there are some.
        bounds: by place and histogram those of the buckets, where they are not ours.
        durations: by place and feature, the mean of all calls and the share of them above the highest bound.
        names: of all metrics of apps; strange: by place those that stand for one of ours.
        totals: by place, how many samples a scrape brings, and how many features it has.
        recorded: whether the recording rules run.
    """

    targets: Sequence[Scraped] = ()
    known: frozenset[Place] = frozenset()
    bridges: frozenset[Place] = frozenset()
    outcomes: Mapping[Place, Mapping[tuple[str, str], frozenset[str]]] = field(default_factory=dict)
    bounds: Mapping[tuple[Place, str], frozenset[float]] = field(default_factory=dict)
    durations: Mapping[tuple[Place, str], tuple[float, float]] = field(default_factory=dict)
    histograms: bool = False
    names: frozenset[str] = frozenset()
    strange: Mapping[Place, frozenset[str]] = field(default_factory=dict)
    kinds: Mapping[tuple[Place, str], str] = field(default_factory=dict)
    resets: Mapping[Place, float] = field(default_factory=dict)
    dropped: Mapping[Place, Mapping[tuple[str, str], float]] = field(default_factory=dict)
    overflown: Mapping[Place, frozenset[str]] = field(default_factory=dict)
    totals: Mapping[Place, tuple[float, float]] = field(default_factory=dict)
    renamed: Mapping[Place, frozenset[str]] = field(default_factory=dict)
    recorded: bool = False
    failures: Sequence[str] = ()


async def gather(upstream: Upstream, matchers: Matchers) -> ExporterFacts:
    """Ask a Prometheus of the apps.

    Args:
        matchers: labels by which ours are told from others', PROMETHEUS_MATCHERS.
    """
    asker = _Asker(upstream)
    requests, dropped = selector(REQUESTS.name, matchers), selector(DROPPED.name, matchers)
    # One outcome is enough to tell places: there are three of everything else.
    some = selector(REQUESTS.name, {"outcome": "success"}, matchers)
    bridge = selector(OF_EVERY_BRIDGE, matchers)
    seconds = {suffix: selector(f"{DURATION.name}_{suffix}", matchers) for suffix in ("sum", "count")}
    highest = selector(f"{DURATION.name}_bucket", {"le": HIGHEST}, matchers)
    counters = [name for name in FAMILIES if name.endswith("_total")]
    other = selector("", {"__name__": counters}, {"model": "other"}, matchers)
    errors = selector("feature_errors_total", {"error_type": "other"}, matchers)
    questions = {
        "known": f"group by ({_BY}) (last_over_time({some}[{LOOKBACK}]))",
        "bridges": f"group by ({_BY}) (last_over_time({bridge}[{LOOKBACK}]))",
        "outcomes": f"group by ({_BY}, feature, environment, outcome) ({requests})",
        "means": f"sum by ({_BY}, feature) ({seconds['sum']}) / (sum by ({_BY}, feature) ({seconds['count']}) > 0)",
        "above": f"1 - sum by ({_BY}, feature) ({highest}) / (sum by ({_BY}, feature) ({seconds['count']}) > 0)",
        "resets": f"max by ({_BY}) (resets({some}[{RESETS_OVER}]))",
        "dropped": f"sum by ({_BY}, signal, reason) ({dropped} - ({dropped} offset {LOOKBACK} or {dropped} * 0)) > 0",
        "other": f"group by ({_BY}, __name__) ({other} > 0 or {errors} > 0)",
        "samples": "scrape_samples_scraped",
        "features": f"count by ({_BY}) (group by ({_BY}, feature) ({some}))",
        "recorded": MARKER,
        "renamed": f'group by ({_BY}, exported_feature, exported_environment) ({{__name__="{REQUESTS.name}", '
        f'exported_environment=~".+"}} or {{__name__="{REQUESTS.name}", exported_feature=~".+"}})',
    }
    told, answers, (names, strange), (histograms, bounds), kinds = await asyncio.gather(
        get(upstream, "/api/v1/targets?state=active"),
        asyncio.gather(*map(asker.ask, questions.values())),
        _names(asker, matchers),
        _histograms(asker, matchers),
        _kinds(upstream),
    )
    vectors: dict[str, Vector] = dict(zip(questions, answers, strict=True))
    above = {_feature(labels): value for labels, value in vectors["above"].series}
    samples = {_place(labels): value for labels, value in vectors["samples"].series}
    outcomes = _outcomes(vectors["outcomes"])
    return ExporterFacts(
        targets=tuple(filter(None, map(_target, listed(data_of(told, "data", "activeTargets"))))),
        known=frozenset(_place(labels) for labels, _ in vectors["known"].series) | outcomes.keys(),
        bridges=frozenset(_place(labels) for labels, _ in vectors["bridges"].series),
        outcomes=outcomes,
        bounds=bounds,
        durations={_feature(at): (mean, above.get(_feature(at), 0.0)) for at, mean in vectors["means"].series},
        histograms=histograms,
        names=names,
        strange=strange,
        kinds=kinds,
        resets={_place(labels): value for labels, value in vectors["resets"].series},
        dropped=_counts(vectors["dropped"]),
        overflown=_sets(vectors["other"], "__name__"),
        totals={
            _place(labels): (samples.get(_place(labels), 0.0), count) for labels, count in vectors["features"].series
        },
        renamed={
            _place(labels): frozenset(name for name in ("exported_feature", "exported_environment") if labels.get(name))
            for labels, _ in vectors["renamed"].series
        },
        recorded=bool(vectors["recorded"].series),
        failures=tuple(dict.fromkeys([*([told.failure] if told.failure else []), *asker.failures])),
    )


class _Asker:
    """Asks few questions at a time, and remembers why some were not answered."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self.failures: list[str] = []

    async def ask(self, expression: str) -> Vector:
        async with self._gate:
            vector = await query(self._upstream, expression)
        if vector.failure:
            self.failures.append(vector.failure)
        return vector

    async def values(self, label: str, selection: str) -> list[str]:
        """List the values of a label: from the index, so for little, however many series there are."""
        async with self._gate:
            got = await get(self._upstream, f"/api/v1/label/{label}/values", params={"match[]": selection})
        if got.failure:
            self.failures.append(got.failure)
        return [str(value) for value in listed(data_of(got, "data"))]


async def _names(asker: _Asker, matchers: Matchers) -> tuple[frozenset[str], dict[Place, frozenset[str]]]:
    """Find the names of apps' metrics, and where there are some that stand for one of ours."""
    names = frozenset(await asker.values("__name__", _all_of_ours(matchers)))
    strange = [name for name in names if family_meant(name)]
    if not strange:
        return names, {}
    vector = await asker.ask(f"group by ({_BY}, __name__) ({selector('', {'__name__': strange}, matchers)})")
    return names, _sets(vector, "__name__")


async def _histograms(asker: _Asker, matchers: Matchers) -> tuple[bool, dict[tuple[Place, str], frozenset[float]]]:
    """Find the histograms whose bounds are not ours; all bounds of all of them would be most of the series there are.

    Others are known by a bound that is none of ours, or by the absence of the lowest or highest.
    """
    names: Matchers = {"__name__": [f"{family.name}_bucket" for family in WATCHED]}
    buckets = selector("", names, matchers)
    values = await asker.values("le", buckets)
    strange = [value for value in values if not frozenset(_numbers([value])) <= OWN_BOUNDS]
    by = f"{_BY}, __name__"

    def having(*bounds: str) -> str:
        return f"group by ({by}) ({selector('', names, {'le': bounds}, matchers)})"

    everywhere = having("+Inf")
    asked = [f"({everywhere} unless {having(*bound)})" for bound in (LOWEST, HIGHEST)]
    asked += [having(*strange)] if strange else []
    odd = await asker.ask(" or ".join(asked)) if values else Vector()
    jobs = sorted({labels.get("job", "") for labels, _ in odd.series})
    if not jobs:
        return bool(values), {}
    places = {(_place(labels), labels.get("__name__", "").removesuffix("_bucket")) for labels, _ in odd.series}
    found = _bounds(await asker.ask(f"group by ({by}, le) ({selector('', names, {'job': jobs}, matchers)})"))
    return True, {key: bounds for key, bounds in found.items() if key in places}


def _all_of_ours(matchers: Matchers) -> str:
    """Select every series whose name is one of an app; recorded ones are named with a colon."""
    more = selector("", matchers).removeprefix("{").removesuffix("}")
    return '{__name__=~"feature_.+"' + (f",{more}" if more else "") + "}"


async def _kinds(upstream: Upstream) -> dict[tuple[Place, str], str]:
    """Ask of which type the counter of calls is at each place; OpenMetrics names it without its suffix."""
    bare = REQUESTS.name.removesuffix("_total")
    answers = await asyncio.gather(
        *(get(upstream, "/api/v1/targets/metadata", params={"metric": name}) for name in (REQUESTS.name, bare))
    )
    return {
        (_place(one["target"]), REQUESTS.name): str(one.get("type", ""))
        for answer in answers
        for one in objects(data_of(answer, "data"))
        if isinstance(one.get("target"), dict)
    }


def _target(told: Any) -> Scraped | None:
    if not isinstance(told, dict) or not isinstance(told.get("labels"), dict):
        return None
    try:
        interval = parse_duration(str(told.get("scrapeInterval") or ""), name="scrapeInterval")
    except BadInput:
        interval = 0.0
    return Scraped(
        _place(told["labels"]),
        str(told.get("scrapePool", "")),
        str(told.get("scrapeUrl", "")),
        told.get("health") != "down",
        _QUERY.sub("?…", str(told.get("lastError", ""))),
        interval,
    )


def _place(labels: Mapping[str, str]) -> Place:
    return Place(labels.get("job", ""), labels.get("instance", ""))


def _feature(labels: Mapping[str, str]) -> tuple[Place, str]:
    return _place(labels), labels.get("feature", "")


def _outcomes(vector: Vector) -> dict[Place, dict[tuple[str, str], frozenset[str]]]:
    found: dict[Place, dict[tuple[str, str], set[str]]] = {}
    for labels, _ in vector.series:
        key = labels.get("feature", ""), labels.get("environment", "")
        found.setdefault(_place(labels), {}).setdefault(key, set()).add(labels.get("outcome", ""))
    return {place: {key: frozenset(told) for key, told in keys.items()} for place, keys in found.items()}


def _bounds(vector: Vector) -> dict[tuple[Place, str], frozenset[float]]:
    found: dict[tuple[Place, str], set[float]] = {}
    for labels, _ in vector.series:
        name = labels.get("__name__", "").removesuffix("_bucket")
        found.setdefault((_place(labels), name), set()).update(_numbers([labels.get("le", "")]))
    return {key: frozenset(bounds) for key, bounds in found.items()}


def _numbers(texts: Iterable[str]) -> Iterable[float]:
    for text in texts:
        try:
            yield float(text)
        except ValueError:
            continue


def _sets(vector: Vector, label: str) -> dict[Place, frozenset[str]]:
    found: dict[Place, set[str]] = {}
    for labels, _ in vector.series:
        found.setdefault(_place(labels), set()).add(labels.get(label, ""))
    return {place: frozenset(names) for place, names in found.items()}


def _counts(vector: Vector) -> dict[Place, dict[tuple[str, str], float]]:
    found: dict[Place, dict[tuple[str, str], float]] = {}
    for labels, value in vector.series:
        found.setdefault(_place(labels), {})[labels.get("signal", ""), labels.get("reason", "")] = value
    return found
