"""The queries of Grafana dashboards: read from their JSON, written out as Grafana would send them. Pure but for `load`.

A dashboard names its variables in its queries (`$feature`, `$__rate_interval`). `queries_of` finds every query of
every panel, annotation and variable; `interpolate` fills the variables in; `values_of` tells what a dashboard's own
variables hold when it is opened. So whoever wants to know that no dashboard is broken asks what Grafana asks.
https://grafana.com/docs/grafana/latest/visualizations/dashboards/variables/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

__all__ = ["SCRAPE_S", "Dashboard", "Query", "Values", "folder", "interpolate", "load", "queries_of", "values_of"]

Dashboard: TypeAlias = Mapping[str, Any]
"""A dashboard's JSON, as Grafana exports and provisions it (the classic schema)."""

Values: TypeAlias = Mapping[str, str | Sequence[str]]
"""Variables by name: one value, which is put in as it is, or those that are chosen, of which a series has one."""

SCRAPE_S: Final = 15.0
"""The scrape interval that a Prometheus datasource of Grafana assumes where it is told none."""

_ALL: Final = "$__all"
_VARIABLE: Final = re.compile(
    r"\$\{(?P<braced>\w+)(?::(?P<form>\w+))?\}|\[\[(?P<old>\w+)(?::\w+)?\]\]|\$(?P<bare>[A-Za-z_]\w*)"
)
_LABEL_VALUES: Final = re.compile(r"label_values\(\s*(?P<selector>.+?)\s*,\s*(?P<label>\w+)\s*\)", re.DOTALL)
_QUERY_RESULT: Final = re.compile(r"query_result\((?P<expr>.+)\)", re.DOTALL)
_SPECIAL: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")


class Query(NamedTuple):
    """One query of a dashboard, its variables not filled in.

    Attributes:
        dashboard: its uid, or its title where it has none.
        panel: the panel's title; `annotation: …` or `variable: …` where none shows it.
        ref: the query's letter.
        kind: of the datasource: prometheus, loki, alertmanager, …; "" where it names none.
        expr: PromQL or LogQL. What a variable lists is written as the PromQL that finds it.
    """

    dashboard: str
    panel: str
    ref: str
    kind: str
    expr: str


def folder() -> Path:
    """Return where the dashboards are that came with the package, or with the checkout."""
    packaged = Path(__file__).parent / "dashboards"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "grafana" / "dashboards"


def load(where: Path | None = None) -> list[Dashboard]:
    """Read the dashboards of a folder, sorted by file name; without one, those that came with featurewatch.

    Raises:
        OSError: a file cannot be read. ValueError: one is no dashboard; the message names it.
    """
    found: list[Dashboard] = []
    for path in sorted((where or folder()).glob("*.json")):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: expected a dashboard's JSON, got {error}") from error
        if not isinstance(told, dict) or not isinstance(told.get("panels"), list):
            raise ValueError(f"{path}: expected a dashboard with a list of panels; export it from Grafana as JSON")
        found.append(told)
    return found


def queries_of(dashboard: Dashboard) -> list[Query]:
    """List every query of a dashboard: of its panels, those in collapsed rows too, its annotations and variables."""
    name = str(dashboard.get("uid") or dashboard.get("title", ""))
    found = []
    for panel in panels_of(dashboard):
        for target in panel.get("targets") or ():
            kind = _kind(target) or _kind(panel)
            found.append(Query(name, str(panel.get("title", "")), str(target.get("refId", "")), kind, _expr(target)))
    for told in dashboard.get("annotations", {}).get("list") or ():
        expr = str(told.get("expr") or _expr(told.get("target") or {}))
        if expr:
            found.append(Query(name, f"annotation: {told.get('name', '')}", "", _kind(told), expr))
    for told in dashboard.get("templating", {}).get("list") or ():
        expr = _listed(told.get("query")) if told.get("type") == "query" else ""
        if expr:
            found.append(Query(name, f"variable: {told.get('name', '')}", "", _kind(told), expr))
    return [query for query in found if query.expr]


def panels_of(dashboard: Dashboard) -> Iterator[Mapping[str, Any]]:
    """Yield a dashboard's panels, rows left out and what is in them taken in."""
    for panel in dashboard.get("panels") or ():
        if panel.get("type") == "row":
            yield from panel.get("panels") or ()
        else:
            yield panel


def values_of(dashboard: Dashboard) -> dict[str, str | list[str]]:
    """Tell what a dashboard's variables hold when it is opened; one asked of a datasource holds all there is."""
    values: dict[str, str | list[str]] = {}
    for told in dashboard.get("templating", {}).get("list") or ():
        name, chosen = str(told.get("name", "")), (told.get("current") or {}).get("value")
        if told.get("includeAll") and (told.get("type") == "query" or chosen in (None, "", _ALL, [_ALL])):
            values[name] = str(told.get("allValue") or ".*")
        elif isinstance(chosen, list):
            values[name] = [str(one) for one in chosen]
        elif chosen is not None:
            values[name] = str(chosen)
        else:
            query = told.get("query", "")
            values[name] = query.split(",")[0] if isinstance(query, str) and told.get("type") != "query" else ""
    return values


def interpolate(expr: str, variables: Values, range_s: float, step_s: float, scrape_s: float = SCRAPE_S) -> str:
    """Fill in the variables of a query: a dashboard's own, and those of Grafana.

    Args:
        range_s: the time range that the dashboard shows.
        step_s: between two points: `$__interval`, and Loki's `$__auto`.
        scrape_s: how often the datasource is scraped: `$__rate_interval` is never less than four times that.

    Raises:
        ValueError: a variable has no value.

    >>> interpolate('rate(x{feature=~"$feature"}[$__rate_interval])', {"feature": ["a", "b.c"]}, 3600, 15)
    'rate(x{feature=~"(a|b\\\\\\\\.c)"}[60s])'
    """
    own = {
        "__interval": _seconds(step_s),
        "__interval_ms": str(round(step_s * 1000)),
        "__auto": _seconds(step_s),
        "__rate_interval": _seconds(max(step_s + scrape_s, 4 * scrape_s)),
        "__range": _seconds(range_s),
        "__range_s": str(round(range_s)),
        "__range_ms": str(round(range_s * 1000)),
    }

    def fill(match: re.Match[str]) -> str:
        name = match["braced"] or match["old"] or match["bare"]
        value = own.get(name) if name in own else variables.get(name)
        if value is None:
            known = ", ".join(sorted(variables)) or "none"
            raise ValueError(f"expected a value for the variable {name}, got values for: {known}")
        return value if isinstance(value, str) else _alternatives(value, match["form"] or "")

    return _VARIABLE.sub(fill, expr)


def _alternatives(values: Sequence[str], form: str) -> str:
    """Write several values as Grafana does in PromQL and LogQL: a pattern, its backslashes escaped for the string."""
    if form in ("pipe", "raw", "csv"):
        return ("|" if form == "pipe" else ",").join(values)
    patterns = [_SPECIAL.sub(lambda mark: "\\\\" + mark.group(), value) for value in values]
    return patterns[0] if len(patterns) == 1 else f"({'|'.join(patterns)})"


def _kind(told: Mapping[str, Any]) -> str:
    source = told.get("datasource")
    return str(source.get("type", "")) if isinstance(source, dict) else ""


def _expr(target: Mapping[str, Any]) -> str:
    return str(target.get("expr") or "")


def _listed(query: object) -> str:
    """Write what a variable asks for as PromQL: the series whose labels it lists; "" where it is no such query."""
    text = str(query.get("query", "")) if isinstance(query, dict) else str(query or "")
    if found := _LABEL_VALUES.fullmatch(text.strip()):
        return f"group by ({found['label']}) ({found['selector']})"
    return found["expr"] if (found := _QUERY_RESULT.fullmatch(text.strip())) else ""


def _seconds(value: float) -> str:
    return f"{max(1, round(value * 1000))}ms" if value != round(value) or value < 1 else f"{round(value)}s"
