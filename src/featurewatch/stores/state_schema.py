"""The state's tables of features and events; those of alerting are in `state_alert_schema`.

`metadata` describes the newest schema, of all modules together; `state_migrations` brings a database to it. All names
carry a prefix, so that the tables can live in a PostgreSQL database that others use too.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

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
