"""What the routes of alerts are handed: the history, the actions, and whoever notifies people."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..alert_model import Channel, Deed, RuleKind
from ..alerts import silencing
from ..alerts.actions import Actions
from ..alerts.alertmanager_client import AlertmanagerClient
from ..alerts.backfill import Backfill
from ..alerts.book import RuleBook
from ..alerts.delivery import Deliverer
from ..alerts.deployments import Deployments
from ..alerts.endings import RuleFinder
from ..alerts.evaluator import Evaluator, Out
from ..alerts.explain import Evidence, explain
from ..alerts.history import History
from ..alerts.notifier import Notifier, more_severe
from ..alerts.outlets import ToAlertmanager, ToPeople
from ..alerts.retelling import retell
from ..alerts.watch import Watch
from ..episode_model import Episode, Maintenance
from ..errors import FeaturewatchError
from ..settings import Settings
from ..snapshots import Snapshots
from ..stores import Stores
from ..stores.state_maintenance import Windows
from ..stores.upstream import Upstream, target_of, targets_of
from ..times import NS

__all__ = ["Alerting", "start"]


@dataclass(frozen=True, slots=True)
class Alerting:
    """The parts of alerting that answer requests.

    `api` and `watch` are None where there is no Alertmanager, `notifier` where there is one.
    """

    history: History
    actions: Actions
    windows: Windows
    rules: RuleFinder
    channels: Callable[[], Awaitable[Mapping[str, Channel]]]
    api: AlertmanagerClient | None
    watch: Watch | None
    evaluator: Evaluator
    notifier: Notifier | None
    clock: Callable[[], int]

    async def explain(self, episode: Episode) -> dict[str, Any]:
        """Gather what is known of an alert, and say why somebody was or was not notified."""
        alert, now = episode.alert, self.clock()
        near = [] if self.notifier is None else [one for one in self.history.unsettled if one.alert.key == alert.key]
        found = await self.rules({alert.rule_id, *(one.alert.rule_id for one in near)})
        remarks = await self.history.alerts.remarks(alert.id)
        windows = await self.windows.listed({alert.key.feature}, ending_after_ns=now)
        told = Evidence(
            episode,
            found.get(alert.rule_id),
            now,
            remarks=remarks,
            maintenance=[window for window in windows if window.covers(alert.key, now)],
            deaf=[
                name
                for name, channel in (await self.channels()).items()
                if channel.severities and alert.severity not in channel.severities
            ],
            above=more_severe(alert, near, found),
        )
        return explain(told if self.api is None else await self._asked(self.api, told))

    async def add_window(self, window: Maintenance, deed: Deed) -> Maintenance:
        """Keep a maintenance window, silenced in Alertmanager first; raises as `silencing.put_maintenance`."""
        if self.api is not None:
            window = Maintenance(
                window.id, window.feature, window.environment, window.starts_ns, window.ends_ns, window.comment,
                window.created_by, await silencing.put_maintenance(self.api, window),
            )  # fmt: skip
        await self.windows.add(window, deed)
        return window

    async def end_window(self, window: Maintenance, deed: Deed) -> None:
        """End a maintenance window and its silence."""
        if self.api is not None and window.silence:
            await self.api.expire(window.silence)
        await self.windows.remove(window.id, deed)

    async def _asked(self, api: AlertmanagerClient, told: Evidence) -> Evidence:
        alert = told.episode.alert
        try:
            place = {"feature": alert.key.feature, "environment": alert.key.environment}
            listed = (await api.alerts(place)).alerts
            silences = await api.silences()
        except FeaturewatchError:
            return replace(told, reachable=False)
        return replace(
            told,
            reachable=True,
            seen=[seen for seen in listed if seen.signal.rule_id == alert.rule_id],
            silences=silences,
            inhibitors={
                seen.signal.fingerprint: seen.signal.annotations.get("title", seen.signal.rule_id) for seen in listed
            },
        )


async def start(
    running: AsyncExitStack,
    settings: Settings,
    stores: Stores,
    snapshots: Snapshots,
    book: RuleBook,
    deliverer: Deliverer,
    *,
    clock: Callable[[], int],
) -> Alerting:
    """Put alerting together and start what runs beside the requests; `running` ends it.

    Where there is an Alertmanager, it notifies people, and is asked what fires. Rules that no Prometheus or Loki is
    given are evaluated here, and told to it; where there is none, people are told from here.

    Raises:
        SettingsError: a file of certificate authorities cannot be read. Unavailable: the state cannot be read.
    """
    settle: list[Callable[[Sequence[Episode]], None]] = []

    def settled(episodes: Sequence[Episode]) -> None:
        for one in settle:
            one(episodes)

    history = History(
        stores.alerts,
        stores.metrics,
        book.find,
        snapshots.last,
        clock=clock,
        settled=settled,
        logs=stores.logs,
    )
    await history.load()
    snapshots.show_alerts(history.open_alerts)
    targets = targets_of(settings, "alertmanager_urls")
    api = AlertmanagerClient([Upstream(target) for target in targets], clock=clock) if targets else None
    actions = Actions(history, api, clock=clock)
    watch: Watch | None = None
    notifier: Notifier | None = None
    link = settings.public_url
    out: Out
    if api is not None:
        running.push_async_callback(api.close)
        backfill = None
        if settings.prometheus_url:
            prometheus = Upstream(target_of(settings, "prometheus"))
            running.push_async_callback(prometheus.close)
            backfill = Backfill(prometheus, history, partial(retell, rules=book.find, metrics=stores.metrics))
        watch = Watch(api, history, actions, backfill, clock=clock, interval_s=settings.alert_poll_interval)
        settle.append(watch.settle)
        await watch.start()
        running.push_async_callback(watch.stop)
        out = ToAlertmanager(api, clock=clock, link=link)
    else:

        async def maintenance(features: Collection[str]) -> Sequence[Maintenance]:
            return await stores.windows.listed(features, ending_after_ns=clock())

        notifier = Notifier(
            book.find, stores.channels.channels, maintenance, deliverer.send, stores.alerts.note, clock=clock, link=link
        )
        notifier.resume(await stores.alerts.deliveries([episode.alert.id for episode in history.unsettled]))
        running.push_async_callback(notifier.stop)
        people = ToPeople(history, notifier, actions, clock=clock)
        settle.append(people.settle)
        out = people
    elsewhere = evaluated_elsewhere(settings)
    deployments = Deployments(stores.rules, clock=clock)
    running.push_async_callback(deployments.close)
    evaluator = Evaluator(
        book.all, _environments(stores), stores.metrics, stores.logs, out,
        clock=clock, wanted=lambda rule: rule.kind not in elsewhere,
        evaluated=lambda revisions: deployments.tell(revisions, "evaluated"), interval_s=settings.evaluation_interval,
    )  # fmt: skip
    evaluator.resume(episode for episode in history.unsettled)
    await evaluator.start()
    running.push_async_callback(evaluator.stop)
    keeper = asyncio.create_task(_forget_the_old(stores, settings, clock), name="featurewatch-alert-retention")
    running.callback(keeper.cancel)
    return Alerting(
        history, actions, stores.windows, book.find, stores.channels.channels, api, watch, evaluator, notifier, clock
    )  # fmt: skip


def evaluated_elsewhere(settings: Settings) -> frozenset[RuleKind]:
    """Name the kinds of rules that are published to a system that evaluates them."""
    kinds: set[RuleKind] = set()
    if settings.prometheus_rules_dir is not None or settings.mimir_url:
        kinds |= {"metric", "slo"}
    if settings.loki_ruler:
        kinds.add("logs")
    return frozenset(kinds)


def _environments(stores: Stores) -> Callable[[], Awaitable[Mapping[str, Collection[str]]]]:
    async def read() -> Mapping[str, Collection[str]]:
        return {feature: record.environments for feature, record in (await stores.state.features()).items()}

    return read


async def _forget_the_old(stores: Stores, settings: Settings, clock: Callable[[], int]) -> None:
    while True:
        before = clock() - int(settings.alert_retention * NS)
        with suppress(FeaturewatchError):  # a full or locked disk, which writes tell of: the next hour
            await stores.alerts.sweep(before)
            await stores.windows.sweep(before)
        await asyncio.sleep(3600)
