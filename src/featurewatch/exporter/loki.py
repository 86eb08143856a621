"""Lines shipped in batches as Loki's push JSON, to Loki or to a bridge."""

from __future__ import annotations

import gzip
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from ..model import FeatureKey
from .config import Config
from .drops import Drops
from .lines import Line, render
from .worker import LOADING, Pause, Worker, silence

if TYPE_CHECKING:
    import httpx

BATCH_BYTES: Final = 1024**2
"""A request's size before compression, about. Loki's limit inside is 4 MiB; near 1 MiB it answers fastest."""

LINGER_S: Final = 0.25
"""How long a line waits for others before it is sent."""

OVERHEAD_BYTES: Final = 400
"""What a waiting line occupies besides its text, about: the tuple, its timestamp, the strings' headers."""

_RETRY_FIRST_S: Final = 0.5
_RETRY_MOST_S: Final = 30.0


class Shipper:
    """Takes lines on any thread and ships them on its own.

    What waits is bounded by bytes; a line that does not fit is dropped and counted. A batch is sent again, after a
    growing pause, until it is accepted or refused for good.
    """

    def __init__(
        self,
        config: Config,
        drops: Drops,
        *,
        on_start: Callable[[], None] | None = None,
        new_client: Callable[[], httpx.Client] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._drops = drops
        self._url = config.logs_url
        self._new_client = new_client or self._default_client
        self._client: httpx.Client | None = None
        self._jitter = jitter
        # Reentrant: a finaliser that logs may run on a thread that holds it.
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Line, int]] = deque()
        self._bytes = 0
        self._first_at = 0.0
        self._batch: list[Line] = []
        self._body = b""
        self._tries = 0
        self._retry_at = 0.0
        self.worker = Worker("logs", self._ship, on_start)

    def put(self, line: Line, size: int) -> None:
        """Queue a line of about `size` bytes of text."""
        size += OVERHEAD_BYTES
        with self._lock:
            before = self._bytes
            fits = before + size <= self._config.log_queue_bytes
            if fits:
                self._bytes += size
                self._waiting.append((line, size))
                if before == 0:
                    self._first_at = time.monotonic()
        if not fits:
            self._drops.count("logs", "queue_full", line.key)
            self._drops.tell(
                "log queue", "lines wait to be shipped to %s and their queue is full: new ones are dropped", self._url
            )
        elif before == 0 or before < BATCH_BYTES <= before + size:
            self.worker.wake()

    def stop(self, deadline: float) -> bool:
        """Ship what waits and end the thread; what is left by the deadline is dropped and counted."""
        done = self.worker.stop(deadline)
        with self._lock:
            left = self._batch + [line for line, _ in self._waiting]
            self._batch, self._bytes = [], 0
            self._waiting.clear()
        if left:
            self._drop(left, "undeliverable")
            self._drops.tell("undeliverable", "%d lines could not be shipped to %s in time", len(left), self._url)
        return done and not left

    def _ship(self) -> Pause:
        while True:
            if not self._batch:
                with self._lock:
                    if not self._waiting:
                        return Pause(None)
                    rest = self._first_at + LINGER_S - time.monotonic()
                    if rest > 0 and self._bytes < BATCH_BYTES and not self.worker.hurried:
                        return Pause(rest, settled=False)
                    self._take()
                self._body = gzip.compress(render(self._batch, self._config.service_name), compresslevel=1, mtime=0)
            rest = self._retry_at - time.monotonic()
            if rest > 0 and not self.worker.hurried:
                return Pause(rest, settled=False)
            retry_in = self._send()
            if retry_in is not None:
                self._retry_at = time.monotonic() + retry_in
                return Pause(retry_in, settled=False)

    def _take(self) -> None:
        """Move what waits into a batch, up to BATCH_BYTES; at least one line."""
        total = 0
        waiting = self._waiting
        while waiting and (total == 0 or total + waiting[0][1] <= BATCH_BYTES):
            line, size = waiting.popleft()
            self._batch.append(line)
            total += size
        self._bytes -= total
        self._first_at = time.monotonic()

    def _send(self) -> float | None:
        """Send the batch; None where it is done with (accepted or refused), else seconds until it is tried again."""
        if self._client is None:
            with LOADING:
                self._client = self._new_client()
        from httpx import HTTPError

        try:
            answer = self._client.post(self._url, content=self._body)
        except HTTPError as error:
            return self._again(f"{type(error).__name__}: {error}")
        if answer.status_code == 204:
            self._drops.recovered("ship", "lines are shipped to %s again", self._url)
        elif answer.status_code in (408, 429) or answer.status_code >= 500:
            return self._again(_said(answer), _seconds(answer.headers.get("Retry-After", "")))
        else:
            self._drop(self._batch, "rejected")
            self._drops.tell(
                f"ship {answer.status_code}", "%s refused %d lines, which are lost: %s",
                self._url, len(self._batch), _said(answer),
            )  # fmt: skip
        self._batch, self._body, self._tries, self._retry_at = [], b"", 0, 0.0
        return None

    def _again(self, reason: str, least: float = 0.0) -> float:
        self._drops.tell(
            "ship", "lines could not be shipped to %s (%s); they are kept and sent again", self._url, reason
        )
        ceiling = min(_RETRY_MOST_S, _RETRY_FIRST_S * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return max(least, ceiling * (0.5 + self._jitter() / 2))

    def _drop(self, lines: Sequence[Line], reason: str) -> None:
        counts: dict[FeatureKey, int] = {}
        for line in lines:
            counts[line.key] = counts.get(line.key, 0) + 1
        for key, count in counts.items():
            self._drops.count("logs", reason, key, count)

    def _default_client(self) -> httpx.Client:
        import encodings.idna  # noqa: F401  # what a first connection imports

        import httpx

        for logger in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
            silence(logger)
        headers = {
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "User-Agent": "featurewatch",
            **self._config.headers(self._url),
        }
        return httpx.Client(headers=headers, timeout=10.0)


def _said(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.text[:200].strip()}".strip().replace("\n", " ")


def _seconds(text: str) -> float:
    return min(float(text), 300.0) if text.isdecimal() else 0.0
