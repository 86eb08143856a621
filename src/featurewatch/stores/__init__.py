"""Where metrics, logs and state are kept. `open_stores` alone chooses what keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .alert_base import AuditLog, RuleStore
from .base import LogStore, MetricStore

if TYPE_CHECKING:
    from ..settings import Settings
    from .call_totals import CallTotals
    from .state import State
    from .state_alerts import Alerts
    from .state_channels import ChannelStore
    from .state_maintenance import Windows

__all__ = ["Stores", "open_stores"]


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of a bridge, opened together and closed together.

    Attributes:
        calls: what counts calls told one by one, where the metric store is read only.
    """

    logs: LogStore
    metrics: MetricStore
    state: State
    rules: RuleStore
    channels: ChannelStore
    audit: AuditLog
    alerts: Alerts
    windows: Windows
    calls: CallTotals | None = None
    _opened: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False, compare=False)

    async def close(self) -> None:
        """Close what was opened, the last first. Harmless when repeated."""
        await self._opened.aclose()


async def open_stores(settings: Settings, *, clock: Callable[[], int] = time.time_ns) -> Stores:
    """Open the stores that the settings choose; what was opened is closed again where one of them fails.

    Raises:
        SettingsError: a certificate authority of an upstream cannot be read.
        Unavailable: a store cannot be opened; the message says why and what to do. StoreLocked where another
            bridge uses the same DATA_DIR.
    """
    # Imported here, so that a command that opens no store does not wait for SQLAlchemy.
    from sqlalchemy import URL

    from .lock import DirectoryLock
    from .state import State
    from .state_alerts import Alerts
    from .state_audit import Audit
    from .state_channels import ChannelStore
    from .state_maintenance import Windows
    from .state_rules import Rules

    folder = settings.data_dir
    async with AsyncExitStack() as opened:
        opened.callback(DirectoryLock.acquire(folder, clock=clock).release)
        state = await State.open(
            settings.database_url or URL.create("sqlite", database=str(folder / "state.db")), clock=clock
        )
        opened.push_async_callback(state.close)
        metrics, calls = await _open_metrics(settings, opened, clock)
        logs = await _open_logs(settings, opened, clock)
        return Stores(
            logs,
            metrics,
            state,
            Rules(state.database),
            ChannelStore(state.database),
            Audit(state.database, clock=clock),
            Alerts(state, clock=clock),
            Windows(state.database),
            calls,
            opened.pop_all(),
        )


async def _open_logs(settings: Settings, opened: AsyncExitStack, clock: Callable[[], int]) -> LogStore:
    if not settings.loki_url:
        from .embedded_logs import EmbeddedLogs

        embedded = await EmbeddedLogs.open(
            settings.data_dir / "logs.db",
            retention_s=settings.log_retention,
            max_bytes=settings.log_max_bytes,
            queue_bytes=settings.log_queue_bytes,
            clock=clock,
        )
        opened.push_async_callback(embedded.close)
        return embedded

    from .loki import LokiStore
    from .upstream import Upstream, target_of

    store = await LokiStore.open(
        Upstream(target_of(settings, "loki")),
        settings.data_dir,
        environment=settings.environment,
        lookback_s=settings.log_retention,
        queue_bytes=settings.log_queue_bytes,
        journal_bytes=settings.arrivals_max_bytes,
        clock=clock,
    )
    opened.push_async_callback(store.close)
    return store


async def _open_metrics(
    settings: Settings, opened: AsyncExitStack, clock: Callable[[], int]
) -> tuple[MetricStore, CallTotals | None]:
    """Open the metric store, and where it is read only what counts calls instead."""
    from ..exporter.prices import estimate

    if not settings.prometheus_url:
        from .embedded_metrics import EmbeddedMetrics

        embedded = await EmbeddedMetrics.open(
            settings.data_dir / "metrics.db",
            uptime_threshold=settings.uptime_threshold,
            retention_s=settings.metric_retention,
            clock=clock,
            price=estimate,
        )
        opened.push_async_callback(embedded.close)
        return embedded, None

    from .call_totals import CallTotals
    from .prometheus import PrometheusStore
    from .upstream import Upstream, target_of

    calls = await CallTotals.open(settings.data_dir / "calls.db", price=estimate, clock=clock)
    opened.push_async_callback(calls.close)
    store = PrometheusStore(
        Upstream(target_of(settings, "prometheus")),
        uptime_threshold=settings.uptime_threshold,
        matchers=dict(pair.split("=", 1) for pair in settings.prometheus_matchers),
        recorded=settings.prometheus_recorded,
        clock=clock,
    )
    opened.push_async_callback(store.close)
    return store, calls
