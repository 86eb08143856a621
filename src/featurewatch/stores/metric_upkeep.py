"""What keeps the embedded metric store small and its verdicts in line with the settings; in small transactions."""

from __future__ import annotations

import sqlite3
from typing import Final

from ..times import NS
from .metric_schema import HOURS, LATE_S, MINUTES, TIERS, Tier, rejudge

__all__ = ["adopt_threshold", "count_round", "forget_rest", "forget_rows"]

_SLICE: Final = 360
"""So many row times are deleted in one transaction: half an hour of the finest tier."""

_CALL_IDS_S: Final = 24 * 3600
_SILENT_ROUNDS: Final = 2 * 24 * 60


def adopt_threshold(db: sqlite3.Connection, threshold: float, now_ns: int) -> None:
    """Judge the minutes anew where the uptime threshold is another than at the last start; older hours stay."""
    row = db.execute("SELECT value FROM notes WHERE name = 'uptime_threshold'").fetchone()
    if row is not None and row[0] != threshold:
        db.execute(rejudge("true"), {"threshold": threshold})
        db.execute(
            "UPDATE hours SET (up, down) = (SELECT ifnull(sum(up), 0), ifnull(sum(down), 0) FROM minutes "
            f"WHERE t >= hours.t AND t < hours.t + {HOURS.width_s} AND k = hours.k) "
            "WHERE t >= ?",
            (now_ns / NS - MINUTES.held_s,),
        )
    db.execute("INSERT OR REPLACE INTO notes VALUES ('uptime_threshold', ?)", (threshold,))


def count_round(db: sqlite3.Connection) -> int:
    """Count a minute of the store's own running time; how many there were is returned.

    Silence is measured by it, since a process is not silent while there is nobody to hear it.
    """
    row = db.execute(
        "INSERT INTO notes VALUES ('round', 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value"
    ).fetchone()
    return int(row[0])


def forget_rows(db: sqlite3.Connection, tier: Tier, retention_s: float, now_ns: int) -> bool:
    """Delete a slice of a tier's oldest rows; whether there may be more is returned."""
    cutoff = int(now_ns / NS - min(tier.held_s, retention_s) - LATE_S)
    more = False
    for table in (tier.table, f"{tier.table}_labelled"):
        (oldest,) = db.execute(f"SELECT min(t) FROM {table}").fetchone()
        if oldest is not None and oldest < cutoff:
            end = min(cutoff, oldest + _SLICE * tier.width_s)
            db.execute(f"DELETE FROM {table} WHERE t < ?", (end,))
            more = more or end < cutoff
    return more


def forget_rest(db: sqlite3.Connection, retention_s: float, round_: int, now_ns: int) -> None:
    """Delete positions of processes long silent, call ids past their day, and features of which nothing is left."""
    db.execute("DELETE FROM processes WHERE round < ?", (round_ - _SILENT_ROUNDS,))
    db.execute("DELETE FROM calls WHERE told_s < ?", (now_ns // NS - _CALL_IDS_S,))
    db.execute("DELETE FROM presence WHERE to_ns < ?", (now_ns - int(retention_s * NS),))
    db.execute(
        "DELETE FROM keys WHERE k NOT IN (SELECT k FROM presence) AND k NOT IN (SELECT k FROM processes) "
        f"AND {' AND '.join(f'NOT EXISTS (SELECT 1 FROM {tier.table} WHERE k = keys.k)' for tier in TIERS)}"
    )
