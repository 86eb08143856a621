"""The state's tables of alerting: rules, how far each got, channels, and who did what."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, Table, Text, UniqueConstraint

from .state_schema import metadata

rules: Final = Table(
    "featurewatch_rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("feature", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    # What is asked for at every edit, of thousands of rules: not to be dug out of the JSON.
    Column("kind", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_ns", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("rule", JSON, nullable=False),
    UniqueConstraint("feature", "name", name="featurewatch_rules_name"),
)

deployments: Final = Table(
    "featurewatch_deployments",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("error", Text),
    Column("at_ns", BigInteger, nullable=False),
)

audit: Final = Table(
    "featurewatch_audit",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("details", JSON, nullable=False),
    Index("featurewatch_audit_feature", "feature", "position"),
    Index("featurewatch_audit_age", "at_ns"),
    sqlite_autoincrement=True,
)

channels: Final = Table(
    "featurewatch_channels",
    metadata,
    Column("name", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("channel", JSON, nullable=False),
)
