"""Episodes of alerts as rows: written in one transaction with the events that tell of them, read by page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, tuple_, update

from .. import alert_wire, wire
from ..alert_model import Alert, AlertStatus, Deed
from ..episode_model import Episode, Hold, Instance, Place, Remark, Step
from ..errors import BadInput
from ..ids import new_id
from ..model import Event, FeatureKey, Severity
from . import state_events
from .state import State
from .state_audit import record
from .state_episode_schema import alerts, marks, remarks

__all__ = ["AlertFilter", "AlertPage", "Alerts", "Written"]

T = TypeVar("T")

_CHUNK: Final = 400
"""Places asked for in one statement: SQLite takes some thousand values at most."""

SWEEP_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which episodes: all conditions must hold; `features` None: of all; empty `statuses`, `severities`: of any."""

    features: frozenset[str] | None = None
    environment: str | None = None
    statuses: frozenset[AlertStatus] = frozenset()
    rule_id: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    severities: frozenset[Severity] = frozenset()


class AlertPage(NamedTuple):
    """A page of episodes, newest first; `next_cursor` leads to older ones and is None on the last page."""

    episodes: tuple[Episode, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """What a piece of work changed: steps, remarks and deeds to keep together."""

    steps: Sequence[Step] = ()
    remarks: Sequence[Remark] = ()
    deeds: Sequence[Deed] = ()


class Alerts:
    """Keeps episodes. All writing goes through `change`, so that an episode and the event of it are kept or not
    kept together.
    """

    def __init__(self, state: State, *, clock: Callable[[], int]) -> None:
        self._state = state
        self._database = state.database
        self._clock = clock

    async def change(
        self,
        places: Collection[Place],
        work: Callable[[Mapping[Place, Episode]], Written],
        *,
        then: Callable[[Sequence[Step]], None] | None = None,
    ) -> Sequence[Step]:
        """Keep what `work` makes of the newest episode of each place, alone among all that write.

        Args:
            work: called in a thread, once; it must not wait for anything. A step with an id of its own is a new one.
            then: called on the event loop with what was kept, before the listeners of events hear of it.
        """

        def write(connection: Connection) -> tuple[Sequence[Step], list[tuple[Event, bool]]]:
            current = _newest(connection, places)
            written = work(current)
            return written.steps, self._keep(connection, current.values(), written)

        return await self._written(write, then)

    async def change_one(
        self, alert_id: str, work: Callable[[Episode], Written], *, then: Callable[[Sequence[Step]], None] | None = None
    ) -> Sequence[Step] | None:
        """Keep what `work` makes of one episode; None where there is none of this id. Else as `change`."""

        def write(connection: Connection) -> tuple[Sequence[Step] | None, list[tuple[Event, bool]]]:
            row = connection.execute(select(alerts).where(alerts.c.id == alert_id)).one_or_none()
            if row is None:
                return None, []
            episode = read(row)
            written = work(episode)
            return written.steps, self._keep(connection, [episode], written)

        return await self._written(write, then)

    async def one(self, alert_id: str) -> Episode | None:
        """Find an episode by its id."""
        row = await self._database.read(
            lambda connection: connection.execute(select(alerts).where(alerts.c.id == alert_id)).one_or_none()
        )
        return None if row is None else read(row)

    async def unsettled(self) -> list[Episode]:
        """Return the episodes that are open, or closed by people while their condition holds."""
        query = select(alerts).where(alerts.c.open.is_not(None) | alerts.c.condition_active)
        return [read(row) for row in await self._database.read(lambda connection: connection.execute(query).all())]

    async def page(self, wanted: AlertFilter, *, limit: int, cursor: str = "") -> AlertPage:
        """Return episodes, the one that fired last first.

        Raises:
            BadInput: the cursor is none that a page had.
        """
        query = _matching(wanted)
        if cursor:
            query = query.where(tuple_(alerts.c.triggered_ns, alerts.c.id) < tuple_(*_place(cursor)))
        query = query.order_by(alerts.c.triggered_ns.desc(), alerts.c.id.desc()).limit(limit + 1)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        found = tuple(map(read, rows[:limit]))
        last = found[-1].alert if found else None
        return AlertPage(found, f"{last.triggered_ns:x}.{last.id}" if last and len(rows) > limit else None)

    async def overlapping(self, places: Collection[Place], start_ns: int, end_ns: int) -> list[Episode]:
        """Return the episodes of these places that touch [start, end]."""
        alive = (alerts.c.triggered_ns <= end_ns) & (
            alerts.c.resolved_ns.is_(None) | (alerts.c.resolved_ns >= start_ns)
        )

        def read_all(connection: Connection) -> list[Episode]:
            return [
                read(row)
                for chunk in _chunks(places)
                for row in connection.execute(select(alerts).where(alive, _these(chunk)))
            ]

        return await self._database.read(read_all)

    async def remarks(self, alert_id: str) -> list[Remark]:
        """Return what was told of an episode, oldest first, the newest 1,000."""
        query = select(remarks).where(remarks.c.alert == alert_id).order_by(remarks.c.position.desc()).limit(1_000)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [Remark(row.alert, row.kind, row.at_ns, row.author, row.text, row.position) for row in reversed(rows)]

    async def note(self, told: Sequence[Remark]) -> None:
        """Keep remarks by themselves, such as deliveries."""
        rows = [_remark(remark) for remark in told]
        if rows:
            await self._database.write(lambda connection: connection.execute(insert(remarks), rows))

    async def deliveries(self, alert_ids: Collection[str]) -> list[Remark]:
        """Return the deliveries of these alerts, oldest first."""

        def read_all(connection: Connection) -> list[Remark]:
            return [
                Remark(row.alert, row.kind, row.at_ns, row.author, row.text, row.position)
                for chunk in _chunks(alert_ids)
                for row in connection.execute(
                    select(remarks)
                    .where(remarks.c.alert.in_(chunk), remarks.c.kind == "delivery")
                    .order_by(remarks.c.position)
                )
            ]

        return await self._database.read(read_all)

    async def mark(self, name: str) -> int | None:
        """Return an instant that was noted under a name."""
        query = select(marks.c.at_ns).where(marks.c.name == name)
        return await self._database.read(lambda connection: connection.scalar(query))

    async def set_mark(self, name: str, at_ns: int) -> None:
        """Note an instant under a name."""

        def write(connection: Connection) -> None:
            changed = connection.execute(update(marks).where(marks.c.name == name).values(at_ns=at_ns)).rowcount
            if not changed:
                connection.execute(insert(marks).values(name=name, at_ns=at_ns))

        await self._database.write(write)

    async def sweep(self, before_ns: int) -> int:
        """Forget episodes that ended before, with what was told of them; return how many."""
        old = select(alerts.c.id).where(alerts.c.resolved_ns < before_ns, alerts.c.open.is_(None)).limit(SWEEP_ROWS)

        def write(connection: Connection) -> int:
            ids = list(connection.scalars(old))
            for chunk in _chunks(ids):
                connection.execute(delete(remarks).where(remarks.c.alert.in_(chunk)))
                connection.execute(delete(alerts).where(alerts.c.id.in_(chunk)))
            return len(ids)

        removed = 0
        while True:
            count = await self._database.write(write)
            removed += count
            if count < SWEEP_ROWS:
                return removed

    async def _written(
        self,
        write: Callable[[Connection], tuple[T, list[tuple[Event, bool]]]],
        then: Callable[[Sequence[Step]], None] | None,
    ) -> T:
        def told(kept: tuple[Any, list[tuple[Event, bool]]]) -> None:
            if then is not None and kept[0]:
                then(kept[0])
            self._state.tell(kept[1])

        return (await self._database.write(write, then=told))[0]

    def _keep(self, connection: Connection, known: Iterable[Episode], written: Written) -> list[tuple[Event, bool]]:
        last: dict[str, Episode] = {step.episode.alert.id: step.episode for step in written.steps}
        ids = {episode.alert.id for episode in known}
        rows = [_row(episode) for episode in last.values()]
        if changed := [row for row in rows if row["id"] in ids]:
            columns: dict[str, Any] = {name: bindparam(f"new_{name}") for name in changed[0] if name != "id"}
            connection.execute(
                update(alerts).where(alerts.c.id == bindparam("old_id")).values(columns),
                [{"old_id": row.pop("id"), **{f"new_{name}": value for name, value in row.items()}} for row in changed],
            )
        if new := [row for row in rows if row.get("id") and row["id"] not in ids]:
            connection.execute(insert(alerts), new)
        if written.remarks:
            connection.execute(insert(remarks), [_remark(remark) for remark in written.remarks])
        for deed in written.deeds:
            record(connection, deed)
        now = self._clock()
        events = [
            Event(0, new_id(now), step.episode.alert.key, "alert", _instant(change, step.episode.alert, now), {
                "change": change, "alert": orjson.loads(wire.dump(alert_wire.alert(step.episode.alert))),
            })
            for step in written.steps for change in step.changes
        ]  # fmt: skip
        return [(event, True) for event in state_events.append_new(connection, events)]


def read(row: Row[Any]) -> Episode:
    """Make an episode of a row of the table."""
    told = row.alert
    alert = Alert(
        id=row.id, rule_id=row.rule, key=FeatureKey(row.feature, row.environment), title=told["title"],
        message=told["message"], severity=row.severity, status=row.status, triggered_ns=row.triggered_ns,
        acknowledged_ns=told.get("acknowledged_ns"), acknowledged_by=told.get("acknowledged_by"),
        resolved_ns=row.resolved_ns, resolved_by=told.get("resolved_by"), resolve_reason=told.get("resolve_reason"),
        condition_active=row.condition_active, metadata=told.get("metadata", {}),
    )  # fmt: skip
    instances = {name: Instance(**instance) for name, instance in row.instances.items()}
    return Episode(alert, instances, Hold(**row.hold) if row.hold else None)


def _row(episode: Episode) -> dict[str, Any]:
    alert = episode.alert
    place = orjson.dumps([alert.rule_id, *alert.key]).decode()
    return {
        "id": alert.id,
        "rule": alert.rule_id,
        "feature": alert.key.feature,
        "environment": alert.key.environment,
        "open": place if episode.open else None,
        "status": alert.status,
        "severity": alert.severity,
        "triggered_ns": alert.triggered_ns,
        "resolved_ns": alert.resolved_ns,
        "condition_active": alert.condition_active,
        "alert": {
            "title": alert.title,
            "message": alert.message,
            "acknowledged_ns": alert.acknowledged_ns,
            "acknowledged_by": alert.acknowledged_by,
            "resolved_by": alert.resolved_by,
            "resolve_reason": alert.resolve_reason,
            "metadata": dict(alert.metadata),
        },
        "instances": {
            name: {"starts_ns": one.starts_ns, "ends_ns": one.ends_ns, "labels": dict(one.labels)}
            for name, one in episode.instances.items()
        },
        "hold": asdict(episode.hold) if episode.hold else {},
    }


def _remark(remark: Remark) -> dict[str, Any]:
    return {
        "alert": remark.alert_id,
        "kind": remark.kind,
        "at_ns": remark.at_ns,
        "author": remark.author,
        "text": remark.text,
    }


def _newest(connection: Connection, places: Collection[Place]) -> dict[Place, Episode]:
    """Read the newest episode of each place that had one; the open one where there is one."""
    found: dict[Place, Episode] = {}
    other = alerts.alias()
    last = (
        select(func.max(other.c.triggered_ns))
        .where(other.c.rule == alerts.c.rule, other.c.feature == alerts.c.feature)
        .where(other.c.environment == alerts.c.environment)
        .scalar_subquery()
    )
    for chunk in _chunks(places):
        query = select(alerts).where(_these(chunk), alerts.c.open.is_not(None) | (alerts.c.triggered_ns == last))
        for row in connection.execute(query.order_by(alerts.c.triggered_ns, alerts.c.id)):
            episode = read(row)
            held = found.get(episode.place)
            if held is None or not held.open:
                found[episode.place] = episode
    return found


def _these(places: Sequence[Place]) -> Any:
    columns = tuple_(alerts.c.rule, alerts.c.feature, alerts.c.environment)
    return columns.in_([(place.rule_id, *place.key) for place in places])


def _matching(wanted: AlertFilter) -> Select[Any]:
    query = select(alerts)
    if wanted.features is not None:
        query = query.where(alerts.c.feature.in_(sorted(wanted.features)))
    if wanted.environment is not None:
        query = query.where(alerts.c.environment == wanted.environment)
    if wanted.statuses:
        query = query.where(alerts.c.status.in_(sorted(wanted.statuses)))
    if wanted.severities:
        query = query.where(alerts.c.severity.in_(sorted(wanted.severities)))
    if wanted.rule_id is not None:
        query = query.where(alerts.c.rule == wanted.rule_id)
    if wanted.end_ns is not None:
        query = query.where(alerts.c.triggered_ns < wanted.end_ns)
    if wanted.start_ns is not None:
        query = query.where(alerts.c.resolved_ns.is_(None) | (alerts.c.resolved_ns >= wanted.start_ns))
    return query


def _instant(change: str, alert: Alert, now_ns: int) -> int:
    """Tell when a change happened: people see it in the order of time."""
    if change == "triggered":
        return alert.triggered_ns
    return alert.resolved_ns if change == "resolved" and alert.resolved_ns is not None else now_ns


def _place(cursor: str) -> tuple[int, str]:
    instant, _, id_ = cursor.partition(".")
    try:
        return int(instant, 16), id_
    except ValueError:
        raise BadInput("cursor: expected next_cursor of the page before, got another text") from None


def _chunks(items: Collection[T]) -> Iterator[list[T]]:
    left = iter(items)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk
