"""Alertmanager's API v2, of one Alertmanager or a cluster of them: alerts, silences, status.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..errors import BadInput, TooMany, Unavailable, UpstreamError
from ..stores.upstream import Upstream
from ..times import NS, format_instant, parse_instant
from .signals import Signal, read_listed

__all__ = ["AlertmanagerClient", "Listed", "Matcher", "Seen", "Silence"]

Matcher = tuple[str, str]
"""A label and the value that it equals."""

_OURS: Final = 'rule_id=~".+"'


@dataclass(frozen=True, slots=True)
class Seen:
    """An alert that fires, as Alertmanager lists it."""

    signal: Signal
    state: str
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """What fires now, and since when the Alertmanager that said so runs: younger ones may not have heard of all."""

    alerts: tuple[Seen, ...]
    uptime_s: float


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence as Alertmanager has it."""

    id: str
    state: str
    matchers: tuple[Matcher, ...]
    starts_ns: int
    ends_ns: int
    created_by: str
    comment: str


class AlertmanagerClient:
    """Asks the first Alertmanager that answers; in a cluster each knows the silences of all.

    Every method raises Unavailable where none answers, UpstreamError where one answers wrongly.
    """

    def __init__(self, upstreams: Sequence[Upstream], *, clock: Callable[[], int] = time.time_ns) -> None:
        if not upstreams:
            raise ValueError("expected at least one Alertmanager")
        self._upstreams = tuple(upstreams)
        self._clock = clock

    async def alerts(self, filters: Mapping[str, str] | None = None) -> Listed:
        """List what fires, silenced and inhibited too. What any of a cluster's members lists fires.

        Args:
            filters: labels that have these values; without them all alerts of rules.
        """
        wanted = [f"{name}={_quoted(value)}" for name, value in (filters or {}).items()] or [_OURS]
        found: dict[tuple[str, int], Seen] = {}
        uptimes: list[float] = []
        failure: Exception | None = None
        for upstream in self._upstreams:
            try:
                told = await upstream.ask_json("GET", "/api/v2/alerts", params={"filter": wanted})
                status = await upstream.ask_json("GET", "/api/v2/status")
                uptimes.append(_uptime(status, upstream, self._clock()))
                for signal, alert in _listed(told, upstream):
                    found.setdefault((signal.fingerprint, signal.starts_ns), _seen(signal, alert))
            except (Unavailable, UpstreamError, TooMany) as error:
                failure = error
        if not uptimes:
            assert failure is not None
            raise failure
        return Listed(tuple(found.values()), max(uptimes))

    async def silences(self, ids: Sequence[str] | None = None) -> dict[str, Silence]:
        """Return the silences by id; None: all that are pending or active."""
        told = await self._first("GET", "/api/v2/silences")
        if not isinstance(told, list):
            raise UpstreamError("Alertmanager listed silences as something else than a list")
        found = {silence.id: silence for silence in map(_silence, told)}
        if ids is None:
            return {id_: silence for id_, silence in found.items() if silence.state != "expired"}
        return {id_: found[id_] for id_ in ids if id_ in found}

    async def silence(
        self,
        matchers: Sequence[Matcher],
        starts_ns: int,
        ends_ns: int,
        created_by: str,
        comment: str,
        *,
        id: str = "",
    ) -> str:
        """Silence what matches, or extend the silence of this id; return the id that it has from now on.

        Where Alertmanager cannot extend it in place it expires the old one and makes another.
        """
        body: dict[str, Any] = {
            "matchers": [{"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in matchers],
            "startsAt": format_instant(starts_ns),
            "endsAt": format_instant(ends_ns),
            "createdBy": created_by,
            "comment": comment,
        }
        try:
            told = await self._first("POST", "/api/v2/silences", json={**body, "id": id} if id else body)
        except UpstreamError:
            if not id:
                raise
            # Expired or forgotten meanwhile: a new one does the same.
            told = await self._first("POST", "/api/v2/silences", json=body)
        made = told.get("silenceID") if isinstance(told, dict) else None
        if not isinstance(made, str) or not made:
            raise UpstreamError("Alertmanager made a silence without an id")
        return made

    async def expire(self, id: str) -> None:
        """End a silence; one that is over or unknown is none."""
        failure: Exception | None = None
        for upstream in self._upstreams:
            try:
                answer = await upstream.request("DELETE", f"/api/v2/silence/{id}")
            except Unavailable as error:
                failure = error
                continue
            # 0.25 answers 500 for an id that it does not know, later ones 404; 400: it is over.
            unknown = answer.status_code in (400, 404, 410) or "not found" in answer.text.lower()
            if answer.is_success or unknown or "already expired" in answer.text.lower():
                return
            failure = upstream.refusal(answer)
        if failure is not None:
            raise failure

    async def status(self) -> dict[str, Any]:
        """Return what Alertmanager says of itself: version, uptime, configuration."""
        told = await self._first("GET", "/api/v2/status")
        if not isinstance(told, dict):
            raise UpstreamError("Alertmanager told its status as something else than an object")
        return told

    async def post_alerts(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Send alerts to every Alertmanager, as Prometheus does; one that takes them is enough."""
        failure: Exception | None = None
        taken = 0
        for upstream in self._upstreams:
            try:
                await upstream.ask("POST", "/api/v2/alerts", json=list(alerts))
                taken += 1
            except (Unavailable, UpstreamError, TooMany) as error:
                failure = error
        if not taken and failure is not None:
            raise failure

    async def ping(self) -> None:
        """Return when one Alertmanager answers that it is ready."""
        await self._any("GET", "/-/ready")

    async def close(self) -> None:
        for upstream in self._upstreams:
            await upstream.close()

    async def _first(self, method: str, path: str, **options: Any) -> Any:
        failure: Exception | None = None
        for upstream in self._upstreams:
            try:
                return await upstream.ask_json(method, path, **options)
            except Unavailable as error:
                failure = error
        assert failure is not None
        raise failure

    async def _any(self, method: str, path: str) -> None:
        failure: Exception | None = None
        for upstream in self._upstreams:
            try:
                await upstream.ask(method, path)
            except (Unavailable, UpstreamError, TooMany) as error:
                failure = error
            else:
                return
        assert failure is not None
        raise failure


def _listed(told: Any, upstream: Upstream) -> list[tuple[Signal, Mapping[str, Any]]]:
    try:
        return read_listed(told)
    except BadInput as error:
        raise UpstreamError(f"{upstream.target.shown} listed alerts that cannot be read: {error}") from None


def _seen(signal: Signal, alert: Mapping[str, Any]) -> Seen:
    status = alert.get("status")
    told: Mapping[str, Any] = status if isinstance(status, dict) else {}
    receivers = alert.get("receivers")
    names = [one.get("name") for one in receivers if isinstance(one, dict)] if isinstance(receivers, list) else []
    return Seen(
        signal,
        str(told.get("state", "")),
        tuple(map(str, told.get("silencedBy") or ())),
        tuple(map(str, told.get("inhibitedBy") or ())),
        tuple(name for name in names if isinstance(name, str)),
    )


def _silence(told: Any) -> Silence:
    try:
        return Silence(
            told["id"],
            told["status"]["state"],
            tuple((matcher["name"], matcher["value"]) for matcher in told["matchers"]),
            parse_instant(told["startsAt"]),
            parse_instant(told["endsAt"]),
            str(told.get("createdBy", "")),
            str(told.get("comment", "")),
        )
    except (KeyError, TypeError, BadInput):
        raise UpstreamError("Alertmanager listed a silence that cannot be read") from None


def _uptime(status: Any, upstream: Upstream, now_ns: int) -> float:
    """Tell how long an Alertmanager runs, by the word of both clocks."""
    try:
        return max(0.0, (now_ns - parse_instant(status["uptime"])) / NS)
    except (KeyError, TypeError, BadInput):
        raise UpstreamError(f"{upstream.target.shown} does not say since when it runs") from None


def _quoted(value: str) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'
