"""Finished calls sent one by one to a bridge, which counts them: what mode="events" does instead of pushing totals."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..families import TOKEN_KINDS
from ..ids import new_id
from ..model import FeatureKey
from ..times import format_instant
from . import tls
from .aggregate import LABEL_LENGTH
from .answers import Verdict, by_status, one_line
from .call import Call
from .config import Config
from .drops import Drops
from .sender import Pace
from .worker import LOADING, Pause, Worker, silence

if TYPE_CHECKING:
    import httpx

BATCH_CALLS: Final = 500
"""Calls in one request; some 100 KB before compression."""

QUEUE_CALLS: Final = 20_000
"""Calls that may wait to be sent; further ones are dropped and counted."""


class Host(Protocol):
    """What a reporter needs of the runtime."""

    drops: Drops

    def fold(self) -> None: ...


class Reporter:
    """Takes finished calls and sends them in batches on a thread of its own.

    Each call has an id, kept when its batch is sent again, so that the bridge counts it once. The bridge keeps none of
    a batch in which something is wrong, so it is halved until the call alone is left, which is dropped and counted.
    Where the settings are wrong, calls are kept and sent again, as lines are.
    """

    def __init__(
        self,
        host: Host,
        config: Config,
        *,
        on_start: Callable[[], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._host = host
        self._config = config
        self._pace = Pace(jitter)
        self._waiting: deque[tuple[FeatureKey, dict[str, Any]]] = deque()
        self._batches: deque[tuple[str, list[dict[str, Any]]]] = deque()
        self._client: httpx.Client | None = None
        self.held = False
        self.worker = Worker("calls", self._report, on_start)

    def observe(self, call: Call) -> None:
        """Take a call that has ended; `Aggregate` tells each of them once."""
        key = call._aggregate.key
        waiting = self._waiting
        if len(waiting) >= QUEUE_CALLS:
            self._host.drops.count("calls", "queue_full", key)
            self._host.drops.tell(
                "call queue", "calls wait to be sent to %s and their queue is full: new ones are dropped",
                self._config.endpoint,
            )  # fmt: skip
            return
        waiting.append((key, event(call, time.time_ns(), time.perf_counter())))
        if len(waiting) == BATCH_CALLS:
            self.worker.wake()

    def stop(self, deadline: float) -> None:
        """Send what waits and end the thread; what is left by the deadline is dropped and counted."""
        if self.worker.stop(deadline) and self._client is not None:
            self._client.close()
        left = [(FeatureKey(feature, one["environment"]), one) for feature, batch in self._batches for one in batch]
        left += self._waiting
        self._batches.clear()
        self._waiting.clear()
        for key, _ in left:
            self._host.drops.count("calls", "undeliverable", key)
        if left:
            self._host.drops.tell(
                "undeliverable calls", "%d calls could not be sent to %s in time", len(left), self._config.endpoint
            )

    def _report(self) -> Pause:
        if self.held:
            return Pause(self._config.push_interval)
        self._host.fold()
        while True:
            if not self._batches:
                self._take()
            if not self._batches:
                return Pause(self._config.push_interval)
            if (rest := self._pace.rest(hurried=self.worker.hurried)) > 0 or not self._send():
                return Pause(max(0.0, rest, self._pace.rest(hurried=self.worker.hurried)), settled=False)

    def _take(self) -> None:
        """Move what waits into batches, one for each feature."""
        batches: dict[str, list[dict[str, Any]]] = {}
        for _ in range(min(BATCH_CALLS, len(self._waiting))):
            key, one = self._waiting.popleft()
            batches.setdefault(key.feature, []).append(one)
        self._batches.extend(batches.items())

    def _send(self) -> bool:
        """Send the first batch; False where it is to be tried again."""
        feature, batch = self._batches[0]
        url, started = self._config.calls_url(feature), time.monotonic()
        verdict = self._answered(url, batch)
        drops = self._host.drops
        if verdict.kind in ("later", "denied"):
            self._pace.failed(verdict, started)
            drops.tell(
                f"report {self._config.endpoint}", "calls could not be sent to %s (%s)%s; they are kept and sent again",
                self._config.endpoint, verdict.said, _hint(verdict),
            )  # fmt: skip
            return False
        self._batches.popleft()
        self._pace.went_well()
        if verdict.kind == "stored":
            drops.recovered(f"report {self._config.endpoint}", "calls are sent to %s again", self._config.endpoint)
        elif len(batch) > 1:
            half = len(batch) // 2
            self._batches.extendleft(((feature, batch[half:]), (feature, batch[:half])))
        else:
            drops.count("calls", "rejected", FeatureKey(feature, batch[0]["environment"]))
            drops.tell(f"report {verdict.said[:3]}", "%s refused a call, which is lost: %s", url, verdict.said)
        return True

    def _answered(self, url: str, batch: list[dict[str, Any]]) -> Verdict:
        body = json.dumps({"requests": batch}, separators=(",", ":")).encode()
        try:
            if self._client is None:
                with LOADING:
                    self._client = self._new_client()
            answer = self._client.post(
                url,
                content=gzip.compress(body, compresslevel=1, mtime=0),
                headers={
                    "Content-Type": "application/json",
                    "Content-Encoding": "gzip",
                    "User-Agent": "featurewatch",
                    **self._config.headers(url),
                },
            )
        except Exception as error:  # httpx's own, a CA file that is none, a proxy's name that cannot be read, ...
            return Verdict("later", said=f"{type(error).__name__}: {error}")
        said = one_line(answer.status_code, answer.text)
        if answer.is_success and "html" not in answer.headers.get("Content-Type", ""):
            return Verdict("stored", said=said)
        return by_status(answer.status_code, said, answer.headers.get("Retry-After", ""), time.time())

    def _new_client(self) -> httpx.Client:
        import encodings.idna  # noqa: F401  # what a first connection imports

        import httpx

        for logger in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
            silence(logger)
        return httpx.Client(timeout=httpx.Timeout(10.0, connect=5.0), verify=tls.for_httpx(self._config))


def _hint(verdict: Verdict) -> str:
    """Say what to look at where the bridge denies what is sent."""
    if verdict.kind != "denied":
        return ""
    forbidden = verdict.said.startswith(("401", "403"))
    return ": set token to one with the role ingest" if forbidden else ": are endpoint and api_prefix right?"


def event(call: Call, now_ns: int, now: float) -> dict[str, Any]:
    """Write a finished call as the bridge takes it; `now_ns` (UTC) and `now` (perf_counter) are one instant."""
    since = max(0.0, now - call._started - call._duration)
    ended_ns = now_ns - int(since * 1e9)
    found: dict[str, Any] = {
        "id": new_id(ended_ns),
        "timestamp": format_instant(ended_ns),
        "environment": call._aggregate.key.environment,
        "outcome": call._outcome,
        "duration_ms": max(0.0, call._duration * 1000),
    }
    if call._error_type is not None:
        found["error_type"] = _label(call._error_type)
    if call._first is not None:
        found["time_to_first_token_ms"] = max(0.0, call._first * 1000)
    if call._model:
        found["model"] = _label(call._model)
    if call._tokens is not None:
        found["tokens"] = {kind: int(count) for kind, count in zip(TOKEN_KINDS, call._tokens, strict=True) if count}
    if call._usd is not None:
        found["cost_usd"] = call._usd
    return found


def _label(value: str) -> str:
    return value[:LABEL_LENGTH].encode("utf-8", "replace").decode()
