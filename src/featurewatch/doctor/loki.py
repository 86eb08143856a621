"""Loki: whether it takes what the bridge sends, and keeps it. Facts are asked, then judged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from ..errors import BadInput
from ..stores.upstream import Upstream
from ..times import parse_duration
from .asking import Got, an_object, data_of, get, load_yaml, objects
from .findings import Finding, broken, doubtful, fine, left_out
from .upstreams import answers, clock, recent

__all__ = ["LokiFacts", "gather", "judge"]

OLDEST: Final = (3, 0)
_UNRELEASED: Final = ("", "unknown", "HEAD")


@dataclass(frozen=True, slots=True)
class LokiFacts:
    """What a Loki says of itself. `config` None: it does not show it, as behind a gateway."""

    shown: str
    setting: str
    ready: Got
    labels: Got
    version: str = ""
    config: Mapping[str, Any] | None = None


async def gather(upstream: Upstream, *, clock: Callable[[], int] = time.time_ns) -> LokiFacts:
    """Ask a Loki."""
    target = upstream.target
    labels, ready, build, config = await asyncio.gather(
        get(upstream, "/loki/api/v1/labels", clock=clock),
        get(upstream, "/ready"),
        get(upstream, "/loki/api/v1/status/buildinfo"),
        get(upstream, "/config"),
    )
    version = str(data_of(build, "version") or "")
    return LokiFacts(target.shown, target.named_by, ready, labels, version, load_yaml(config.data))


def judge(facts: LokiFacts, *, tenant: str, lookback_s: float, now: datetime | None = None) -> list[Finding]:
    """Judge a Loki.

    Args:
        tenant: the one that is set, "" for none.
        lookback_s: how far back lines are looked for.
    """
    shown = facts.shown
    if facts.labels.status in (401, 403) or "no org id" in facts.labels.failure:
        return [
            broken(
                "reachable",
                shown,
                f"it refuses the tenant or the credentials ({facts.labels.status}); "
                + (f"the tenant that is set is {tenant!r}" if tenant else "no tenant is set"),
                "set FEATUREWATCH_LOKI_TENANT to the tenant whose lines these are, and FEATUREWATCH_LOKI_USER or "
                "_TOKEN_FILE where a proxy asks for credentials",
            )
        ]
    found = [answers(shown, facts.labels, f"start it, or set {facts.setting} to where it is")]
    if not facts.labels:
        return found
    if facts.ready.status == 503:
        found.append(
            broken(
                "reachable",
                f"{shown}, /ready",
                facts.ready.failure,
                "wait a minute after its start; if it stays so, its log says which part is not ready",
            )
        )
    found.append(clock(shown, facts.labels.ahead_s))
    unreleased = facts.version in _UNRELEASED or facts.version.startswith(("main", "k"))
    found.append(
        fine("version", shown, facts.version or "a build without a version")
        if unreleased
        else recent(shown, facts.version, OLDEST, "has no structured metadata as the bridge sends it")
    )
    if facts.config is None or "schema_config" not in facts.config:
        return [*found, left_out("schema", shown, "it does not show its configuration at /config")]
    limits = an_object(facts.config.get("limits_config"))
    return [
        *found,
        _schema(shown, facts.config, now or datetime.now(UTC)),
        _structured(shown, limits),
        _late(shown, limits),
        _sharding(shown, limits),
        _retention(shown, facts.config, limits, lookback_s),
    ]


def _schema(shown: str, config: Mapping[str, Any], now: datetime) -> Finding:
    periods = objects(an_object(config["schema_config"]).get("configs"))
    began = [one for one in periods if _day(one.get("from")) <= now.date()]
    current = max(began, key=lambda one: _day(one.get("from")), default=None)
    if current is None:
        return left_out("schema", shown, "no period of its schema_config has begun")
    store, schema = str(current.get("store")), str(current.get("schema"))
    number = schema.removeprefix("v")
    if store == "tsdb" and number.isdigit() and int(number) >= 13:
        return fine("schema", shown, f"{schema} on {store}")
    return broken(
        "schema",
        shown,
        f"it writes with schema {schema} on {store}, which keeps no structured metadata",
        "add a period to schema_config, from tomorrow on, with store: tsdb and schema: v13, and restart it",
    )


def _structured(shown: str, limits: Mapping[str, Any]) -> Finding:
    # Loki shows it where it is on, and leaves it out where it is off.
    if not limits.get("allow_structured_metadata"):
        return broken(
            "structured-metadata",
            shown,
            "it refuses structured metadata: every push of lines fails",
            "set limits_config.allow_structured_metadata: true",
        )
    return fine("structured-metadata", shown, "taken")


def _late(shown: str, limits: Mapping[str, Any]) -> Finding:
    if limits.get("unordered_writes") is False:
        return broken(
            "out-of-order",
            shown,
            "it refuses lines that are older than the newest of their stream: lines that waited out an outage are lost",
            "set limits_config.unordered_writes: true",
        )
    return fine("out-of-order", shown, "late lines are taken")


def _sharding(shown: str, limits: Mapping[str, Any]) -> Finding:
    told = limits.get("shard_streams")
    if isinstance(told, dict) and told.get("enabled") is False:
        return fine("shard-streams", shown, "off")
    return doubtful(
        "shard-streams",
        shown,
        "streams are sharded: a batch that is sent again may be stored twice",
        "set limits_config.shard_streams.enabled: false, unless one stream writes more than 3 MB a second",
    )


def _retention(shown: str, config: Mapping[str, Any], limits: Mapping[str, Any], lookback_s: float) -> Finding:
    deletes = bool(an_object(config.get("compactor")).get("retention_enabled"))
    kept = _seconds(limits.get("retention_period"))
    if not deletes or kept <= 0:
        return fine("retention", shown, "it deletes no lines")
    if kept + 60 < lookback_s:
        return doubtful(
            "retention",
            shown,
            f"it keeps lines for {kept / 86_400:.3g} d, and they are looked for {lookback_s / 86_400:.3g} d back",
            "set FEATUREWATCH_LOG_RETENTION to limits_config.retention_period, or raise that",
        )
    return fine("retention", shown, f"{kept / 86_400:.3g} d")


def _seconds(told: Any) -> float:
    """Read a duration as Loki shows it, such as 744h; 0 for 0s, which means for ever."""
    try:
        return parse_duration(str(told), name="retention_period", at_most=1e12)
    except BadInput:
        return 0.0


def _day(told: Any) -> date:
    """Read the day from which a period is; Loki shows `2024-01-01` as text or as a date."""
    if isinstance(told, datetime):
        return told.date()
    if isinstance(told, date):
        return told
    if isinstance(told, dict):
        return _day(told.get("Time", told.get("time")))
    try:
        return date.fromisoformat(str(told)[:10])
    except ValueError:
        return date.min
