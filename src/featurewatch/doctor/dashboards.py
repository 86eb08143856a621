"""The queries of all dashboards, with the variables filled in as a freshly opened dashboard has them."""

from __future__ import annotations

from pathlib import Path

from ..dashboard_queries import SCRAPE_S, interpolate, load, queries_of, values_of
from .findings import Finding, broken, left_out
from .queries import Asked

__all__ = ["read"]

RANGE_S = 3600.0
STEP_S = 15.0


def read(folder: Path | None, scrape_s: float = SCRAPE_S) -> tuple[list[Asked], list[Finding]]:
    """Read the dashboards of a folder (None: those that came with featurewatch); what cannot be read is found.

    Args:
        scrape_s: how often what they show is scraped, which Grafana has to be told where it is longer than it assumes.
    """
    try:
        boards = load(folder)
    except (OSError, ValueError) as error:
        return [], [
            broken(
                "dashboard",
                str(folder or "dashboards"),
                str(error),
                "correct the file, or name its folder with --dashboards",
            )
        ]
    if not boards:
        return [], [
            broken(
                "dashboard",
                str(folder or "dashboards"),
                "there is no dashboard",
                "name the folder of their JSON files with --dashboards",
            )
        ]
    asked: list[Asked] = []
    found: list[Finding] = []
    if scrape_s > SCRAPE_S:
        pace = f"{scrape_s:g} s"
        found.append(
            left_out(
                "dashboard",
                "Grafana",
                f"what it shows is scraped every {pace}, and it assumes {SCRAPE_S:g} s where nobody tells it: rates "
                f"would be empty. Set the scrape interval of its Prometheus datasource (timeInterval) to {pace}, as is "
                "assumed here",
            )
        )
    for board in boards:
        values = values_of(board)
        for query in queries_of(board):
            where = f"{query.dashboard} / {query.panel}" + (f" ({query.ref})" if query.ref else "")
            try:
                asked.append(
                    Asked(where, interpolate(query.expr, values, RANGE_S, STEP_S, max(scrape_s, SCRAPE_S)), query.kind)
                )
            except ValueError as error:
                found.append(
                    broken("dashboard", where, str(error), "add the variable to the dashboard, or correct its name")
                )
    return asked, found
