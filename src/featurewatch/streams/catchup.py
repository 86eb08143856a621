"""What a client missed: read from the stores up to where the live streams take over, or told by a gap.

A client is registered first, at the position `upto`; what arrives from then on waits for it. What is read here ends
at `upto`, so history and live meet without a gap or a duplicate, by comparing positions and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from ..model import Event, FeatureKey, StoredLog
from ..stores.base import LogFilter, LogStore, StateStore
from ..times import NS
from .messages import Gap
from .positions import Position

HISTORY: Final = 50
"""Lines that a client begins with."""
RESUMABLE_S: Final = 15 * 60
"""How long after its last message a client is promised what it missed."""
MAX_LINES: Final = 10_000
MAX_BYTES: Final = 4 * 1024**2
MAX_EVENTS: Final = 1_000
"""What a resume sends at most: lines, their bytes, events."""
MAX_READ: Final = 200_000
"""Lines that a resume reads at most, matching or not."""
PAGE: Final = 2_000


def lost(after: Position | None, upto: Position) -> str | None:
    """Tell why what came since `after` cannot be sent completely, None where it can be tried."""
    if after is None or after.log > upto.log or after.event > upto.event:
        return "unknown_position"
    if upto.at_s - after.at_s > RESUMABLE_S:
        return "too_old"
    return None


def lost_since(reason: str, after: Position | None, upto: Position, feature: str | None) -> Gap:
    """Describe what nobody counted: everything between a client's position and now."""
    return Gap(reason, feature, None, (after or upto).at_s * NS, upto.at_s * NS)


async def newest(logs: LogStore, key: FeatureKey, filter: LogFilter, upto: int) -> list[StoredLog]:
    """Read the last 50 lines of a feature that match, oldest first, none that came after `upto`."""
    return [line for line in await logs.newest(key, filter, HISTORY) if line.position <= upto]


async def missed(
    logs: LogStore,
    after: Position,
    upto: Position,
    keys: Collection[FeatureKey] | None,
    wanted: Callable[[StoredLog], bool],
    feature: str | None,
) -> tuple[Sequence[StoredLog], Gap | None]:
    """Read the lines between two positions that are wanted, in order of arrival.

    Where they are too many, the newest are returned and a gap says how many stood before them; its count is None
    where there were too many even to read.
    """
    found: deque[StoredLog] = deque()
    size = skipped = 0
    first_ns, last_ns = after.at_s * NS, 0
    start = max(after.log, upto.log - MAX_READ)
    position = start
    while position < upto.log:
        page = await logs.since(position, keys, PAGE)
        for line in page:
            if line.position > upto.log:
                break
            if not wanted(line):
                continue
            found.append(line)
            size += _weight(line)
            while len(found) > MAX_LINES or (size > MAX_BYTES and len(found) > 1):
                gone = found.popleft()
                size -= _weight(gone)
                at = gone.entry.timestamp_ns
                first_ns, last_ns = (min(first_ns, at), max(last_ns, at)) if skipped else (at, at)
                skipped += 1
        if len(page) < PAGE:
            break
        position = page[-1].position
    if start == after.log:
        return found, Gap("too_many", feature, skipped, first_ns, last_ns) if skipped else None
    end_ns = found[0].entry.timestamp_ns if found else upto.at_s * NS
    return found, Gap("too_many", feature, None, after.at_s * NS, end_ns)


def told_gaps(logs: LogStore, after: Position, upto: Position, keys: Collection[FeatureKey] | None) -> list[Gap]:
    """Return the gaps that were told between two positions, as they were."""
    return [
        Gap(gap.reason, gap.feature, gap.count, gap.from_ns, gap.to_ns)
        for gap in logs.gaps(after.log, keys)
        if gap.position <= upto.log
    ]


async def happened(
    state: StateStore, after: Position, upto: Position, wanted: Callable[[FeatureKey], bool]
) -> tuple[Sequence[Event], bool]:
    """Read the events between two positions that are wanted, the newest 1,000; whether these are all."""
    found: deque[Event] = deque(maxlen=MAX_EVENTS)
    count = 0
    position = after.event
    while position < upto.event:
        page = await state.events_since(position, None, MAX_EVENTS)
        for event in page:
            if event.position <= upto.event and wanted(event.key):
                found.append(event)
                count += 1
        if len(page) < MAX_EVENTS:
            break
        position = page[-1].position
    return found, count <= MAX_EVENTS


def _weight(line: StoredLog) -> int:
    return len(line.entry.message) + len(line.entry.metadata or "") + 300
