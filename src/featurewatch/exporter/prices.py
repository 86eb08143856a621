"""What a call cost, from genai-prices' table: loaded at first use, looked up off the calling thread."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..families import TOKEN_KINDS
from .drops import Drops
from .worker import LOADING, Pause, Worker

if TYPE_CHECKING:
    from .aggregate import Aggregate

_KEYS: Final = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "reasoning": "output_reasoning_tokens",
}
"""Our token kinds by genai-prices' names. There too cache_* are subsets of input, and reasoning one of output."""

QUEUE_SIZE: Final = 20_000
"""Calls that may wait for their price; one more is counted as dropped, its cost is lost."""

Estimate: TypeAlias = Callable[[str, Mapping[str, int]], "float | None"]


def estimate(model: str, tokens: Mapping[str, int]) -> float | None:
    """Estimate a call's cost in US dollars; None where the model, or the provider in `provider/model`, is unknown.

    Raises:
        ValueError: the tokens cannot be: a subset is larger than its whole.
    """
    calc_price, usage = _table()
    used = usage(**{_KEYS[kind]: count for kind, count in tokens.items() if count})
    for name, provider in _names(model):
        try:
            return float(calc_price(used, name, provider_id=provider).total_price)
        except LookupError:
            continue
    return None


def table_version() -> str:
    """Return the version of genai-prices, which is the version of its price table."""
    from importlib.metadata import version

    return version("genai-prices")


@functools.cache
def known_table_version() -> str:
    """Return the version of the price table; empty where it is not installed."""
    from importlib.metadata import PackageNotFoundError

    try:
        return table_version()
    except PackageNotFoundError:
        return ""


class Estimator:
    """Prices calls on a thread of its own, in the order in which they ended."""

    def __init__(
        self,
        drops: Drops,
        estimate: Estimate = estimate,
        size: int = QUEUE_SIZE,
        *,
        on_start: Callable[[], None] | None = None,
    ) -> None:
        self._drops = drops
        self._estimate = estimate
        self._size = size
        self._waiting: deque[tuple[Aggregate, str, Sequence[int]]] = deque()
        self._idle = True
        self.worker = Worker("prices", self._work, on_start)

    @property
    def waiting(self) -> bool:
        """Whether calls wait for their price, the one that is being looked up included."""
        return not self._idle

    def submit(self, aggregate: Aggregate, model: str, tokens: Sequence[int]) -> None:
        """Take a call whose cost nobody reported; tokens in the order of TOKEN_KINDS."""
        waiting = self._waiting
        if len(waiting) >= self._size:
            self._drops.count("costs", "queue_full", aggregate.key)
            return
        waiting.append((aggregate, model, tokens))
        if self._idle:
            self._idle = False
            self.worker.wake()

    def _work(self) -> Pause:
        self._idle = False
        while True:
            if not self._waiting:
                # Idle first, then a second look: a call submitted in between either is seen here or wakes the worker.
                self._idle = True
                if not self._waiting:
                    return Pause(None)
                self._idle = False
            aggregate, model, tokens = self._waiting.popleft()
            try:
                # True counts as 1 everywhere but in the table.
                usd = self._estimate(model, dict(zip(TOKEN_KINDS, map(int, tokens), strict=True)))
            except Exception as error:
                self._drops.count("costs", "estimate_failed", aggregate.key)
                self._drops.tell("estimate", "the cost of a call to %s cannot be estimated: %s", model, error)
                usd = None
            aggregate.price(model, usd)


@functools.cache
def _table() -> tuple[Callable[..., Any], Callable[..., Any]]:
    with LOADING:
        from genai_prices import Usage, calc_price

        with contextlib.suppress(Exception):
            # A first look-up imports more, which would fail the look-ups that follow if it failed here.
            calc_price(Usage(input_tokens=1, output_tokens=1), "gpt-5-mini")
    return calc_price, Usage


def _names(model: str) -> tuple[tuple[str, str | None], ...]:
    """List what a model may be called in the table: as it is, then without the provider before the slash."""
    provider, slash, name = model.partition("/")
    return ((model, None), (name, provider)) if slash else ((model, None),)
