"""How a database of the state that is new, or that an older featurewatch wrote, becomes a current one.

A new database gets all of `metadata` at once and is stamped with `VERSION`. An existing one is walked forward:
`MIGRATIONS[n]` is a plain function that turns version n + 1 into n + 2, given a connection inside the one transaction
that also writes the new version. To change the schema: change the tables, append one function, and never edit an older
one, nor let it use tables that change after it. There is no way back: a database that a newer featurewatch wrote is
refused, untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    update,
)

from ..errors import SettingsError
from . import state_alert_schema, state_episode_schema
from .state_schema import metadata, schema

__all__ = ["MIGRATIONS", "TABLES", "VERSION", "prepare"]

Migration: TypeAlias = Callable[[Connection], None]

TABLES: Final = (state_alert_schema, state_episode_schema)
"""The modules whose tables are in `metadata` besides those of `state_schema`: importing them puts them there."""


def _add_rules(connection: Connection) -> None:
    """Add rules, their deployments and the audit, as they were when they came."""
    then = MetaData()
    position = BigInteger().with_variant(Integer, "sqlite")
    Table(
        "featurewatch_rules", then,
        Column("id", Text, primary_key=True), Column("feature", Text, nullable=False),
        Column("name", Text, nullable=False), Column("revision", Integer, nullable=False),
        Column("kind", Text, nullable=False), Column("enabled", Boolean, nullable=False),
        Column("created_ns", BigInteger, nullable=False), Column("created_by", Text, nullable=False),
        Column("updated_ns", BigInteger, nullable=False), Column("updated_by", Text, nullable=False),
        Column("rule", JSON, nullable=False), UniqueConstraint("feature", "name", name="featurewatch_rules_name"),
    )  # fmt: skip
    Table(
        "featurewatch_deployments", then,
        Column("rule", Text, primary_key=True), Column("revision", Integer, nullable=False),
        Column("state", Text, nullable=False), Column("error", Text), Column("at_ns", BigInteger, nullable=False),
    )  # fmt: skip
    Table(
        "featurewatch_audit", then,
        Column("position", position, primary_key=True, autoincrement=True),
        Column("at_ns", BigInteger, nullable=False), Column("actor", Text, nullable=False),
        Column("action", Text, nullable=False), Column("feature", Text, nullable=False),
        Column("target", Text, nullable=False), Column("details", JSON, nullable=False),
        Index("featurewatch_audit_feature", "feature", "position"), Index("featurewatch_audit_age", "at_ns"),
        sqlite_autoincrement=True,
    )  # fmt: skip
    then.create_all(connection)


def _add_channels(connection: Connection) -> None:
    """Add notification channels."""
    then = MetaData()
    Table(
        "featurewatch_channels", then,
        Column("name", Text, primary_key=True), Column("revision", Integer, nullable=False),
        Column("updated_ns", BigInteger, nullable=False), Column("updated_by", Text, nullable=False),
        Column("channel", JSON, nullable=False),
    )  # fmt: skip
    then.create_all(connection)


def _add_episodes(connection: Connection) -> None:
    """Add episodes of alerts, what was told of them, maintenance windows and marks."""
    then = MetaData()
    position = BigInteger().with_variant(Integer, "sqlite")
    Table(
        "featurewatch_alerts", then,
        Column("id", Text, primary_key=True), Column("rule", Text, nullable=False),
        Column("feature", Text, nullable=False), Column("environment", Text, nullable=False),
        Column("open", Text), Column("status", Text, nullable=False), Column("severity", Text, nullable=False),
        Column("triggered_ns", BigInteger, nullable=False), Column("resolved_ns", BigInteger),
        Column("condition_active", Boolean, nullable=False), Column("alert", JSON, nullable=False),
        Column("instances", JSON, nullable=False), Column("hold", JSON, nullable=False),
        UniqueConstraint("open", name="featurewatch_alerts_open"),
        Index("featurewatch_alerts_page", "triggered_ns", "id"),
        Index("featurewatch_alerts_feature", "feature", "triggered_ns", "id"),
        Index("featurewatch_alerts_rule", "rule", "feature", "environment", "triggered_ns"),
    )  # fmt: skip
    Table(
        "featurewatch_alert_remarks", then,
        Column("position", position, primary_key=True, autoincrement=True),
        Column("alert", Text, nullable=False), Column("kind", Text, nullable=False),
        Column("at_ns", BigInteger, nullable=False), Column("author", Text, nullable=False),
        Column("text", Text, nullable=False), Index("featurewatch_alert_remarks_alert", "alert", "position"),
        sqlite_autoincrement=True,
    )  # fmt: skip
    Table(
        "featurewatch_maintenance", then,
        Column("id", Text, primary_key=True), Column("feature", Text, nullable=False), Column("environment", Text),
        Column("starts_ns", BigInteger, nullable=False), Column("ends_ns", BigInteger, nullable=False),
        Column("window", JSON, nullable=False), Index("featurewatch_maintenance_feature", "feature", "ends_ns"),
    )  # fmt: skip
    Table(
        "featurewatch_marks", then,
        Column("name", Text, primary_key=True), Column("at_ns", BigInteger, nullable=False),
    )  # fmt: skip
    then.create_all(connection)


MIGRATIONS: Final[tuple[Migration, ...]] = (_add_rules, _add_channels, _add_episodes)

VERSION: Final = 1 + len(MIGRATIONS)


def prepare(
    connection: Connection, *, tables: MetaData = metadata, migrations: Sequence[Migration] = MIGRATIONS
) -> None:
    """Bring the database to the current schema, within the caller's transaction.

    Raises:
        SettingsError: a newer featurewatch wrote the database.
    """
    newest = 1 + len(migrations)
    found = connection.scalar(select(schema.c.version)) if inspect(connection).has_table(schema.name) else None
    if found is None:
        tables.create_all(connection)
        connection.execute(insert(schema).values(version=newest))
        return
    if found > newest:
        raise SettingsError(
            f"the state was written by a newer featurewatch (schema {found}, this one knows {newest}): "
            "upgrade featurewatch, or restore a backup from before"
        )
    for migrate in migrations[found - 1 :]:
        migrate(connection)
    if found < newest:
        connection.execute(update(schema).values(version=newest))
