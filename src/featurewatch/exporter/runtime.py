"""What runs behind the features of a process: their registry, the configuration, and the threads that send."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from ..errors import SettingsError
from ..model import FeatureKey
from . import config as configuration
from .aggregate import Aggregate
from .config import Config
from .declaration import Declaration
from .drops import Drops
from .forks import Forks
from .prices import Estimator
from .snapshot import OTHER, Snapshot
from .worker import THREAD_PREFIX
from .workers import Workers

if TYPE_CHECKING:
    from .call import Call
    from .events import Reporter
    from .feature import Feature
    from .otlp import Pusher
    from .shipper import Shipper


class Runtime:
    """Joins features to what sends their figures and lines. One serves the process; nothing starts before use."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._lock = threading.RLock()
        self._config: Config | None = None
        self._replaced: list[Aggregate] = []
        self._hooked = False
        self._forked = False
        self._dormant = False
        self.features: dict[str, Feature] = {}
        self._other: Aggregate | None = None
        self._overflowing: WeakSet[Feature] = WeakSet()
        self.drops = Drops()
        self._workers = Workers(self.drops)
        self._forks = Forks(self._at_exit)
        self.estimator = Estimator(self.drops, on_start=self._forks.guard)
        self.found: set[str] = set()
        self.recorder: Callable[[Call], None] | None = None
        self.pusher: Pusher | Reporter | None = None
        self.shipper: Shipper | None = None
        self.instance = _new_instance()
        self.in_vain_until = -1e9

    @property
    def config(self) -> Config:
        """The configuration: `configure`'s, else what the environment says at first use."""
        if self._config is None:
            self.configure({})
        assert self._config is not None
        return self._config

    def configure(self, given: Mapping[str, Any]) -> None:
        """Replace the configuration, and what sends where its destination changed; the old one drains aside."""
        config = configuration.read(given, self._environ, self.drops)
        if self.recorder is not None:
            config = Config(environment=config.environment)
        with self._lock:
            before, self._config = self._config, config
            self._hook()
            for feature in self.features.values():
                feature._aggregate = self._aggregate_for(feature._declaration, feature._aggregate)
            for feature in self._overflowing:
                feature._aggregate = self._other = self._aggregate_for(_OTHERS, self._other)
            self._join()
            if before is None or _sending(before) != _sending(config):
                self._send(config)

    def declare(self, feature: Feature, declaration: Declaration) -> Feature:
        """Register a feature, or return the one that was declared alike before.

        Raises:
            SettingsError: it was declared differently; the message names what differs.
        """
        with self._lock:
            known = self.features.get(declaration.id)
            if known is not None and declaration.id in self.found:
                self.found.discard(declaration.id)
                known._declaration = declaration
                if known._aggregate is not None:
                    known._aggregate.declare(declaration)
                return known
            if known is not None:
                _require_same(known._declaration, declaration)
                return known
            feature._declaration = declaration
            if len(self.features) >= self.config.max_features or (self._other and declaration.id == OTHER):
                self._overflow(feature)
                return feature
            feature._aggregate = self._aggregate_for(declaration, None)
            self.features[declaration.id] = feature
            if feature._aggregate is not None:
                self._join()
            if self.pusher is not None:
                self.pusher.worker.wake()
            return feature

    def find(self, id: str, new: Callable[[str], Feature]) -> Feature:
        """Return a feature, declared by `new` where the app has not (yet) declared it.

        The app's own declaration, should it come later, replaces that one.

        Raises:
            SettingsError: the id cannot be one.
        """
        with self._lock:
            known = self.features.get(id)
            if known is None:
                known = new(id)
                if id in self.features:
                    self.found.add(id)
            return known

    def fold(self) -> None:
        """Add every call that ended to its feature's totals, and so tell it to who observes them."""
        with self._lock:
            aggregates = self._aggregates()
        for aggregate in aggregates:
            aggregate.fold_all()

    def snapshots(self) -> list[Snapshot]:
        """Copy every feature's totals, and those that a replaced environment still has."""
        return [aggregate.snapshot() for aggregate in self._shown()]

    def exposed(self) -> tuple[list[Snapshot], Mapping[tuple[str, str, FeatureKey], int]]:
        """Return what a scrape shows: every feature's totals, those of the other workers included, and the drops."""
        with self._lock:
            self._join()
        return self._workers.exposed(self._shown())

    def check_prefork(self) -> None:
        """Tell once where a scrape of this process would show one worker of several."""
        if self.config.multiprocess_dir or self.config.disabled:
            return
        from . import prefork  # needed where scrapes are served

        if seen := prefork.reason(forked=self._forked):
            self.drops.tell("prefork", prefork.ADVICE, seen)

    @property
    def joined(self) -> bool:
        """Whether scrapes show the figures of other processes too, which takes reading their files."""
        return bool(self.config.multiprocess_dir)

    def flush(self, timeout: float) -> bool:
        """Send everything recorded until now; False where that took longer than `timeout` seconds."""
        deadline = time.monotonic() + timeout
        priced = self.estimator.worker.flush(deadline) if self.estimator.waiting else True
        pusher, shipper = self.pusher, self.shipper
        # Both at a time: where lines wait for a destination that is away, metrics do not.
        asked = pusher.worker.ask() if pusher is not None and self.features else None
        shipped = shipper is None or shipper.flush(deadline)
        pushed = pusher is None or asked is None or pusher.worker.wait(asked, deadline)
        return priced and shipped and pushed

    def shutdown(self, timeout: float) -> bool:
        """Flush and end the threads that send. Calls are still counted; only a further configure() sends again."""
        deadline = time.monotonic() + timeout
        done = self.flush(timeout)
        with self._lock:
            pusher, self.pusher = self.pusher, None
            shipper, self.shipper = self.shipper, None
        if pusher is not None:
            pusher.stop(deadline)
        if shipper is not None:
            shipper.stop(deadline)
        return done

    def forget(self) -> None:
        """Go back to before the first use, for tests: no features, no configuration, nothing counted or told."""
        self.shutdown(0)
        with self._lock:
            self._config = None
            self.features.clear()
            self.found.clear()
            self._replaced.clear()
            self._other = None
            self._overflowing.clear()
            self._workers.reset()
            self.drops.reset()
            estimator, self.estimator = self.estimator, Estimator(self.drops, on_start=self._forks.guard)
        estimator.worker.stop(time.monotonic(), flush=False)

    def estimate(self, aggregate: Aggregate, model: str, tokens: Sequence[int]) -> None:
        """Have a call's cost estimated, unless it is told to a bridge, which estimates it."""
        if aggregate.observe is None:
            self.estimator.submit(aggregate, model, tokens)

    def _aggregate_for(self, declaration: Declaration, before: Aggregate | None) -> Aggregate | None:
        config = self.config
        if config.disabled and self.recorder is None:
            return None
        key = FeatureKey(declaration.id, config.environment)
        if before is not None and before.key == key:
            return before
        if before is not None:
            self._replaced.append(before)
            if not before.touched():
                before.hide()
        for aggregate in self._replaced:
            if aggregate.key == key:
                self._replaced.remove(aggregate)
                break
        else:
            aggregate = Aggregate(key, declaration, self.drops, self.estimate)
            aggregate.observe = self._observer()
        self._workers.add(aggregate)
        return aggregate

    def _overflow(self, feature: Feature) -> None:
        """Let a feature that is one too many count for OTHER."""
        self.drops.count("calls", "feature_limit")
        self.drops.tell(
            "feature limit", "%d features are declared, and %r is one too many: its calls count for the feature %r; "
            "declare a feature for each use of a model, not for each user or request, or raise "
            "FEATUREWATCH_MAX_FEATURES", len(self.features), feature.id, OTHER,
        )  # fmt: skip
        named = self.features.get(OTHER)
        if named is not None:
            feature._aggregate = named._aggregate
            return
        self._other = self._other or self._aggregate_for(_OTHERS, None)
        feature._aggregate = self._other
        self._overflowing.add(feature)

    def _join(self) -> None:
        """Share this process's totals with the other workers, if they are to share."""
        if self._dormant:
            self._wake()
        config = self.config
        path = "" if config.disabled else config.multiprocess_dir
        self._workers.join(path, self._aggregates(), self._on_start)

    def _send(self, config: Config) -> None:
        """Build what sends by the configuration; the threads start when there is something to send."""
        old_pusher, old_shipper = self.pusher, self.shipper
        self.drops.forget(f"push {config.metrics_url}", f"ship {config.logs_url}", f"report {config.endpoint}")
        self.pusher, self.shipper = self._new_pusher(config), self._new_shipper(config)
        for aggregate in self._aggregates():
            aggregate.observe = self._observer()
        if self.pusher is not None and self.features:
            self.pusher.worker.wake()
        if self.shipper is not None:
            self.shipper.resume()
        if old_pusher is None and old_shipper is None:
            return

        def drain() -> None:
            deadline = time.monotonic() + config.exit_timeout
            if old_shipper is not None:
                old_shipper.stop(deadline)
            if old_pusher is not None:
                old_pusher.stop(deadline)

        threading.Thread(target=drain, name=f"{THREAD_PREFIX}drain", daemon=True).start()

    def _observer(self) -> Callable[[Call], None] | None:
        """Return what is told of each call that ended: a test's recorder, or what sends calls one by one."""
        return self.recorder or (None if self.pusher is None else self.pusher.observe)

    def _new_pusher(self, config: Config) -> Pusher | Reporter | None:
        if config.disabled or not config.metrics_url:
            return None
        if config.mode == "events":
            from .events import Reporter

            return Reporter(self, config, on_start=self._on_start)
        from .otlp import Pusher

        return Pusher(self, config, on_start=self._on_start)

    def _new_shipper(self, config: Config) -> Shipper | None:
        if config.disabled or not config.logs_url:
            return None
        from .shipper import Shipper

        return Shipper(config, self.drops, on_start=self._on_start)

    def _hook(self) -> None:
        if self._hooked:
            return
        self._hooked = True
        atexit.register(self._at_exit)
        self._forks.hook(self._after_fork)

    def _on_start(self) -> None:
        """See to the end of a process that ends without running what atexit registered, as multiprocessing's do."""
        self._forks.guard()
        process = sys.modules.get("multiprocessing.process")
        if process is not None:
            from multiprocessing.util import Finalize, register_after_fork

            def finalize(runtime: Runtime) -> None:
                if process.parent_process() is not None and not runtime._dormant:
                    Finalize(None, runtime._at_exit, exitpriority=0)

            finalize(self)
            # A spawned child imports the main module before it knows its parent, and forgets what was registered.
            register_after_fork(self, finalize)

    def _at_exit(self) -> None:
        """Count the calls that the end of the process cuts off, cancelled unless told otherwise; send what is left."""
        for aggregate in self._aggregates():
            for call in list(aggregate.running):
                if call._outcome is None:
                    call.cancel()
                call._end()
        waited = time.monotonic() < self.in_vain_until  # at its server's end
        self.shutdown(0 if waited else self.config.exit_timeout)
        self.estimator.worker.stop(time.monotonic(), flush=False)

    def _after_fork(self) -> None:
        """Make a forked child a process of its own: its parent's counts, lines and threads stay the parent's.

        Locks are made anew, since a thread that does not exist here may hold them. The threads start again at the
        child's first call or line, not before: a child that only computes sends nothing.
        """
        self._lock = threading.RLock()
        self._forked = self._dormant = True
        self._workers.reset()
        self.drops.reset()
        self.instance = _new_instance()
        self.estimator = Estimator(self.drops, on_start=self._forks.guard)
        for aggregate in self._aggregates():
            aggregate.reset()
        if self._config is None:
            return
        if self.shipper is not None:
            self.shipper.abandon()
            self.shipper = self._new_shipper(self._config)
        self.pusher = None if self.pusher is None else self._new_pusher(self._config)
        for aggregate in self._aggregates():
            aggregate.on_begin = self._join
            aggregate.observe = self._observer()

    def _wake(self) -> None:
        """Start in a forked child what its parent did."""
        self._dormant = False
        for aggregate in self._aggregates():
            aggregate.on_begin = None
        pusher = self.pusher
        if pusher is not None:
            pusher.worker.wake()

    def _aggregates(self) -> list[Aggregate]:
        current = (feature._aggregate for feature in self.features.values())
        return [aggregate for aggregate in (*current, self._other, *self._replaced) if aggregate is not None]

    def _shown(self) -> list[Aggregate]:
        """List what is exported: of the environments that were replaced only what counted something."""
        with self._lock:
            untouched = {id(aggregate) for aggregate in self._replaced if not aggregate.touched()}
            return [aggregate for aggregate in self._aggregates() if id(aggregate) not in untouched]


def _new_instance() -> str:
    """Make a service.instance.id: random, as OpenTelemetry advises, so that no two processes share their series."""
    return os.urandom(16).hex()


def _sending(config: Config) -> tuple[object, ...]:
    return (
        config.metrics_url, config.logs_url, config.token, config.loki_tenant, config.service_name,
        config.push_interval, config.log_queue_bytes, config.disabled, config.mode, config.api_prefix,
        config.spool_dir, config.spool_bytes, config.tls_ca_file, config.tls_verify, config.otel_logs,
        tuple(config.headers(config.logs_url).items()), config.headers(config.metrics_url).get("Authorization"),
    )  # fmt: skip


def _require_same(known: Declaration, again: Declaration) -> None:
    differing = [
        f"{name} was {before!r}, is {after!r}"
        for name in Declaration.__slots__
        if (before := getattr(known, name)) != (after := getattr(again, name))
    ]
    if differing:
        raise SettingsError(
            f"feature {known.id!r} is already declared differently ({'; '.join(differing)}): "
            "declare it once and import it, or make the declarations alike"
        )


_OTHERS: Final = Declaration(OTHER, "Other features")

RUNTIME: Final = Runtime()
