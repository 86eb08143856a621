"""What fired while nobody listened: read from Prometheus's own series `ALERTS`, afterwards."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Final, NamedTuple

from ..alert_model import RULE_ID
from ..episode_model import Place
from ..errors import UpstreamError
from ..model import ENVIRONMENT, FEATURE_ID, FeatureKey
from ..stores.upstream import Upstream
from ..times import NS
from .history import History
from .signals import Signal

__all__ = ["Backfill", "Span", "spans"]

QUERY: Final = 'ALERTS{alertstate="firing", rule_id=~".+", feature=~".+"}'
FURTHEST_S: Final = 7 * 86_400
"""How far back Prometheus is asked."""
MOST_POINTS: Final = 5_000
"""Points of one series in one answer; Prometheus refuses above 11,000."""
FINEST_S: Final = 15


class Span(NamedTuple):
    """A time in which one series of `ALERTS` fired; `open`: it did so at the end of what was asked."""

    labels: Mapping[str, str]
    start_ns: int
    end_ns: int
    open: bool


def spans(result: Any, step_s: int, end_s: float) -> Iterator[Span]:
    """Read the runs of neighbouring points of a range query's matrix.

    Raises:
        UpstreamError: it is no matrix.
    """
    try:
        for series in result:
            labels: Mapping[str, str] = series["metric"]
            times = [float(at) for at, _ in series["values"]]
            if not times:
                continue
            breaks = [index for index, (one, other) in enumerate(pairwise(times), 1) if other - one > 1.5 * step_s]
            for first, after in pairwise([0, *breaks, len(times)]):
                last = times[after - 1]
                yield Span(labels, int(times[first] * NS), int(last * NS), end_s - last < 1.5 * step_s)
    except (KeyError, TypeError, ValueError):
        raise UpstreamError("Prometheus answered a range query with something else than a matrix") from None


class Backfill:
    """Completes the history from Prometheus: episodes that began and ended unseen, and when what was open ended."""

    def __init__(self, prometheus: Upstream, history: History) -> None:
        self._prometheus = prometheus
        self._history = history

    async def run(self, start_ns: int, end_ns: int, firing: Collection[Place]) -> int:
        """Read what fired within a time and keep what is not known; return how many episodes changed.

        Args:
            firing: what fires now, as Alertmanager says: its end is none.

        Raises:
            Unavailable, UpstreamError, TooMany: Prometheus did not answer.
        """
        end_s = end_ns / NS
        start_s = max(start_ns / NS, end_s - FURTHEST_S)
        step_s = max(FINEST_S, math.ceil((end_s - start_s) / MOST_POINTS))
        told = await self._prometheus.ask_json(
            "POST",
            "/api/v1/query_range",
            data={"query": QUERY, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": str(step_s)},
        )
        try:
            result = told["data"]["result"]
        except (KeyError, TypeError):
            raise UpstreamError("Prometheus answered a range query without a result") from None
        found: dict[Place, list[Span]] = {}
        for span in spans(result, step_s, end_s):
            at = _place(span.labels)
            if at is not None:
                found.setdefault(at, []).append(span)
        known = await self._history.alerts.overlapping(list(found), start_ns, end_ns)
        changed = 0
        for episode in known:
            ended = found.get(episode.place, ())
            if episode.open and ended and episode.place not in firing and not any(span.open for span in ended):
                changed += await self._history.end(episode.place, max(span.end_ns for span in ended))
        fresh = [
            _signal(at, span)
            for at, listed in found.items()
            for span in listed
            if not span.open and not any(
                episode.place == at and _touches(span, episode.alert.triggered_ns, episode.alert.resolved_ns, step_s)
                for episode in known
            )
        ]  # fmt: skip
        return changed + await self._history.take(fresh)


def _touches(span: Span, start_ns: int, end_ns: int | None, step_s: int) -> bool:
    slack = 2 * step_s * NS
    return start_ns <= span.end_ns + slack and (end_ns is None or end_ns >= span.start_ns - slack)


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
