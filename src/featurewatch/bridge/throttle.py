"""How often one address may fail to authenticate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ..errors import TooMany
from ..times import NS

__all__ = ["Throttle"]


class Throttle:
    """Counts failures by client address: `failures` at once, refilled over `period_s`; beyond that TooMany.

    It holds up those who guess, not those who know: a valid credential is never refused for its address, which
    many share behind a proxy. With secrets of 256 bits nothing is lost by that. The table keeps `limit` addresses;
    the one that failed longest ago makes room.
    """

    def __init__(self, *, failures: int, period_s: float, limit: int, clock: Callable[[], int]) -> None:
        self._failures = failures
        self._each_ns = int(period_s * NS / failures)
        self._limit = limit
        self._clock = clock
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def failed(self, address: str) -> None:
        """Count a failure.

        Raises:
            TooMany: the address failed too often; `retry_after` says in how many seconds it may fail again.
        """
        now = self._clock()
        spent = max(self._full_at.get(address, 0), now) + self._each_ns
        over = spent - now - self._failures * self._each_ns
        if over > 0:
            raise TooMany(
                f"too many failed attempts from {address or 'this address'}: check the token, then wait",
                retry_after=-(-over // NS),
            )
        self._full_at[address] = spent
        self._full_at.move_to_end(address)
        if len(self._full_at) > self._limit:
            self._full_at.popitem(last=False)
