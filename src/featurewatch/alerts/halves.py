"""Finding what a check refuses by halving what is suspected: one bad among 10,000 takes 14 steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

__all__ = ["bisect"]

T = TypeVar("T")


async def bisect(
    items: Sequence[T], check: Callable[[Sequence[T]], Awaitable[str]], reason: str
) -> list[tuple[T, str]]:
    """Find the items that a check refuses, each with the reason, given that it refuses them together for `reason`.

    Items that are refused only together are all named.

    Args:
        check: says why items are refused, "" where they are not.
    """
    if len(items) == 1:
        return [(items[0], reason)]
    middle = len(items) // 2
    found: list[tuple[T, str]] = []
    for half in (items[:middle], items[middle:]):
        said = await check(half)
        if said:
            found += await bisect(half, check, said)
    return found or [(item, reason) for item in items]
