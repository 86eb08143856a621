"""The figures of the embedded metric store that cover one window, or hold now."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import orjson

from .. import families
from ..formulas import evaluate
from ..model import FeatureKey, Measurement, ModelCost
from ..times import NS
from .metric_schema import COLUMNS, HOURS, MINUTES
from .metric_windows import SCAN_ABOVE, Labelled, Names, Span, all_keys, rows_of, spans, wanted, window_of

__all__ = ["costs", "errors", "in_progress", "info", "measure"]

HEARD_WITHIN_S: Final = 300
"""A series is known, and a gauge's value holds, while its process was heard so recently."""


def measure(
    db: sqlite3.Connection, keys: Collection[FeatureKey] | None, window_s: float, uptime_window_s: float, now_ns: int
) -> dict[FeatureKey, Measurement]:
    """Measure every metric of the keys that have series; the others are absent from the answer."""
    known = wanted(db, keys)
    only = None if keys is None or len(known) > SCAN_ABOVE else list(known)
    sums: dict[int, dict[str, float]] = defaultdict(dict)
    labelled: dict[int, Labelled] = defaultdict(dict)
    for span in spans(window_s, now_ns):
        for k, row in _sum(db, span, COLUMNS, only):
            into = sums[k]
            for column, value in row.items():
                into[column] = into.get(column, 0) + value
        _sum_labelled(db, span, only, labelled)
    judged = _judged(db, uptime_window_s, now_ns, only)
    present = _present(db, now_ns - int(max(window_s, HEARD_WITHIN_S) * NS))
    measured = {}
    for k, key in known.items():
        up, down = judged.get(k, (0, 0))
        uptime = 100.0 * up / (up + down) if up + down else None
        window = window_of(window_s, sums.get(k, {}), labelled.get(k, {}), present.get(k, 0), uptime)
        measured[key] = Measurement(key, now_ns, evaluate(window))
    return measured


def costs(db: sqlite3.Connection, key: FeatureKey, window_s: float, now_ns: int) -> list[ModelCost]:
    labelled = _labelled_of(db, key, window_s, now_ns)
    cost, tokens = labelled.get(families.COST.name, {}), labelled.get(families.TOKENS.name, {})
    unpriced = labelled.get(families.UNPRICED.name, {})
    models = {labels[0] for series in (cost, tokens, unpriced) for labels in series}
    used: dict[str, dict[str, int]] = {model: {} for model in models}
    for (model, kind), value in tokens.items():
        used[model][kind] = round(value)
    answer = []
    for model in models:
        reported, estimated = cost.get((model, "reported"), 0.0), cost.get((model, "estimated"), 0.0)
        missing = round(unpriced.get((model,), 0))
        answer.append(ModelCost(model, reported + estimated, reported, estimated, used[model], missing))
    return sorted(answer, key=lambda one: (-one.cost_usd, one.model))


def errors(db: sqlite3.Connection, key: FeatureKey, window_s: float, now_ns: int) -> dict[str, int]:
    found = _labelled_of(db, key, window_s, now_ns).get(families.ERRORS.name, {})
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return {labels[0]: round(value) for labels, value in ordered if round(value)}


def in_progress(db: sqlite3.Connection, keys: Collection[FeatureKey] | None, now_ns: int) -> dict[FeatureKey, int]:
    rows = db.execute(
        "SELECT k, SUM(in_progress) FROM processes WHERE in_progress IS NOT NULL AND heard_ns > ? GROUP BY k",
        (now_ns - HEARD_WITHIN_S * NS,),
    ).fetchall()
    known = wanted(db, keys)
    return {known[k]: running for k, running in rows if k in known}


def info(db: sqlite3.Connection) -> dict[FeatureKey, dict[str, str]]:
    """Tell what the process heard last says of each feature."""
    known = all_keys(db)
    found: dict[FeatureKey, dict[str, str]] = {}
    for k, text, budget in db.execute("SELECT k, info, budget FROM processes ORDER BY heard_ns"):
        if text is not None:
            found.setdefault(known[k], {}).update(orjson.loads(text))
        if budget is not None:
            found.setdefault(known[k], {})["budget_usd_per_day"] = f"{budget:.10g}"
    return found


def _sum(
    db: sqlite3.Connection, span: Span, columns: Sequence[str], only: Sequence[int] | None
) -> Iterator[tuple[int, dict[str, float]]]:
    shown = ", ".join(["k", *(f"SUM({column})" for column in columns)])
    for k, *values in rows_of(db, span, shown, "", only, "GROUP BY k"):
        yield k, dict(zip(columns, values, strict=True))


def _sum_labelled(db: sqlite3.Connection, span: Span, only: Sequence[int] | None, into: dict[int, Labelled]) -> None:
    names = Names(db)
    for k, s, value in rows_of(db, span, "k, s, SUM(v)", "_labelled", only, "GROUP BY k, s"):
        family, labels = names[s]
        series = into[k].setdefault(family, {})
        series[labels] = series.get(labels, 0) + value


def _labelled_of(db: sqlite3.Connection, key: FeatureKey, window_s: float, now_ns: int) -> Labelled:
    only = list(wanted(db, [key]))
    found: dict[int, Labelled] = defaultdict(dict)
    for span in spans(window_s, now_ns):
        _sum_labelled(db, span, only, found)
    return next(iter(found.values()), {})


def _judged(
    db: sqlite3.Connection, window_s: float, now_ns: int, only: Sequence[int] | None
) -> dict[int, tuple[int, int]]:
    judged: dict[int, tuple[int, int]] = {}
    for span in spans(window_s, now_ns, (MINUTES, HOURS)):
        for k, row in _sum(db, span, ("up", "down"), only):
            up, down = judged.get(k, (0, 0))
            judged[k] = int(up + row["up"]), int(down + row["down"])
    return judged


def _present(db: sqlite3.Connection, since_ns: int) -> dict[int, int]:
    present: dict[int, int] = {}
    for k, bits in db.execute("SELECT k, families FROM presence WHERE to_ns > ?", (since_ns,)):
        present[k] = present.get(k, 0) | bits
    return present
