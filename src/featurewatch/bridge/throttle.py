"""How often something may happen: buckets of tokens, by whoever does it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from ..access import ANYONE, Principal
from ..errors import TooMany
from ..times import NS

__all__ = ["LIMITS", "Buckets", "Limit", "Rates", "Throttle"]

Limit: TypeAlias = Literal["ingest", "query", "stream"]
LIMITS: Final[tuple[Limit, ...]] = ("ingest", "query", "stream")

BURST_S: Final = 10.0
"""A caller that was quiet may ask at once what it may ask in so many seconds."""


class Buckets:
    """A bucket for each name: `size` at once, refilled at `rate` a second. Of a bucket one number is kept.

    The table keeps `limit` names; the one that took longest ago makes room, mostly one whose bucket is full again.
    """

    def __init__(self, *, rate: float, size: float, limit: int, clock: Callable[[], int]) -> None:
        self._each_ns = int(NS / rate)
        self._size_ns = int(self._each_ns * size)
        self._limit = limit
        self._clock = clock
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def take(self, name: str) -> int:
        """Take one and return 0, or where the bucket is empty the seconds until one is in it, taking none."""
        now = self._clock()
        full_at = max(self._full_at.get(name, 0), now)
        if full_at > now + self._size_ns:
            # The clock was put back: nobody is shut out for as long as that, nor at all.
            full_at = now
        full_at += self._each_ns
        if (over := full_at - now - self._size_ns) > 0:
            return math.ceil(over / NS)
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._limit:
            self._full_at.popitem(last=False)
        return 0

    def __len__(self) -> int:
        return len(self._full_at)


class Throttle:
    """Counts failures to authenticate by client address: `failures` at once, refilled over `period_s`.

    It holds up those who guess, not those who know: a valid credential is never refused for its address, which
    many share behind a proxy. With secrets of 256 bits nothing is lost by that.
    """

    def __init__(self, *, failures: int, period_s: float, limit: int, clock: Callable[[], int]) -> None:
        self._buckets = Buckets(rate=failures / period_s, size=failures, limit=limit, clock=clock)

    def failed(self, address: str) -> None:
        """Count a failure.

        Raises:
            TooMany: the address failed too often; `retry_after` says in how many seconds it may fail again.
        """
        if wait_s := self._buckets.take(address):
            raise TooMany(
                f"too many failed attempts from {address or 'this address'}: check the token, then wait",
                retry_after=wait_s,
            )


class Rates:
    """Bounds the requests of each caller: by its credential, or by its address where it has none.

    Streams have a bucket of their own: when a bridge comes back all of them come at once, and from one address where a
    proxy stands before them.

    Args:
        ingest, query: requests a second, ten seconds' worth at once; 0: any number.
        streams: how many may be open; twice as many may be opened at once, then as many a second as queries.
        refused: told of each refusal, which limit it was.
    """

    def __init__(
        self,
        *,
        ingest: float,
        query: float,
        streams: int,
        clock: Callable[[], int],
        refused: Callable[[Limit], None] = lambda _: None,
    ) -> None:
        sizes: tuple[tuple[Limit, float, float], ...] = (
            ("ingest", ingest, ingest * BURST_S),
            ("query", query, query * BURST_S),
            ("stream", query, max(query * BURST_S, 2 * streams)),
        )
        self._buckets = {
            limit: Buckets(rate=rate, size=max(1.0, size), limit=10_000, clock=clock)
            for limit, rate, size in sizes
            if rate > 0
        }
        self._refused = refused

    def spend(self, caller: Principal | None, address: str, limit: Limit = "query") -> None:
        """Count a request of a caller, None where it did not say who it is.

        Raises:
            TooMany: the caller asks more often than it may; `retry_after` says when it may ask again.
        """
        buckets = self._buckets.get(limit)
        if buckets is None:
            return
        known = caller is not None and caller is not ANYONE
        if wait_s := buckets.take(f"caller {caller.credential}" if caller and known else f"address {address}"):
            self._refused(limit)
            who = repr(caller.name) if caller and known else address or "this address"
            setting = "INGEST" if limit == "ingest" else "QUERY"
            raise TooMany(
                f"{who} asks more often than it may (FEATUREWATCH_{setting}_RATE): come back in {wait_s} s",
                retry_after=wait_s,
            )
