"""Rules for the tests of publishing: small ones, and wrong ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from featurewatch.alerts.prometheus_files import PrometheusFiles
from featurewatch.alerts.proof import PREFIX
from featurewatch.alerts.routes import Route
from featurewatch.alerts.rule_check import RuleCheck
from featurewatch.alerts.rule_files import Group, Rule
from featurewatch.alerts.ruler_api import Ruler
from featurewatch.alerts.rulers import RuleGroup
from featurewatch.alerts.tools import Tool
from featurewatch.stores.upstream import Target, Upstream


def group(
    rule: str,
    expr: str = "vector(1) > 0",
    *,
    file: str = "chat.yml",
    revision: int = 1,
    keep_firing: int = 0,
    route: Route = Route((), 0),  # noqa: B008  # a tuple
) -> RuleGroup:
    annotations = {"title": f"{rule} Alert", "message": "it is {{ $value }}", "revision": f"{revision}.{hash(expr):x}"}
    labels = {"rule_id": rule, "feature": "chat", "severity": "low"}
    return RuleGroup(
        rule, revision, file, Group(PREFIX + rule, (Rule(rule, expr, 1, keep_firing, labels, annotations),)), route
    )


def by_id(groups: Iterable[RuleGroup]) -> dict[str, RuleGroup]:
    return {each.id: each for each in groups}


@asynccontextmanager
async def target_on(
    folder: Path,
    *urls: str,
    promtool: str = "promtool",
    step: Callable[[str], None] = lambda name: None,
    transport: httpx.AsyncBaseTransport | None = None,
    opened: bool = True,
) -> AsyncIterator[PrometheusFiles]:
    rulers = [
        Ruler(Upstream(Target("Prometheus", "FEATUREWATCH_PROMETHEUS", url, timeout_s=5), transport=transport))
        for url in urls
    ]
    target = PrometheusFiles(folder / "rules.d", rulers, RuleCheck(Tool(promtool, "PROMTOOL")), step=step)
    if opened:
        await target.open()
    try:
        yield target
    finally:
        await target.close()
