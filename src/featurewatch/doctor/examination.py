"""One examination: asks everything that the settings name, and lets the checks judge it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import FeaturewatchError
from ..settings import Settings
from ..stores.upstream import Target, Upstream, target_of, targets_of
from . import alertmanager, bridge, dashboards, exporters, loki, prometheus, scrapes, targets
from .database import examine_database
from .findings import Finding, Report, broken, left_out
from .local import examine_local
from .queries import Asked, LokiQueries, PrometheusQueries
from .receivers import examine_mimir, examine_otlp
from .rules import asked_of, judge_answers, judge_health, judge_recorded, records_of, rules_of
from .webhook import examine_webhook

__all__ = ["PARTS", "Wishes", "examine"]

_log = logging.getLogger(__name__)

MOST_RULES: Final = 2000
"""Rules of a kind whose queries are run; whether Prometheus evaluates them is asked of all."""

PARTS: Final = ("local", "bridge", "upstreams", "exporters", "rules", "dashboards", "webhook")
"""What can be examined by itself."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be examined.

    Attributes:
        parts: of PARTS.
        scrape: whether apps are scraped from here, besides what Prometheus knows of them.
        dashboards: the folder of their JSON; None: those that came with featurewatch.
        webhook_s: how long the test alert may take.
    """

    parts: frozenset[str] = frozenset(PARTS)
    scrape: bool = True
    dashboards: Path | None = None
    webhook_s: float = 20.0


async def examine(
    settings: Settings,
    line: bridge.BridgeLine | None,
    wishes: Wishes,
    *,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], int] = time.time_ns,
) -> Report:
    """Examine one installation by its settings; never raises for what is found.

    Args:
        line: the way to the bridge; None where it need not be asked.
        environ: variables, of which those that nothing reads are told.
    """
    began_ns, began = clock(), time.perf_counter()
    async with AsyncExitStack() as opened:
        found = await _Run(settings, line, wishes, environ, clock, opened).all()
    return Report(tuple(found), began_ns, time.perf_counter() - began)


@dataclass(slots=True)
class _Run:
    """What one run is asked, has open and found out."""

    settings: Settings
    line: bridge.BridgeLine | None
    wishes: Wishes
    environ: Mapping[str, str]
    clock: Callable[[], int]
    opened: AsyncExitStack
    broken: list[Finding] = field(default_factory=list)

    async def all(self) -> list[Finding]:
        parts, settings = self.wishes.parts, self.settings
        steps: dict[str, Awaitable[list[Finding]]] = {}
        if "local" in parts:
            steps["this machine"] = asyncio.to_thread(examine_local, settings, self.environ, self.clock())
        if "bridge" in parts and self.line is not None:
            steps["the bridge"] = self._bridge(self.line)
        if parts & {"upstreams", "exporters", "rules", "dashboards"}:
            steps["Prometheus"] = self._metrics()
        if settings.loki_url and "upstreams" in parts:
            steps["Loki"] = self._loki()
        if settings.alertmanager_urls and parts & {"upstreams", "webhook"}:
            steps["Alertmanager"] = self._alertmanagers()
        if "upstreams" in parts:
            steps["receivers"] = self._receivers()
            steps["PostgreSQL"] = examine_database(settings.database_url, clock=self.clock)
        told = await asyncio.gather(*(_guarded(name, step) for name, step in steps.items()))
        return [finding for findings in told for finding in findings] + self.broken

    async def _bridge(self, line: bridge.BridgeLine) -> list[Finding]:
        return bridge.judge(await bridge.gather(line, clock=self.clock))

    async def _metrics(self) -> list[Finding]:
        """Look at the Prometheus that is asked, and at those that evaluate rules."""
        settings, parts = self.settings, self.wishes.parts
        queried = self._open(target_of(settings, "prometheus")) if settings.prometheus_url else None
        asked = {} if queried is None else {settings.prometheus_url: queried}
        for target in targets_of(settings, "prometheus_ruler_urls"):
            if target.url not in asked and (upstream := self._open(target)) is not None:
                asked[target.url] = upstream
        rulers = set(settings.prometheus_ruler_urls or (settings.prometheus_url,))
        folder = settings.prometheus_rules_dir
        written = None if folder is None else await asyncio.to_thread(prometheus.written, folder)
        facts = await asyncio.gather(*(prometheus.gather(each, clock=self.clock) for each in asked.values()))
        found: list[Finding] = []
        for url, each in zip(asked, facts, strict=True):
            need = prometheus.Need(
                url == settings.prometheus_url, folder is not None and url in rulers, settings.alertmanager_urls
            )
            if "upstreams" in parts:
                found += prometheus.judge(each, need, written if need.rules else None)
            if "rules" in parts and each.groups is not None:
                found += judge_health(each.shown, each.groups)
        if queried is not None:
            its = facts[list(asked).index(settings.prometheus_url)]
            if its.answer:
                # Thanos shows no rules: those of whoever evaluates them are then asked of it.
                known = next((each.groups for each in (its, *facts) if each.groups), its.groups)
                found += await self._series(queried, its.shown, known)
        elif "dashboards" in parts:
            found.append(left_out("dashboard", "dashboards", "no Prometheus is set, which they would ask"))
        return found

    async def _series(
        self, upstream: Upstream, shown: str, groups: Sequence[Mapping[str, Any]] | None
    ) -> list[Finding]:
        """Look at what the Prometheus that is asked has: the apps' series, and the answers to all queries."""
        parts, settings = self.wishes.parts, self.settings
        found: list[Finding] = []
        apps = targets.ExporterFacts()
        if parts & {"exporters", "dashboards"}:
            matchers = dict(pair.split("=", 1) for pair in settings.prometheus_matchers)
            apps = await targets.gather(upstream, matchers)
        if "exporters" in parts:
            found += exporters.judge(apps)
            if self.wishes.scrape:
                found += await self._scrape(exporters.exporters_of(apps))
        runner = PrometheusQueries(upstream, records_of(groups or ()), await self._declared())
        if "rules" in parts and groups is None:
            found.append(left_out("rule", shown, "it does not show its rules"))
        elif "rules" in parts and groups is not None:
            found += judge_recorded(shown, groups, settings.uptime_threshold)
            healthy = [rule for rule in rules_of(groups) if rule.health != "err"]
            for check in ("rule", "recording-rule"):
                asked = [one for one in asked_of(healthy) if one.source == check]
                found += judge_answers(check, await runner.run(asked[:MOST_RULES]))
                if (left := len(asked) - MOST_RULES) > 0:
                    found.append(left_out(check, shown, f"the queries of {left} more were not run"))
        if "dashboards" in parts:
            found += await self._dashboards(runner, exporters.slowest_scrape_s(apps))
        return found

    async def _dashboards(self, runner: PrometheusQueries, scrape_s: float) -> list[Finding]:
        asked, found = await asyncio.to_thread(dashboards.read, self.wishes.dashboards, scrape_s)
        answered = await runner.run([one for one in asked if one.source == "prometheus"])
        logs = [one for one in asked if one.source == "loki"]
        if logs and self.settings.loki_url and (upstream := self._open(target_of(self.settings, "loki"))) is not None:
            answered += await LokiQueries(upstream).run(logs)
        elif logs:
            found.append(left_out("dashboard", "dashboards", f"{len(logs)} queries ask Loki, and no LOKI_URL is set"))
        if others := [one for one in asked if one.source not in ("prometheus", "loki")]:
            found.append(left_out("dashboard", _kinds(others), f"{len(others)} queries ask other datasources"))
        return found + judge_answers("dashboard", answered)

    async def _scrape(self, apps: list[targets.Scraped]) -> list[Finding]:
        headers = {}
        if self.line is not None:
            headers = {urlsplit(self.line.upstream.target.bare).netloc: self.line.headers}
        live = [target for target in apps if target.up]
        return scrapes.judge(await scrapes.gather(live, headers), max(0, len(live) - scrapes.MOST_TARGETS))

    async def _declared(self) -> frozenset[str] | None:
        """Name what the bridge exports, None where it does not show it."""
        if self.line is None:
            return None
        got = await self.line.get("/metrics")
        if not isinstance(got.data, str):
            return None
        return frozenset(line.split(" ")[2] for line in got.data.splitlines() if line.startswith("# TYPE "))

    async def _loki(self) -> list[Finding]:
        upstream = self._open(target_of(self.settings, "loki"))
        if upstream is None:
            return []
        facts = await loki.gather(upstream, clock=self.clock)
        return loki.judge(facts, tenant=self.settings.loki_tenant, lookback_s=self.settings.log_retention)

    async def _receivers(self) -> list[Finding]:
        found: list[Finding] = []
        for name, examine in (("otlp_forward", examine_otlp), ("mimir", examine_mimir)):
            if getattr(self.settings, f"{name}_url"):
                upstream = self._open(target_of(self.settings, name))
                found += [await examine(upstream)] if upstream is not None else []
        return found

    async def _alertmanagers(self) -> list[Finding]:
        settings, parts = self.settings, self.wishes.parts
        opened = [self._open(target) for target in targets_of(settings, "alertmanager_urls")]
        upstreams = [upstream for upstream in opened if upstream is not None]
        facts = await asyncio.gather(*(alertmanager.gather(each, clock=self.clock) for each in upstreams))
        found: list[Finding] = []
        if "upstreams" in parts:
            for each in facts:
                found += alertmanager.judge(each, file=settings.alertmanager_config, address=settings.webhook_address)
        if "webhook" in parts and self.line is not None:
            found += await examine_webhook(
                list(zip(upstreams, facts, strict=True)),
                self.line,
                address=settings.webhook_address,
                within_s=self.wishes.webhook_s,
            )
        return found

    def _open(self, target: Target) -> Upstream | None:
        """Make the way to an upstream; None, and a finding, where its settings do not allow it."""
        try:
            upstream = Upstream(target)
        except FeaturewatchError as error:
            self.broken.append(broken("reachable", target.shown, error.message, "correct the setting that is named"))
            return None
        self.opened.push_async_callback(upstream.close)
        return upstream


async def _guarded(name: str, step: Awaitable[list[Finding]]) -> list[Finding]:
    """Let one step's own mistake, over an answer that nobody thought of, not hide what the others find."""
    try:
        return await step
    except Exception as error:
        _log.debug("the checks of %s failed", name, exc_info=True)
        said = f"its checks failed: {type(error).__name__}: {error}"
        return [broken("doctor", name, said, "report it with these words; the other checks went on")]


def _kinds(asked: list[Asked]) -> str:
    return ", ".join(sorted({one.source or "no datasource" for one in asked}))
