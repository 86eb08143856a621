"""The state's tables, and how a database that an older featurewatch wrote becomes a current one.

`metadata` describes the newest schema. A new database gets all of it at once and is stamped with `VERSION`. An
existing one is walked forward: `MIGRATIONS[n]` is a plain function that turns version n + 1 into n + 2, given a
connection inside the one transaction that also writes the new version. To change the schema: change the tables
here, append one function, and never edit an older one. There is no way back: a database that a newer featurewatch
wrote is refused, untouched.

All names carry a prefix, so that the tables can live in a PostgreSQL database that others use too.
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

Migration: TypeAlias = Callable[[Connection], None]

metadata: Final = MetaData()

schema: Final = Table("featurewatch_schema", metadata, Column("version", Integer, nullable=False))

features: Final = Table(
    "featurewatch_features",
    metadata,
    Column("id", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    # False once deleted: the row stays, so that a revision number never comes back for another declaration.
    Column("declared", Boolean, nullable=False),
    Column("declaration", JSON, nullable=False),
)

sightings: Final = Table(
    "featurewatch_sightings",
    metadata,
    Column("feature", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("first_seen_ns", BigInteger, nullable=False),
    Column("last_seen_ns", BigInteger, nullable=False),
    Column("info", JSON, nullable=False),
)

events: Final = Table(
    "featurewatch_events",
    metadata,
    # SQLite gives out row ids without gaps or reuse only for INTEGER PRIMARY KEY AUTOINCREMENT.
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("timestamp_ns", BigInteger, nullable=False),
    Column("data", JSON, nullable=False),
    UniqueConstraint("feature", "id", name="featurewatch_events_id"),
    Index("featurewatch_events_page", "feature", "timestamp_ns", "position"),
    Index("featurewatch_events_age", "timestamp_ns"),
    sqlite_autoincrement=True,
)

MIGRATIONS: Final[tuple[Migration, ...]] = ()

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
