"""Rules as the state keeps them, and how far each got on its way to whoever evaluates it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, Select, bindparam, delete, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from .. import wire
from ..alert_model import AlertRule, Burn, Deed, Deployment, LogSelection, RuleKind
from ..errors import Conflict, NotFound, StaleEdit
from .alert_base import RuleVersion
from .database import Database
from .state_alert_schema import deployments, rules
from .state_audit import record
from .state_schema import features

__all__ = ["Rules", "users_of"]

_AT_ONCE: Final = 500
"""Ids in one statement: below what every database takes as parameters."""

_IN_COLUMNS: Final = frozenset(
    {
        "id", "feature", "name", "revision", "kind", "enabled", "created_ns", "created_by", "updated_ns", "updated_by",
        "deployment",
    }
)  # fmt: skip
_IN_JSON: Final = tuple(name for name in AlertRule.__dataclass_fields__ if name not in _IN_COLUMNS)


class Rules:
    """The RuleStore over the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rules(self, feature: str | None = None) -> Sequence[AlertRule]:
        query = _joined() if feature is None else _joined(rules.c.feature == feature)
        return await self._database.read(lambda connection: list(map(_read, connection.execute(query))))

    async def rules_by_id(self, ids: Collection[str]) -> Sequence[AlertRule]:
        def read(connection: Connection) -> list[AlertRule]:
            return [_read(row) for part in _parts(ids) for row in connection.execute(_joined(rules.c.id.in_(part)))]

        return await self._database.read(read)

    async def rule(self, feature: str, rule_id: str) -> AlertRule | None:
        query = _joined(rules.c.feature == feature, rules.c.id == rule_id)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else _read(row)

    async def versions(self, kind: RuleKind) -> Mapping[str, RuleVersion]:
        query = select(rules.c.id, rules.c.feature, rules.c.revision).where(rules.c.kind == kind, rules.c.enabled)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.id: RuleVersion(row.feature, row.revision) for row in rows}

    async def create(self, rule: AlertRule, deed: Deed) -> AlertRule:
        def work(connection: Connection) -> AlertRule:
            _free(connection, rule)
            made = replace(rule, revision=1, deployment=None)
            connection.execute(insert(rules).values(id=made.id, feature=made.feature, **_values(made)))
            record(connection, deed)
            return made

        return await self._database.write(work)

    async def replace(self, rule: AlertRule, deed: Deed, *, expected: int | None = None) -> AlertRule:
        def work(connection: Connection) -> AlertRule:
            current = _current(connection, rule.feature, rule.id, expected)
            _free(connection, rule)
            edited = replace(
                rule, revision=current.revision + 1, created_ns=current.created_ns, created_by=current.created_by,
                deployment=current.deployment,
            )  # fmt: skip
            connection.execute(update(rules).where(rules.c.id == rule.id).values(**_values(edited)))
            record(connection, deed)
            return edited

        return await self._database.write(work)

    async def delete(self, feature: str, rule_id: str, deed: Deed, *, expected: int | None = None) -> AlertRule:
        def work(connection: Connection) -> AlertRule:
            current = _current(connection, feature, rule_id, expected)
            _forget(connection, [rule_id])
            record(connection, deed)
            return current

        return await self._database.write(work)

    async def delete_all(self, feature: str, deed: Deed) -> Sequence[AlertRule]:
        def work(connection: Connection) -> list[AlertRule]:
            gone = list(map(_read, connection.execute(_joined(rules.c.feature == feature))))
            if gone:
                _forget(connection, [rule.id for rule in gone])
                record(connection, replace(deed, details={**deed.details, "rules": [rule.name for rule in gone]}))
            return gone

        return await self._database.write(work)

    async def deploy(self, told: Mapping[str, Deployment]) -> None:
        if told:
            await self._database.write(lambda connection: _deploy(connection, told))

    async def deployments(self, ids: Collection[str]) -> Mapping[str, Deployment]:
        def read(connection: Connection) -> dict[str, Deployment]:
            return {
                row.rule: Deployment(row.revision, row.state, row.error, row.at_ns)
                for part in _parts(ids)
                for row in connection.execute(select(deployments).where(deployments.c.rule.in_(part)))
            }

        return await self._database.read(read)


def users_of(connection: Connection, channel: str) -> list[str]:
    """Name the rules and objectives that use a channel, within the transaction that would delete it."""
    columns = (rules.c.feature, rules.c.name, rules.c.rule)
    users = [
        f"{row.feature}/{row.name}"
        for row in connection.execute(select(*columns).order_by(rules.c.feature, rules.c.name))
        if channel in row.rule["channels"]
    ]
    declared = select(features.c.id, features.c.declaration).where(features.c.declared).order_by(features.c.id)
    slos = ((row.id, row.declaration.get("slo") or {}) for row in connection.execute(declared))
    return users + [f"{feature}'s slo" for feature, slo in slos if channel in slo.get("channels", ())]


def _joined(*conditions: ColumnElement[bool]) -> Select[Any]:
    of = deployments.c
    columns = (of.revision.label("told_revision"), of.state, of.error, of.at_ns)
    return (
        select(rules, *columns)
        .select_from(rules.outerjoin(deployments, of.rule == rules.c.id))
        .where(*conditions)
        .order_by(rules.c.id)
    )


def _current(connection: Connection, feature: str, rule_id: str, expected: int | None) -> AlertRule:
    row = connection.execute(_joined(rules.c.feature == feature, rules.c.id == rule_id)).one_or_none()
    if row is None:
        raise NotFound(f"rule {rule_id!r} of {feature} does not exist")
    if expected is not None and expected != row.revision:
        raise StaleEdit(f"rule {rule_id}: expected revision {expected}, it is {row.revision}: read it again first")
    return _read(row)


def _free(connection: Connection, rule: AlertRule) -> None:
    same = (rules.c.feature == rule.feature) & (rules.c.name == rule.name) & (rules.c.id != rule.id)
    taken = connection.scalar(select(rules.c.id).where(same))
    if taken is not None:
        raise Conflict(
            f"{rule.feature} has a rule named {rule.name!r} already, {taken}: take another name, or change that one"
        )


def _forget(connection: Connection, ids: Sequence[str]) -> None:
    for part in _parts(ids):
        connection.execute(delete(rules).where(rules.c.id.in_(part)))
        connection.execute(delete(deployments).where(deployments.c.rule.in_(part)))


def _deploy(connection: Connection, told: Mapping[str, Deployment]) -> None:
    known: set[str] = set()
    for part in _parts(told):
        known.update(connection.scalars(select(deployments.c.rule).where(deployments.c.rule.in_(part))))
    rows = [
        {"of": rule, "to": one.revision, "now": one.state, "why": one.error, "at": one.at_ns}
        for rule, one in told.items()
    ]
    values: dict[str, Any] = {
        "revision": bindparam("to"),
        "state": bindparam("now"),
        "error": bindparam("why"),
        "at_ns": bindparam("at"),
    }
    if old := [row for row in rows if row["of"] in known]:
        connection.execute(update(deployments).where(deployments.c.rule == bindparam("of")).values(values), old)
    if new := [row for row in rows if row["of"] not in known]:
        connection.execute(insert(deployments).values(rule=bindparam("of"), **values), new)


def _values(rule: AlertRule) -> dict[str, Any]:
    columns = {name: getattr(rule, name) for name in _IN_COLUMNS - {"id", "feature", "deployment"}}
    return {**columns, "rule": orjson.loads(wire.dump({name: getattr(rule, name) for name in _IN_JSON}))}


def _read(row: Row[Any]) -> AlertRule:
    told = dict(row.rule)
    logs, burn = told.pop("logs", None), told.pop("burn", None)
    told["channels"] = tuple(told["channels"])
    return AlertRule(
        id=row.id,
        feature=row.feature,
        name=row.name,
        revision=row.revision,
        kind=row.kind,
        enabled=row.enabled,
        created_ns=row.created_ns,
        created_by=row.created_by,
        updated_ns=row.updated_ns,
        updated_by=row.updated_by,
        logs=None if logs is None else LogSelection(**{**logs, "levels": tuple(logs["levels"])}),
        burn=None if burn is None else Burn(**burn),
        deployment=None if row.state is None else Deployment(row.told_revision, row.state, row.error, row.at_ns),
        **told,
    )


def _parts(ids: Iterable[str]) -> list[list[str]]:
    listed = sorted(ids)
    return [listed[start : start + _AT_ONCE] for start in range(0, len(listed), _AT_ONCE)]
