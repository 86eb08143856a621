"""Ask every query of every dashboard, and say which fail, are empty or are no number.

    python grafana/check_queries.py --prometheus http://127.0.0.1:9090 --loki http://127.0.0.1:3100
    python grafana/check_queries.py --minutes 5     # starts the demo before servers of its own, and asks them

The second needs what the tests need: Prometheus and Alertmanager, and Loki where its queries are to be asked too.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from featurewatch.dashboard_queries import Dashboard, Query, interpolate, load, queries_of, values_of

RANGE_S: Final = 300.0
STEP_S: Final = 15.0


class Answer(NamedTuple):
    """What came of a query: how many series or lines, the greatest last value, and what is wrong, "" if nothing is."""

    query: Query
    expr: str
    series: int = 0
    last: str = ""
    problem: str = ""


def ask(
    dashboards: Iterable[Dashboard],
    prometheus: str,
    loki: str = "",
    *,
    scrape_s: float = STEP_S,
    range_s: float = RANGE_S,
) -> Iterator[Answer]:
    """Ask each query as Grafana would ask for now; those for Loki only where its address is given."""
    with httpx.Client(timeout=60) as client:
        for dashboard in dashboards:
            values = values_of(dashboard)
            for query in queries_of(dashboard):
                expr = interpolate(query.expr, values, range_s, STEP_S, scrape_s)
                if query.kind == "prometheus":
                    yield _asked(client, query, expr, f"{prometheus}/api/v1/query", {"query": expr})
                elif query.kind == "loki" and loki:
                    yield _asked(client, query, expr, *_of_loki(loki, expr, range_s))
                elif query.kind != "loki":
                    yield Answer(query, expr, problem=f"expected a datasource, prometheus or loki, got {query.kind!r}")


def table(answers: Iterable[Answer]) -> str:
    """Write answers as a table: dashboard, panel, query, series, last value."""
    head = ("dashboard", "panel", "ref", "query", "series", "last value")
    rows = [head]
    for answer in answers:
        query, last = answer.query, answer.problem or answer.last
        shown = answer.expr if len(answer.expr) <= 90 else answer.expr[:89] + "…"
        rows.append((query.dashboard, query.panel, query.ref, shown, str(answer.series), last))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _of_loki(loki: str, expr: str, range_s: float) -> tuple[str, dict[str, Any]]:
    if not expr.startswith("{"):
        return f"{loki}/loki/api/v1/query", {"query": expr}
    now = time.time_ns()
    params = {"query": expr, "start": now - int(range_s * 1e9), "end": now, "limit": 100}
    return f"{loki}/loki/api/v1/query_range", params


def _asked(client: httpx.Client, query: Query, expr: str, url: str, params: dict[str, Any]) -> Answer:
    try:
        answer = client.get(url, params=params)
    except httpx.HTTPError as error:
        return Answer(query, expr, problem=f"no answer: {error!r}")
    if answer.status_code != 200:
        return Answer(query, expr, problem=f"{answer.status_code}: {answer.text.strip()[:300]}")
    data = answer.json()["data"]
    found = data["result"]
    if data["resultType"] == "scalar":
        return _judged(query, expr, 1, [found[1]])
    if data["resultType"] == "streams":
        lines = [line for stream in found for _, line in stream["values"]]
        return Answer(query, expr, len(lines), lines[0][:60] if lines else "", "" if lines else "empty")
    return _judged(query, expr, len(found), [series["value"][1] for series in found])


def _judged(query: Query, expr: str, count: int, values: Sequence[str]) -> Answer:
    numbers = [float(value) for value in values]
    if not numbers:
        return Answer(query, expr, problem="empty")
    if not all(map(math.isfinite, numbers)):
        return Answer(query, expr, count, problem="not a number" if any(map(math.isnan, numbers)) else "infinite")
    return Answer(query, expr, count, f"{max(numbers):.6g}")


def main(arguments: list[str] | None = None) -> int:
    """Print what came of every query; 1 where one fails, is empty or is no number."""
    parser = argparse.ArgumentParser(prog="python grafana/check_queries.py", description=main.__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="default: http://127.0.0.1:9090")
    parser.add_argument("--loki", default="", help="without it, queries for Loki are left out")
    parser.add_argument("--dashboards", type=Path, help="a folder of dashboards; default: those of featurewatch")
    parser.add_argument("--minutes", type=float, help="start the demo and its servers, and ask after so many minutes")
    options = parser.parse_args(arguments)
    dashboards = load(options.dashboards)
    if options.minutes is None:
        return _report(list(ask(dashboards, options.prometheus, options.loki)))
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from demo_stack import SCRAPE_S, demo_stack  # type: ignore[import-not-found]  # a helper of the tests

    with tempfile.TemporaryDirectory() as folder:
        until = time.monotonic() + options.minutes * 60
        with demo_stack(Path(folder)) as stack:
            time.sleep(max(0.0, until - time.monotonic()))
            loki = stack.loki.url if stack.loki else ""
            return _report(list(ask(dashboards, stack.prometheus.url, loki, scrape_s=SCRAPE_S)))


def _report(answers: Sequence[Answer]) -> int:
    wrong = [answer for answer in answers if answer.problem]
    sys.stdout.write(f"{table(answers)}\n\n{len(answers)} queries, {len(wrong)} of them broken\n")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
