"""The state's tables of episodes: alerts, what was heard of them, what people did, maintenance windows."""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, Table, Text, UniqueConstraint

from .state_schema import metadata

alerts: Final = Table(
    "featurewatch_alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("environment", Text, nullable=False),
    # The episode's (rule, feature, environment) while it is open, then null: of these one is open at a time.
    Column("open", Text),
    Column("status", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("triggered_ns", BigInteger, nullable=False),
    Column("resolved_ns", BigInteger),
    Column("condition_active", Boolean, nullable=False),
    Column("alert", JSON, nullable=False),
    # What Alertmanager knows it by, and what we asked of it: kept apart from what is shown.
    Column("instances", JSON, nullable=False),
    Column("hold", JSON, nullable=False),
    UniqueConstraint("open", name="featurewatch_alerts_open"),
    Index("featurewatch_alerts_page", "triggered_ns", "id"),
    Index("featurewatch_alerts_feature", "feature", "triggered_ns", "id"),
    Index("featurewatch_alerts_rule", "rule", "feature", "environment", "triggered_ns"),
)

remarks: Final = Table(
    "featurewatch_alert_remarks",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("alert", Text, nullable=False),
    # A comment of a person, or a delivery: what is told in one list of what happened.
    Column("kind", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("featurewatch_alert_remarks_alert", "alert", "position"),
    sqlite_autoincrement=True,
)

maintenance: Final = Table(
    "featurewatch_maintenance",
    metadata,
    Column("id", Text, primary_key=True),
    Column("feature", Text, nullable=False),
    Column("environment", Text),
    Column("starts_ns", BigInteger, nullable=False),
    Column("ends_ns", BigInteger, nullable=False),
    Column("window", JSON, nullable=False),
    Index("featurewatch_maintenance_feature", "feature", "ends_ns"),
)

marks: Final = Table(
    "featurewatch_marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
)
