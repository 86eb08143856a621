"""Puts the bridge together: the one place where its parts are made and handed to each other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from ..alerts.book import RuleBook
from ..alerts.channel_book import ChannelBook
from ..alerts.delivery import Deliverer
from ..alerts.publishing import Publishing, mail_server, secret_files, webhook_token
from ..errors import FeaturewatchError
from ..exporter.prices import estimate
from ..exporter.prometheus import render
from ..settings import Settings
from ..snapshots import Snapshots
from ..stores import Stores, open_stores
from ..stores.upstream import Upstream, target_of
from ..streams.hub import Hub
from ..streams.log_discovery import LogDiscovery
from ..streams.metric_poll import MetricPoll
from . import errors, openapi
from .alert_readings import alert_readings
from .alerting import start as start_alerting
from .auth import Authenticator
from .catalog import Catalog
from .checkup import Checkup
from .context import Bridge
from .feature_readings import feature_readings
from .flight import SingleFlight
from .intake import Intake
from .meters import MeterRequests, Meters, families
from .otlp_forward import Forwarder
from .readings import readings, upstreams
from .recent import Recent
from .recorder import Recorder
from .routes import (
    alerts,
    channels,
    console,
    doctor,
    export,
    features,
    figures,
    logs,
    maintenance,
    operations,
    receivers,
    recorded,
    rules,
    sessions,
    streams,
    webhooks,
)  # fmt: skip
from .security import Gate, LastResort, SecurityHeaders
from .throttle import Rates

__all__ = ["create_app"]

# Order matters where one path could be read as another: /logs/export before /logs/{log_id}.
PREFIXED: Final = (
    features, figures, export, logs, recorded, rules, alerts, channels, maintenance, webhooks, doctor, sessions,
    streams,
)  # fmt: skip
PLAIN: Final = (operations, receivers)

EXPOSED: Final = ("ETag", "Retry-After", "Content-Disposition", "X-Featurewatch-Environment")


def create_app(settings: Settings, *, stores: Stores | None = None, clock: Callable[[], int] = time.time_ns) -> FastAPI:
    """Make the bridge. It opens its stores when it starts and closes them when it stops.

    Args:
        stores: ones that are open already and stay the caller's to close.
        clock: nanoseconds since the epoch.

    Raises:
        SettingsError: the file of tokens cannot be read.
    """
    meters = Meters()
    authenticator = Authenticator.of(settings, clock=clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            authenticator.start()
            running.push_async_callback(authenticator.close)
            opened = stores or await open_stores(settings, clock=clock)
            if stores is None:
                running.push_async_callback(opened.close)
            bridge = await _start(running, settings, opened, authenticator, meters, clock)
            app.state.bridge = bridge
            try:
                yield
            finally:
                app.state.bridge = None

    app = FastAPI(
        title="featurewatch",
        lifespan=lifespan,
        openapi_url=f"{settings.api_prefix}/openapi.json",
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(MeterRequests, meters=meters),
            Middleware(SecurityHeaders),
            Middleware(Gate, settings=settings),
            *_cors(settings),
            Middleware(LastResort),
        ],
        exception_handlers={
            FeaturewatchError: errors.answer,
            HTTPException: errors.answer,
            RequestValidationError: errors.answer,
            Exception: errors.answer,
        },
    )
    for module in PREFIXED:
        app.include_router(module.router, prefix=settings.api_prefix)
    for module in PLAIN:
        app.include_router(module.router)
    app.router.routes.extend([*streams.sockets(settings), *console.routes(settings)])
    openapi.install(app)
    return app


async def _start(
    running: AsyncExitStack,
    settings: Settings,
    stores: Stores,
    authenticator: Authenticator,
    meters: Meters,
    clock: Callable[[], int],
) -> Bridge:
    """Start what runs beside the requests; `running` ends it in the opposite order."""
    snapshots = Snapshots(
        stores.metrics,
        stores.state,
        window_s=settings.metrics_window,
        clock=clock,
        default_environment=settings.environment,
    )
    book = RuleBook(stores.rules, stores.state, channels=stores.channels.channels, clock=clock)
    hub = Hub(
        stores.logs,
        stores.state,
        snapshots.directory,
        clock=clock,
        queue_bytes=settings.stream_queue_bytes,
        max_streams=settings.max_streams,
        max_features=settings.max_features,
    )
    await hub.start()
    running.push_async_callback(hub.stop)
    if settings.loki_url:
        discovery = LogDiscovery(stores.logs, hub)
        discovery.start()
        running.push_async_callback(discovery.stop)
    poll = MetricPoll(snapshots, stores.metrics, stores.state, hub, interval_s=settings.metrics_interval, clock=clock)
    await poll.start()
    running.push_async_callback(poll.stop)
    recent = Recent(stores.logs, hears_all=not settings.loki_url, clock=clock)
    running.callback(recent.close)
    recorder = stores.calls or Recorder(stores.metrics, _price, clock=clock)
    forwarder = None
    if stores.calls is not None and settings.otlp_forward_url:
        forwarder = Forwarder(Upstream(target_of(settings, "otlp_forward")))
        running.push_async_callback(forwarder.upstream.close)
    catalog = Catalog(stores.state, snapshots, max_features=settings.max_features)
    mail = partial(mail_server, settings)
    deliverer = Deliverer(secret_files(settings), mail=mail)
    running.push_async_callback(deliverer.close)
    channels = ChannelBook(
        stores.channels, secret_files(settings), deliverer, mail=mail, link=settings.public_url, clock=clock
    )
    alerting = await start_alerting(running, settings, stores, snapshots, book, deliverer, clock=clock)
    publishing = Publishing(settings, stores.rules, stores.state, stores.channels, clock=clock)
    book.listen(publishing.rules_changed)
    channels.listen(publishing.channels_changed)
    await publishing.start()
    running.push_async_callback(publishing.stop)
    checkup = Checkup(settings, clock=clock)
    await checkup.start()
    running.push_async_callback(checkup.stop)
    meters.show_from_loop(lambda: families(hub.stats.families()))
    meters.show_from_loop(lambda: families(checkup.readings()))
    meters.show_from_loop(lambda: families(readings(stores, poll)))
    meters.show_from_loop(lambda: families(authenticator.families()))
    meters.show_from_loop(lambda: upstreams(stores, forwarder))
    meters.show_from_loop(lambda: families(alert_readings(alerting)))
    meters.show_from_loop(lambda: families(feature_readings(poll, snapshots, alerting.history)))
    meters.show_from_loop(lambda: families(publishing.readings()))
    meters.show(lambda: render(recorder.snapshots(), {}))
    return Bridge(
        settings=settings,
        clock=clock,
        stores=stores,
        authenticator=authenticator,
        catalog=catalog,
        rules=book,
        hub=hub,
        snapshots=snapshots,
        intake=Intake(stores, catalog, recorder, snapshots, recent, meters, forwarder),
        meters=meters,
        flights=SingleFlight(),
        recent=recent,
        rates=Rates(
            ingest=settings.ingest_rate,
            query=settings.query_rate,
            streams=settings.max_streams,
            clock=clock,
            refused=lambda limit: meters.limited.labels(limit).inc(),
        ),
        alerting=alerting,
        channels=channels,
        publishing=publishing,
        webhook_token=webhook_token(settings),
        checkup=checkup,
    )


def _price(model: str, tokens: Mapping[str, int]) -> float | None:
    try:
        return estimate(model, tokens)
    except ValueError:
        return None


def _cors(settings: Settings) -> list[Middleware]:
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(settings.allowed_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Last-Event-ID"],
            allow_credentials=True,
            expose_headers=list(EXPOSED),
            max_age=600,
        )
    ]
