"""The metric store over Prometheus, and over VictoriaMetrics, Mimir and Thanos, which speak its language."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Final, Literal, NamedTuple, TypeAlias

from .. import families
from ..errors import UpstreamError
from ..formulas import Uptime
from ..model import FeatureKey, Measurement, ModelCost
from ..times import NS
from . import prometheus_breakdown as breakdown
from . import prometheus_series, recording
from .prometheus_api import QueryApi
from .prometheus_figures import MINUTE, UPTIME, Answer, gauges, key_of, only, read
from .prometheus_uptime import HELD, Uptimes
from .promql import ALL, BY, HEARD_S, Matchers, Raw, duration, render, selector, tagged, verdict
from .promql_parts import parts
from .steps import metric_of, points_of
from .upstream import Upstream
from .upstream_stats import UpstreamStats

__all__ = ["PrometheusStore", "Recorded"]

Recorded: TypeAlias = Literal["auto", "on", "off"]
"""Whether recorded figures are read: where there are some, always, never."""

MOST_UNRECORDED: Final = 200
"""From more features on, uptime needs the recording rules: a day of it from raw series takes longer than a tick."""

MOST_MINUTES: Final = 25_000
"""So many minutes of features are judged in one query; of more every second, third … minute.

VictoriaMetrics refuses more than 30,000 (`-search.maxPointsPerTimeseries`).
"""

_MINUTE_NS: Final = 60 * NS

_GRACE_S: Final = 60
"""A feature heard so recently before a step of a history is there in it: not every scrape comes each second."""

_TOLD_NS: Final = 10 * NS
"""So long what the last tick heard of all features answers `info` and `in_progress`."""

CLOCKS_APART_S: Final = 30.0

LONGEST_QUERY: Final = 15_000
"""Characters; VictoriaMetrics takes 16 KiB."""

_Wanted: TypeAlias = frozenset[FeatureKey] | None
"""Which features; None: all."""

_log = logging.getLogger(__name__)


class _Rules(NamedTuple):
    """What is known of the recording rules: the minute it was asked in, and how many features there are."""

    minute: int = -1
    threshold: float | None = None
    features: int = 0


class PrometheusStore:
    """A MetricStore that keeps nothing: each tick is one query, whatever the number of features.

    Figures of 5 minutes are read as the recording rules left them, where these run, else from raw series. Uptime is
    computed once a minute.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        uptime_threshold: float = 50.0,
        matchers: Matchers = ALL,
        recorded: Recorded = "auto",
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """Use an upstream, which is closed with the store.

        Args:
            uptime_threshold: percent; a minute is down from this share of failed calls on.
            matchers: labels that all series have, where others share the upstream.
            clock: the time now, nanoseconds UTC; every query is evaluated at it.
        """
        self.skipped_series = 0
        self._upstream = upstream
        self._api = QueryApi(upstream, clock)
        self._threshold = uptime_threshold
        self._matchers = matchers
        self._mode = recorded
        self._clock = clock
        self._rules = _Rules()
        self._uptimes = Uptimes(self._api, lambda: verdict(self._threshold, self._matchers))
        self._told: tuple[int, Answer] = (-_TOLD_NS, Answer())
        self._window_s = recording.WINDOW_S
        self._warned = False

    @property
    def stats(self) -> UpstreamStats:
        """What is counted of the queries."""
        return self._upstream.stats

    @property
    def recorded(self) -> bool:
        """Whether figures are read as the recording rules left them."""
        return self._mode == "on" or (self._mode == "auto" and self._rules.threshold is not None)

    @property
    def notice(self) -> str:
        """What an operator should do so that all figures are there, "" where nothing."""
        rules, many = self._rules, self._rules.features > MOST_UNRECORDED
        ahead_s = self._api.ahead_s
        if abs(ahead_s) > CLOCKS_APART_S:
            return (
                f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} "
                f"{self._upstream.target.name}'s: figures are missed, set the clocks"
            )
        if rules.threshold is not None and rules.threshold != self._threshold:
            return (
                f"the recording rules were made for FEATUREWATCH_UPTIME_THRESHOLD={rules.threshold:g}, the setting is "
                f"{self._threshold:g}: uptime is {'left out' if many else 'computed from raw series'}"
            )
        if rules.threshold is None and many:
            return (
                f"{rules.features} features and no recording rules: uptime is left out; load "
                f"prometheus/rules/featurewatch.yml into {self._upstream.target.name}"
            )
        if self._window_s != recording.WINDOW_S and many:
            return (
                f"{rules.features} features over {duration(self._window_s)} are computed from raw series, recorded are "
                f"those over {duration(recording.WINDOW_S)}: unset FEATUREWATCH_METRICS_WINDOW"
            )
        return ""

    async def keys(self) -> set[FeatureKey]:
        requests = selector(families.REQUESTS.name, self._matchers)
        told = await self._api.instant(f"count by ({', '.join(BY)}) (last_over_time({requests}[1h]))", self._clock())
        return {key for one in told if (key := key_of(one.labels)) is not None}

    async def info(self) -> Mapping[FeatureKey, Mapping[str, str]]:
        return (await self._now()).info()

    async def in_progress(self, keys: Collection[FeatureKey] | None) -> Mapping[FeatureKey, int]:
        running = (await self._now()).running
        return {key: count for key, count in running.items() if keys is None or key in keys}

    async def measure(
        self, keys: Collection[FeatureKey] | None, window_s: float, uptime_window_s: float = 86_400
    ) -> Mapping[FeatureKey, Measurement]:
        now_ns = self._clock()
        wanted = None if keys is None else frozenset(keys)
        if keys is None:
            self._window_s = window_s
        await self._ask_for_rules(now_ns)
        if self.recorded and window_s == recording.WINDOW_S:
            answer, uptimes = await self._answer(self._recorded_figures, wanted, uptime_window_s, now_ns)
            if recording.threshold_of(answer.markers) is not None:
                return answer.recorded(_known(answer, uptimes, wanted), now_ns, uptimes)
            # They stopped since they were asked for, and what they left is no answer.
            self._rules = self._rules._replace(threshold=None)
            if self._mode == "on":
                raise UpstreamError(
                    f"{self._upstream.target.shown} has no recorded figures, which FEATUREWATCH_PROMETHEUS_RECORDED=on "
                    "asks for: load prometheus/rules/featurewatch.yml, or set it to auto"
                )
        answer, uptimes = await self._answer(partial(self._raw_figures, window_s), wanted, uptime_window_s, now_ns)
        return answer.measure(_known(answer, uptimes, wanted), window_s, now_ns, uptimes)

    async def history(
        self, key: FeatureKey, metric: str, start_ms: int, end_ms: int, step_s: int
    ) -> Sequence[tuple[int, float | None]]:
        row, points = metric_of(metric), points_of(start_ms, end_ms, step_s)
        if not points:
            return []
        raw = replace(self._raw(step_s, [key], heard_s=step_s + _GRACE_S), every=ceil(step_s / 60 / MOST_MINUTES))
        # Each point of an uptime is of a window of minutes, and all that one query asks for are judged in it.
        size = max(1, MOST_MINUTES * 60 // step_s - 1) if isinstance(row.expression, Uptime) else len(points)
        values: dict[int, float] = {}
        for begin in range(0, len(points), size):
            part = points[begin : begin + size]
            told = await self._api.range(render(row.expression, raw), part[0], part[-1], step_s)
            values.update(next((one.values for one in told if key_of(one.labels) == key), {}))
        return [(at, values.get(at)) for at in points]

    async def series(
        self, key: FeatureKey, metric: str, window_s: int, start_ms: int, end_ms: int
    ) -> Sequence[tuple[int, float | None]]:
        row, points = metric_of(metric), prometheus_series.whole_minutes(start_ms, end_ms)
        await self._ask_for_rules(self._clock())
        only_uptime = isinstance(row.expression, Uptime)
        may = self._uptime_is_recorded if only_uptime else self.recorded
        recorded = recording.expression(row, window_s, self._only([key])) if may else None
        raw = self._raw(window_s, [key], heard_s=max(window_s, HEARD_S))
        return await prometheus_series.series(self._api, key, row, raw, recorded, points)

    async def costs(self, key: FeatureKey, window_s: float) -> Sequence[ModelCost]:
        raw = self._raw(window_s, [key])
        return breakdown.read_costs(await self._api.instant(breakdown.costs(raw), self._clock()))

    async def errors(self, key: FeatureKey, window_s: float) -> Mapping[str, int]:
        raw = self._raw(window_s, [key])
        return breakdown.read_errors(await self._api.instant(breakdown.errors(raw), self._clock()))

    async def ping(self) -> None:
        await self._api.instant("vector(1)", self._clock())

    async def close(self) -> None:
        await self._uptimes.close()
        await self._upstream.close()

    async def _now(self) -> Answer:
        """Return what the features are and run now, as the last tick heard it or as it is asked for."""
        now_ns = self._clock()
        at_ns, answer = self._told
        if not 0 <= now_ns - at_ns < _TOLD_NS:
            answer = read(await self._api.instant(" or ".join(gauges(self._matchers)), now_ns), None)
            self._told = now_ns, answer
        return answer

    async def _answer(
        self, figures: Callable[[_Wanted], list[str]], wanted: _Wanted, uptime_window_s: float, now_ns: int
    ) -> tuple[Answer, Mapping[FeatureKey, float]]:
        """Ask for figures, and in the same query for what else is due: the uptime, and what holds now."""
        now_s = now_ns / NS
        minutes, remembered = await self._minutes(wanted, uptime_window_s, now_s)
        due = [
            tagged(verdict(self._threshold, self._matchers, ago_s=now_s - 60 * at), f"{MINUTE}{at}") for at in minutes
        ]
        if wanted is None:
            due += gauges(self._matchers)

        def query(of: _Wanted) -> str:
            uptime = [] if remembered else self._uptime(of, uptime_window_s, of_all=wanted is None)
            # The largest comes last: `or` looks through all that stands before it.
            return " or ".join([*due, *uptime, *figures(of)])

        asked = query(wanted)
        if len(asked) > LONGEST_QUERY:
            asked = query(None)  # and what is not wanted is left out of what it answers
        answer = read(await self._api.instant(asked, now_ns), wanted)
        if minutes:
            self._uptimes.note({minute: answer.minutes.get(minute, {}) for minute in minutes})
        if wanted is None:
            self._told = now_ns, answer
            self.skipped_series = answer.skipped
            self._warn()
        return answer, self._uptimes.over(now_s, uptime_window_s) if remembered else answer.uptimes

    async def _minutes(self, wanted: _Wanted, window_s: float, now_s: float) -> tuple[Collection[int], bool]:
        """Return the minutes whose verdicts are due, and whether the uptime is remembered, once these are there."""
        if self._uptime_is_recorded or window_s > HELD * 60:
            return (), False
        if wanted is not None:
            return (), self._uptimes.knows(now_s, window_s)
        if self._rules.features > MOST_UNRECORDED or not await self._uptimes.ready(now_s, self._rules.features):
            return (), False
        return self._uptimes.wanted(now_s), True

    def _uptime(self, wanted: _Wanted, window_s: float, *, of_all: bool) -> list[str]:
        """Write the uptime of a window: recorded, or of every so manieth minute where there are many of them.

        Not at all for too many features, nor for all of a day, which is read beside the ticks.
        """
        if self._uptime_is_recorded:
            return [tagged(recording.uptime(window_s, self._only(wanted)), UPTIME)]
        many = self._rules.features if wanted is None else len(wanted)
        if many > MOST_UNRECORDED or (of_all and window_s <= HELD * 60):
            return []
        every = max(1, ceil(many * window_s / 60 / MOST_MINUTES))
        return [tagged(render(Uptime(), replace(self._raw(window_s, wanted), every=every)), UPTIME)]

    @property
    def _uptime_is_recorded(self) -> bool:
        return self.recorded and self._rules.threshold == self._threshold

    def _recorded_figures(self, wanted: _Wanted) -> list[str]:
        return [selector(recording.MARKER, self._matchers), recording.figures(self._only(wanted))]

    def _raw_figures(self, window_s: float, wanted: _Wanted) -> list[str]:
        return [tagged(part.expr, part.name) for part in parts(self._raw(window_s, wanted, heard_s=HEARD_S))]

    def _raw(self, window_s: float, keys: Collection[FeatureKey] | None, heard_s: float = 0) -> Raw:
        targets = {label: wanted for label, wanted in self._matchers.items() if label not in BY}
        return Raw(window_s, self._only(keys), self._threshold, targets, heard_s)

    def _only(self, keys: Collection[FeatureKey] | None) -> Matchers:
        """Return the matchers of some features' series. Where the store's own name a feature too, both must hold."""
        both: dict[str, str | Collection[str]] = {**self._matchers, **only(keys)}
        for name in BY:
            if keys is not None and name in self._matchers:
                own = self._matchers[name]
                both[name] = {own} & set(both[name]) if isinstance(own, str) else set(own) & set(both[name])
        return both

    async def _ask_for_rules(self, now_ns: int) -> None:
        """Find out once a minute whether recording rules run, and how many features there are."""
        minute = now_ns // _MINUTE_NS
        if self._rules.minute == minute:
            return
        requests = selector(families.REQUESTS.name, self._matchers, {"outcome": "success"})
        count = tagged(f"count(count by ({', '.join(BY)}) ({requests}))", "features")
        told = await self._api.instant(f"{selector(recording.MARKER, self._matchers)} or {count}", now_ns)
        features = sum(round(one.value) for one in told if one.labels.get("stat") == "features")
        threshold = recording.threshold_of(one.labels for one in told if "group" in one.labels)
        self._rules = _Rules(minute, threshold, features)

    def _warn(self) -> None:
        """Log the notice when there comes to be one."""
        notice = self.notice
        if notice and not self._warned:
            _log.warning("%s", notice)
        self._warned = bool(notice)


def _known(answer: Answer, uptimes: Mapping[FeatureKey, float], wanted: _Wanted) -> set[FeatureKey]:
    known = answer.keys() | uptimes.keys()
    return known if wanted is None else known & wanted
