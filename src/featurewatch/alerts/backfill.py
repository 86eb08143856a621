"""What fired while nobody listened: read from Prometheus's own series `ALERTS`, afterwards."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

from ..alert_model import RULE_ID
from ..episode_model import Episode, Place
from ..errors import UpstreamError
from ..model import ENVIRONMENT, FEATURE_ID, FeatureKey
from ..stores.upstream import Upstream
from ..times import NS
from .history import History
from .signals import Signal

__all__ = ["Backfill", "Span", "spans"]

Retold: TypeAlias = Callable[[Sequence[Signal]], Awaitable[list[Signal]]]

SERIES: Final = 'ALERTS{alertstate="firing", rule_id=~".+", feature=~".+"}'
FURTHEST_S: Final = 7 * 86_400
"""How far back Prometheus is asked."""
EXACT_S: Final = 6 * 3600
"""Up to so long every sample is read, so that nothing is too short to be seen; above it a point each minute or so."""
MOST_POINTS: Final = 5_000
"""Points of one series in one answer; Prometheus refuses above 11,000."""
COARSEST_S: Final = 60
"""How far apart evaluations are taken to be where a series does not tell."""


SLACK_S: Final = 30
"""How far the ends of a span and of an episode may lie from each other: evaluations and webhooks have their pace."""


class Span(NamedTuple):
    """A time in which one series of `ALERTS` fired."""

    labels: Mapping[str, str]
    start_ns: int
    end_ns: int


def spans(result: Any) -> Iterator[Span]:
    """Read the runs of neighbouring points of a matrix: nearer to each other than twice what is usual in their series.

    Raises:
        UpstreamError: it is no matrix.
    """
    try:
        for series in result:
            labels: Mapping[str, str] = series["metric"]
            times = [float(at) for at, _ in series["values"]]
            pauses = sorted(other - one for one, other in pairwise(times))
            usual = pauses[len(pauses) // 2] if pauses else COARSEST_S
            breaks = [index for index, (one, other) in enumerate(pairwise(times), 1) if other - one > 2.2 * usual]
            for first, after in pairwise([0, *breaks, len(times)]):
                yield Span(labels, int(times[first] * NS), int(times[after - 1] * NS))
    except (KeyError, TypeError, ValueError, IndexError):
        raise UpstreamError("Prometheus answered with something else than a matrix") from None


class Backfill:
    """Completes the history from Prometheus: episodes that began and ended unseen, and when what was open ended.

    `retold` gives signals of such episodes the texts that Prometheus does not keep.
    """

    def __init__(self, prometheus: Upstream, history: History, retold: Retold | None = None) -> None:
        self._prometheus = prometheus
        self._history = history
        self._retold = retold

    async def run(self, start_ns: int, end_ns: int, firing: Collection[Place]) -> int:
        """Read what fired within a time and keep what is not known; return how many episodes changed.

        Args:
            firing: what fires now, as Alertmanager says: its end is none.

        Raises:
            Unavailable, UpstreamError, TooMany: Prometheus did not answer.
        """
        result = await self._read(start_ns / NS, end_ns / NS)
        found: dict[Place, list[Span]] = {}
        for span in spans(result):
            at = _place(span.labels)
            if at is not None:
                found.setdefault(at, []).append(span)
        known = await self._history.alerts.overlapping(list(found), start_ns, end_ns)
        changed = 0
        for episode in known:
            ended = found.get(episode.place, ())
            if episode.open and ended and episode.place not in firing:
                changed += await self._history.end(episode.place, max(span.end_ns for span in ended))
        fresh = [
            _signal(at, span)
            for at, listed in found.items()
            for span in listed
            # The last one of what fires now goes on: Alertmanager tells of it.
            if not (at in firing and span is max(listed, key=lambda one: one.end_ns))
            and not any(episode.place == at and _touches(span, episode) for episode in known)
        ]
        if fresh and self._retold is not None:
            fresh = await self._retold(fresh)
        return changed + await self._history.take(fresh)

    async def _read(self, start_s: float, end_s: float) -> Any:
        start_s = max(start_s, end_s - FURTHEST_S)
        length_s = math.ceil(end_s - start_s)
        if length_s <= EXACT_S:
            path, form = "/api/v1/query", {"query": f"{SERIES}[{length_s}s]", "time": f"{end_s:.3f}"}
        else:
            step = max(COARSEST_S, math.ceil(length_s / MOST_POINTS))
            times = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": str(step)}
            path, form = "/api/v1/query_range", {"query": SERIES, **times}
        told = await self._prometheus.ask_json("POST", path, data=form)
        try:
            return told["data"]["result"]
        except (KeyError, TypeError):
            raise UpstreamError("Prometheus answered a query without a result") from None


def _touches(span: Span, episode: Episode) -> bool:
    slack, ended_ns = SLACK_S * NS, episode.alert.resolved_ns
    return episode.alert.triggered_ns <= span.end_ns + slack and (ended_ns is None or ended_ns >= span.start_ns - slack)


def _place(labels: Mapping[str, str]) -> Place | None:
    rule_id, feature, environment = (labels.get(name, "") for name in ("rule_id", "feature", "environment"))
    if RULE_ID.fullmatch(rule_id) and FEATURE_ID.fullmatch(feature) and ENVIRONMENT.fullmatch(environment):
        return Place(rule_id, FeatureKey(feature, environment))
    return None


def _signal(at: Place, span: Span) -> Signal:
    labels = {name: value for name, value in span.labels.items() if name not in ("__name__", "alertstate")}
    # Alertmanager's own is made of labels that Prometheus does not show here.
    digest = blake2b(repr(sorted(labels.items())).encode(), digest_size=8).hexdigest()
    return Signal(at.rule_id, at.key, f"prometheus-{digest}", span.start_ns, span.end_ns, labels, {}, "backfill")
