"""The tables of the embedded metric store: what features gained, summed by time in three widths.

A row of a tier holds what one feature and environment gained in the time (t, t + width], t in seconds since the
epoch. Rows begin with the time, so that writing appends and forgetting cuts off the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .. import families
from ..families import BUCKETS
from ..model import OUTCOMES
from ..times import NS

__all__ = [
    "COLUMNS", "FINE", "HOURS", "LATE_S", "MINUTES", "PRESENCE", "SCHEMA", "SKEW_S", "TIERS", "VERSION", "Tier",
    "buckets", "rejudge", "upsert", "upsert_labelled",
]  # fmt: skip

VERSION: Final = 1

SKEW_S: Final = 900
"""Clocks of apps may run ahead so far; their newest rows lie in the future."""

LATE_S: Final = 600
"""Rows stay so much longer than reads rely on them."""


@dataclass(frozen=True, slots=True, eq=False)
class Tier:
    """Rows of one width; reads rely on them for `held_s` seconds. Durations in seconds."""

    table: str
    width_s: int
    held_s: float

    def time_of(self, until_ns: int) -> int:
        """Find the row that an instant belongs to: a row includes its end, not its beginning."""
        return (until_ns - 1) // (self.width_s * NS) * self.width_s


FINE: Final = Tier("fine", 5, 2 * 3600)
MINUTES: Final = Tier("minutes", 60, 8 * 86_400)
HOURS: Final = Tier("hours", 3600, float("inf"))  # as long as the retention allows
TIERS: Final = (FINE, MINUTES, HOURS)


def _buckets_of(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{n}" for n in range(len(BUCKETS) + 1))


DURATION_COLUMNS: Final = _buckets_of("d")
FIRST_TOKEN_COLUMNS: Final = _buckets_of("f")
COLUMNS: Final = (*OUTCOMES, "ok", "failed", "d_sum", "f_sum", *DURATION_COLUMNS, *FIRST_TOKEN_COLUMNS)
"""The columns that gains are added to: calls by outcome, probe results, and the two histograms."""

PRESENCE: Final = {
    name: 1 << bit
    for bit, name in enumerate(name for name, family in families.FAMILIES.items() if family.kind != "gauge")
}
"""A bit for each family that counts: which of them a feature had at a time, whether they gained anything or not."""

_TIER_TABLES = ";".join(
    f"""
CREATE TABLE {tier.table} (
    t INTEGER NOT NULL, k INTEGER NOT NULL, up INTEGER NOT NULL DEFAULT 0, down INTEGER NOT NULL DEFAULT 0,
    {", ".join(f"{column} NOT NULL DEFAULT 0" for column in COLUMNS)},
    PRIMARY KEY (t, k)
) WITHOUT ROWID;
CREATE TABLE {tier.table}_labelled (
    t INTEGER NOT NULL, k INTEGER NOT NULL, s INTEGER NOT NULL, v NOT NULL,
    PRIMARY KEY (t, k, s)
) WITHOUT ROWID
"""
    for tier in TIERS
)

SCHEMA: Final = f"""
CREATE TABLE keys (
    k INTEGER PRIMARY KEY, feature TEXT NOT NULL, environment TEXT NOT NULL,
    UNIQUE (feature, environment)
);
CREATE TABLE series (
    s INTEGER PRIMARY KEY, family TEXT NOT NULL, labels TEXT NOT NULL,
    UNIQUE (family, labels)
);
{_TIER_TABLES};
-- one row for each feature of each process: when it was heard last and before that, its gauges, and the last sample
-- of each of its series, so that a push is one read and one write for each feature
CREATE TABLE processes (
    k INTEGER NOT NULL, instance TEXT NOT NULL, heard_ns INTEGER NOT NULL, before_ns INTEGER NOT NULL,
    round INTEGER NOT NULL, in_progress INTEGER, budget REAL, info TEXT, points BLOB NOT NULL,
    UNIQUE (k, instance)
);
CREATE INDEX processes_by_round ON processes (round);
-- when which families (bits of PRESENCE) of a feature had series
CREATE TABLE presence (k INTEGER NOT NULL, families INTEGER NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL);
CREATE INDEX presence_by_key ON presence (k, to_ns);
CREATE INDEX presence_by_time ON presence (to_ns, k, families);
CREATE TABLE calls (k INTEGER NOT NULL, id TEXT NOT NULL, told_s INTEGER NOT NULL, PRIMARY KEY (k, id)) WITHOUT ROWID;
CREATE INDEX calls_by_time ON calls (told_s);
CREATE TABLE notes (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
"""


def upsert(tier: Tier) -> str:
    """Render the statement that adds (t, k, *COLUMNS) to a row."""
    names = ", ".join(COLUMNS)
    added = ", ".join(f"{column} = {column} + excluded.{column}" for column in COLUMNS)
    return (
        f"INSERT INTO {tier.table} (t, k, {names}) VALUES (?, ?{', ?' * len(COLUMNS)}) "
        f"ON CONFLICT DO UPDATE SET {added}"
    )


def upsert_labelled(tier: Tier) -> str:
    """Render the statement that adds (t, k, s, v) to a labelled row."""
    return f"INSERT INTO {tier.table}_labelled VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET v = v + excluded.v"


def rejudge(where: str) -> str:
    """Render the statement that says of minutes whether they were up; `:threshold` is the percentage of failures.

    Calls that succeeded or failed decide; where there were none, the results of a probe; else nothing does.
    """
    verdict = (
        "CASE WHEN success + error > 0 THEN error * 100.0 < :threshold * (success + error) "
        "WHEN ok + failed > 0 THEN failed * 100.0 < :threshold * (ok + failed) END"
    )
    return f"UPDATE minutes SET up = ifnull({verdict}, 0), down = ifnull(1 - ({verdict}), 0) WHERE {where}"


def buckets() -> str:
    """Render a table `bucket(t)` of the row times from :first up to :end (exclusive), :width apart.

    Joined to a tier it finds one feature's rows one by one, where a range would pass over those of all features.
    """
    return (
        "WITH RECURSIVE bucket(t) AS (SELECT :first WHERE :first < :end "
        "UNION ALL SELECT t + :width FROM bucket WHERE t + :width < :end)"
    )
