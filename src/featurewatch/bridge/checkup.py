"""What the bridge finds out about itself in the background: for /readyz?verbose and /metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any, Final

from ..doctor.catalog import CHECKS
from ..doctor.examination import Wishes, examine
from ..doctor.findings import Report, as_data, sorted_by_need
from ..settings import Settings
from ..times import NS, format_instant
from .meters import Labelled, Told

__all__ = ["Checkup"]

CHEAP: Final = frozenset({"local", "upstreams", "exporters"})
"""What is examined by itself, over and over: neither apps are scraped, nor dashboards asked, nor alerts sent."""

FRESH_S: Final = 30.0
"""A report this young is shown as it is."""
_FIRST_S: Final = 60.0
_TOLD: Final = 5
_KEPT: Final = 100
"""Test alerts that are remembered."""

_log = logging.getLogger(__name__)


class Checkup:
    """Examines the installation at an interval, and when it is asked; nobody waits for it.

    Belongs to one event loop. It remembers which test alerts arrived, too.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._settings = settings
        self._interval_s = settings.doctor_interval
        self._clock = clock
        self._report: Report | None = None
        self._runs = 0
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._arrived: OrderedDict[str, int] = OrderedDict()

    async def start(self) -> None:
        """Begin to examine at the interval; the first time a minute after the start, when apps were scraped."""
        if self._interval_s:
            self._timer = asyncio.create_task(self._repeat(), name="featurewatch-checkup")

    async def stop(self) -> None:
        """Stop at once. Harmless when repeated."""
        for task in (self._timer, self._running):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._timer = self._running = None

    def arrived(self, tests: Collection[str]) -> None:
        """Take note of test alerts that a webhook brought; of the first time alone."""
        for test in tests:
            self._arrived.setdefault(test[:64], self._clock())
        while len(self._arrived) > _KEPT:
            self._arrived.popitem(last=False)

    def arrival(self, test: str) -> int | None:
        """Tell when a test alert arrived, nanoseconds since the epoch; None where it did not."""
        return self._arrived.get(test)

    def refresh(self) -> asyncio.Task[None]:
        """Let it examine now, unless it does already."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._examine(), name="featurewatch-examination")
        return self._running

    def shown(self) -> dict[str, Any]:
        """Return what was found last, and have it looked at again where that is old."""
        report = self._report
        if report is None or self._clock() / NS - report.ended_s > FRESH_S:
            self.refresh()
        if report is None:
            return {"state": "running", "findings": []}
        told = [as_data(finding) for finding in sorted_by_need(report.findings) if finding.severity != "ok"]
        counts = dict(report.counts)
        return {
            "state": "healthy" if report.healthy else "findings",
            "began": format_instant(report.began_ns),
            "counts": counts,
            "findings": told,
        }

    def readings(self) -> Iterator[Told]:
        """Yield what is shown on /metrics; every check has its numbers from the first run on."""
        name = "featurewatch_doctor"
        yield f"{name}_runs_total", "counter", "Times that the bridge examined the installation.", {(): self._runs}
        report = self._report
        if report is None:
            return
        help_ = "When the last examination ended, seconds since the epoch."
        yield f"{name}_last_run_timestamp_seconds", "gauge", help_, {(): report.ended_s}
        yield f"{name}_last_run_seconds", "gauge", "How long it took.", {(): report.seconds}
        found = Counter((finding.check, finding.severity) for finding in report.findings)
        values: Labelled = {
            (("check", check), ("severity", severity)): found[check, severity]
            for check in CHECKS
            for severity in ("error", "warning")
        }
        yield f"{name}_findings", "gauge", "What it found, by check and severity.", values

    def _tell(self, before: Report | None, now: Report) -> None:
        """Log the errors that were not there the time before, a few of them."""
        known = {(finding.check, finding.subject) for finding in (before.of("error") if before else ())}
        new = [finding for finding in now.of("error") if (finding.check, finding.subject) not in known]
        for finding in new[:_TOLD]:
            _log.warning("%s: %s: %s; %s", finding.check, finding.subject, finding.found, finding.todo)
        if len(new) > _TOLD:
            _log.warning("the examination found %d more errors: /readyz?verbose shows them", len(new) - _TOLD)

    async def _repeat(self) -> None:
        await asyncio.sleep(min(_FIRST_S, self._interval_s))
        while True:
            await asyncio.shield(self.refresh())
            await asyncio.sleep(self._interval_s)

    async def _examine(self) -> None:
        try:
            before, self._report = (
                self._report,
                await examine(self._settings, None, Wishes(CHEAP, scrape=False), clock=self._clock),
            )
            self._runs += 1
            self._tell(before, self._report)
        except Exception as error:
            # It looks at what others run: whatever they answer must not end it for good.
            _log.warning("the examination failed: %s: %s", type(error).__name__, error)
