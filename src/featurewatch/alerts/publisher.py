"""Keeps what is evaluated equal to the rules: one publication at a time, few of them, each one watched until it works.

The first edit is published at once, those of the next 15 seconds together: a reload makes Prometheus drop notifications
for seconds. What could not be done is tried again, ever more seldom. Now and then everything is looked at, and what
somebody else changed is put right.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..alert_model import DeploymentState
from ..errors import FeaturewatchError
from .deployments import Deployments
from .routes import Route
from .rulers import Report, RuleGroup, RuleSource, RuleTarget, SeenGroup
from .upkeep import INTERVAL_S, Upkeep

__all__ = ["Publisher", "PublisherStats"]

_log = logging.getLogger(__name__)

SYNC_S: Final = 300.0
_WATCH_S: Final = (1.0, 1.0, *[2.0] * 8)
"""Pauses between looks: close within the interval of most rules, then wide."""
_WATCH_LATER_S: Final = 15.0


@dataclass(slots=True)
class PublisherStats:
    """What /metrics shows of a publisher; `waiting` 1: the last publication is not proven yet."""

    publications: int = 0
    failures: int = 0
    repairs: int = 0
    refused: int = 0
    waiting: int = 0
    rules: int = 0
    last_seconds: float = 0.0


class Publisher(Upkeep):
    """Publishes the groups of a source to a target.

    Args:
        routes: makes way for routes before rules that use them are live; raises nothing of its own.
        interval_s: between two publications, the first edit after a quiet time excepted.
        sync_s: between two looks at everything.
        monotonic: seconds; for tests.
    """

    def __init__(
        self,
        source: RuleSource,
        target: RuleTarget,
        deployments: Deployments,
        *,
        routes: Callable[[Collection[Route]], Awaitable[None]] | None = None,
        interval_s: float = INTERVAL_S,
        sync_s: float = SYNC_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(target, what="rules", interval_s=interval_s, sync_s=sync_s, monotonic=monotonic)
        self._rounds.add("watch", self.watch)
        self.stats = PublisherStats()
        self._source = source
        self._target = target
        self._deployments = deployments
        self._routes = routes
        self._versions: dict[str, str] = {}
        self._wanted: dict[str, RuleGroup] = {}
        self._worked: dict[str, RuleGroup] = {}
        """The last edition of each rule that was evaluated without an error."""
        self._instead: dict[str, RuleGroup | None] = {}
        """What is published in the place of editions that failed when they were evaluated."""
        self._blocked: set[str] = set()
        self._refused: dict[str, str] = {}
        self._watched: dict[str, tuple[int, str]] = {}
        """Rules that are loaded and not evaluated yet, each with the evaluation that failed, if one did."""
        self._looks = 0

    async def stop(self) -> None:
        """Stop and let go of the target. Harmless when repeated."""
        await self._rounds.stop()
        await self._deployments.close()
        await super().stop()

    @property
    def deployments(self) -> Mapping[DeploymentState, int]:
        """Count its rules by how far they have come."""
        return self._deployments.states

    async def publish(self, also: Collection[str] = ()) -> None:
        """Publish what changed, and `also` these rules."""
        started = self._now()
        versions = await self._source.versions()
        changed = {rule for rule, version in versions.items() if self._versions.get(rule) != version}
        translated = {group.id: group for group in await self._source.groups(changed)} if changed else {}
        gone = (self._versions.keys() - versions.keys()) | (changed & self._wanted.keys() - translated.keys())
        changed = {rule for rule, group in translated.items() if self._wanted.get(rule) != group}
        wanted = {rule: group for rule, group in self._wanted.items() if rule not in gone} | translated
        for rule in (*changed, *gone):
            self._instead.pop(rule, None)
        batch = {*changed, *gone, *also, *self._blocked}
        if batch or self.stats.waiting:
            await self._publish(wanted, batch, gone)
            self.stats.last_seconds = self._now() - started
        self._versions = dict(versions)

    async def _publish(self, wanted: dict[str, RuleGroup], batch: set[str], gone: Collection[str]) -> None:
        self.stats.publications += 1
        self._last = self._now()
        fresh = {rule: wanted[rule].revision for rule in batch if rule in wanted}
        known = self._deployments.known
        self._deployments.tell(
            {
                rule: revision
                for rule, revision in fresh.items()
                if (told := known(rule)) is None or told.revision != revision
            },
            "saved",
        )

        def progress(rules: Collection[str], state: DeploymentState) -> None:
            self._deployments.tell({rule: wanted[rule].revision for rule in rules if rule in wanted}, state)
            if state == "loaded":
                self._watched |= dict.fromkeys(rules, (0, ""))

        try:
            await self._open()
            if self._routes is not None:
                await self._routes({group.route for group in wanted.values() if group.route.channels})
            effective = {**wanted, **self._instead}
            report = await self._target.publish(
                {rule: group for rule, group in effective.items() if group is not None}, batch, progress
            )
        except FeaturewatchError as error:
            self._deployments.tell(
                {rule: revision for rule, revision in fresh.items() if rule not in self._instead},
                "saved",
                error.message,
            )
            raise
        self._wanted = wanted
        for rule in gone:
            self._worked.pop(rule, None)
            self._watched.pop(rule, None)
            self._refused.pop(rule, None)
            self._deployments.forget(rule)
        self._settle(report, batch)

    def _settle(self, report: Report, batch: Collection[str]) -> None:
        """Take note of what became of a publication."""
        for rule in batch:
            self._refused.pop(rule, None)
        self._refused |= report.refused
        self._blocked = set(report.blocked)
        failed = {**report.refused, **report.blocked}
        self._deployments.tell(self._revisions(failed), "failed", failed)
        self.stats.refused = len(self._refused) + len(self._blocked) + len(self._instead)
        self.stats.rules = len(self._wanted)
        for rule, reason in failed.items():
            self._watched.pop(rule, None)
            _log.warning("rule %s is not published: %s", rule, reason)
        if report.waiting:
            undone = [rule for rule in batch if rule not in failed and rule not in self._watched]
            self._deployments.tell(self._revisions(undone), "written", report.waiting)
            self.stats.waiting = 1
            self._failed(report.waiting)
            return
        self.stats.waiting = 0
        self._succeeded()
        if self._watched:
            self._looks = 0
            self._rounds.due("watch", _WATCH_S[0])

    async def watch(self) -> None:
        """Look whether rules that were loaded are evaluated, and without an error."""
        if not self._watched:
            return
        names = {rule: group.group.name for rule, group in self._wanted.items() if rule in self._watched}
        servers = await self._target.seen(names.values())
        healths = {rule: _health([server.get(name) for server in servers]) for rule, name in names.items()}
        works = [rule for rule, (health, _, _) in healths.items() if health == "ok"]
        self._worked |= {rule: self._wanted[rule] for rule in works}
        self._deployments.tell(self._revisions(works), "evaluated")
        for rule in works:
            del self._watched[rule]
        broken = {}
        for rule, (health, error, at) in healths.items():
            if health == "err":
                before = self._watched[rule][0]
                if before and at > before:
                    broken[rule] = error
                self._watched[rule] = (at, error)
        # Where nothing works, it is not the rules: a store that cannot be reached fails them all.
        if broken and (self._worked or len(self._wanted) == 1):
            await self._give_up(broken)
        elif broken:
            self._deployments.tell(self._revisions(broken), "loaded", broken)
        self._looks += 1
        if self._watched:
            self._rounds.due("watch", _WATCH_S[self._looks] if self._looks < len(_WATCH_S) else _WATCH_LATER_S)

    async def _give_up(self, broken: Mapping[str, str]) -> None:
        """Put the last edition that worked in the place of rules that fail when they are evaluated."""
        for rule, error in broken.items():
            del self._watched[rule]
            self._instead[rule] = self._worked.get(rule)
            _log.warning("rule %s is taken back: its evaluation failed: %s", rule, error)
        await self.publish(broken)
        self._watched = {rule: told for rule, told in self._watched.items() if rule not in broken}
        failed = {rule: f"its evaluation failed: {error}" for rule, error in broken.items()}
        self._deployments.tell(self._revisions(failed), "failed", failed)

    async def sync(self) -> None:
        """Look at everything, and put right what somebody else changed."""
        self._rounds.due("sync", self._sync_s)
        if not self._opened:
            return
        drift = await self._target.drifted()
        if drift:
            _log.warning("%s: %s; they are written anew", self._target.name, drift)
            self.stats.repairs += 1
            await self.publish(self._wanted.keys())
            return
        servers = await self._target.seen()
        missing = [
            rule
            for rule, group in self._published()
            if rule not in self._refused and any(group.group.name not in server for server in servers)
        ]
        if missing and not self.stats.waiting:
            _log.warning("%s lacks %d of our rules: it is told to load them again", self._target.name, len(missing))
            self.stats.repairs += 1
        await self.publish(missing)
        self._judge(servers)

    def _judge(self, servers: Sequence[Mapping[str, SeenGroup]]) -> None:
        """Tell of rules that worked and fail now, and of those that work again."""
        for rule, group in self._published():
            told = self._deployments.known(rule)
            if rule in self._watched or rule in self._instead or rule in self._refused or told is None:
                continue
            health, error, _ = _health([server.get(group.group.name) for server in servers])
            if told.state in ("evaluated", "failed") and health == "err":
                self._deployments.tell({rule: group.revision}, "failed", f"its evaluation failed: {error}")
            elif told.state in ("evaluated", "failed") and health == "ok":
                self._deployments.tell({rule: group.revision}, "evaluated")

    def _published(self) -> Iterator[tuple[str, RuleGroup]]:
        for rule, group in self._wanted.items():
            edition = self._instead.get(rule, group)
            if edition is not None:
                yield rule, edition

    def _revisions(self, rules: Collection[str]) -> dict[str, int]:
        return {rule: self._wanted[rule].revision for rule in rules if rule in self._wanted}

    def _failed(self, message: str) -> None:
        super()._failed(message)
        self.stats.failures += 1
        if self._watched:
            self._rounds.due("watch", _WATCH_LATER_S)


def _health(shown: Sequence[SeenGroup | None]) -> tuple[str, str, int]:
    """Tell how a group does on all servers: ok, err or unknown, the error, and when it was last evaluated."""
    rules = [rule for group in shown for rule in (group.rules if group is not None else ())]
    for rule in rules:
        if rule.health == "err":
            return "err", rule.error, rule.evaluated_ns
    whole = all(group is not None for group in shown) and bool(rules)
    ok = whole and all(rule.health == "ok" and rule.evaluated_ns for rule in rules)
    return "ok" if ok else "unknown", "", 0
