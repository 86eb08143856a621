"""The lines that stand before the live ones, as messages: the last 50, or what came since a client's position."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..errors import FeaturewatchError, Unavailable
from ..model import FeatureKey, StoredLog
from ..stores.base import LogFilter
from ..stores.matching import compile_filter
from . import catchup
from .hub import Hub
from .messages import Gap, Message, message
from .positions import Position, parse
from .routes import EVERY, Selector

CONCURRENT_QUERIES: Final = 4

Rendering: TypeAlias = Callable[[str | None, Sequence[StoredLog], Position, bool], Sequence[Message]]
"""Makes messages of a feature's lines (None: of several features'); True where they are in order of arrival."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a client is sent before the live lines; `complete` where nothing is missing since its position."""

    messages: Sequence[Message]
    complete: bool


def refusal(error: FeaturewatchError, feature: str | None, now_ns: int) -> Message:
    """Encode an `error`: what was expected, what came, what to do."""
    return message("error", feature, {"code": error.code, "message": error.message}, now_ns)


def expanded(hub: Hub, selector: Selector) -> list[FeatureKey]:
    """List the features that a selector means now, each in its environment."""
    directory = hub.directory
    if selector.feature != EVERY:
        chosen = directory.choose(selector.feature)
        return [] if chosen is None else [FeatureKey(selector.feature, selector.environment or chosen)]
    return sorted(key for key in directory.keys() if selector.matches(key, directory.choose(key.feature)))  # noqa: SIM118 (not a mapping)


async def read(
    hub: Hub, chosen: Mapping[str, Selector], filter: LogFilter, after: str, upto: Position, render: Rendering
) -> Backlog:
    """Read what the chosen features logged up to `upto`. A store that fails is told to the client, never raised.

    Args:
        after: the client's position, "" where it begins anew.
    """
    feature = next(iter(chosen)) if len(chosen) == 1 and EVERY not in chosen else None
    since = parse(after) if after else None
    reason = catchup.lost(since, upto) if after else None
    if since is not None and reason is None:
        reason = hub.logs.lost(since.log, None if EVERY in chosen else chosen.keys())
    try:
        if since is not None and reason is None:
            return await _since(hub, chosen, filter, feature, since, upto, render)
        newest = await _newest(hub, chosen, filter, upto, render)
    except Exception as failure:
        error = failure if isinstance(failure, FeaturewatchError) else Unavailable("lines could not be read")
        if error is not failure:
            _log.exception("reading lines for a stream failed")
        newest, reason = [refusal(error, feature, hub.clock())], "unavailable" if after else None
    if reason is None:
        return Backlog(newest, complete=not after)
    return Backlog([told(hub, catchup.lost_since(reason, since, upto, feature)), *newest], complete=False)


def told(hub: Hub, gap: Gap, position: Position | None = None) -> Message:
    """Count a gap and encode it."""
    hub.stats.gaps[gap.reason] += 1
    hub.stats.dropped[gap.reason] += gap.count or 0
    return gap.message(position)


async def _since(
    hub: Hub,
    chosen: Mapping[str, Selector],
    filter: LogFilter,
    feature: str | None,
    since: Position,
    upto: Position,
    render: Rendering,
) -> Backlog:
    passes, selectors = compile_filter(filter), tuple(chosen.values())
    keys = {key for selector in selectors for key in expanded(hub, selector)}
    lines, gap = await catchup.missed(
        hub.logs,
        since,
        upto,
        None if EVERY in chosen else keys,
        lambda line: line.entry.key in keys and passes(line.entry),
        feature,
    )
    gaps = [] if gap is None else [gap]
    gaps += catchup.told_gaps(hub.logs, since, upto, keys)
    messages = [told(hub, gap) for gap in gaps]
    messages += render(feature, lines, upto, True) if lines else []
    for quiet in sorted({key.feature for key in keys}.difference(line.entry.feature for line in lines)):
        messages += render(quiet, (), upto, True)
    return Backlog(messages, complete=not gaps)


async def _newest(
    hub: Hub, chosen: Mapping[str, Selector], filter: LogFilter, upto: Position, render: Rendering
) -> list[Message]:
    turns = asyncio.Semaphore(CONCURRENT_QUERIES)

    async def page(key: FeatureKey) -> list[StoredLog]:
        async with turns:
            return await catchup.newest(hub.logs, key, filter, upto.log)

    keys = sorted({key for selector in chosen.values() for key in expanded(hub, selector)})
    pages = await asyncio.gather(*map(page, keys))
    return [
        message for key, lines in zip(keys, pages, strict=True) for message in render(key.feature, lines, upto, False)
    ]
