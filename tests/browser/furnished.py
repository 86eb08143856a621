"""A real bridge with real calls, lines, test results, a rule and the alert that follows from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from running import Running, bridge

QUICK = {
    "FEATUREWATCH_METRICS_INTERVAL": "1",
    "FEATUREWATCH_EVALUATION_INTERVAL": "1",
    "FEATUREWATCH_GRAFANA_URL": "https://grafana.example/",
}


@contextmanager
def served(folder: Path, env: Mapping[str, str] | None = None, *, authorization: str = "") -> Iterator[Running]:
    """Run a bridge and tell it of three features: one that works, one that fails and alerts, one that only logs."""
    with bridge(folder, env={**QUICK, **(env or {})}) as running:
        headers = {"authorization": authorization} if authorization else {}
        with httpx.Client(base_url=f"{running.url}/api/v1", headers=headers, timeout=30) as client:
            furnish(client)
        yield running


def furnish(client: httpx.Client) -> None:
    """Send what the pages show, and wait until the alert is open."""
    works = {"outcome": "success", "duration_ms": 412, "model": "gpt-5-mini", "tokens": {"input": 812, "output": 120}}
    told(client, "POST", "/features/summarize/requests?environment=production", [works] * 40)
    fails = {"outcome": "error", "error_type": "TimeoutError", "duration_ms": 900, "model": "claude-haiku-4-5"}
    told(client, "POST", "/features/extract/requests?environment=production", [works] * 10 + [fails] * 15)
    told(client, "POST", "/features/extract/requests?environment=staging", [works])
    lines = [{"featureId": "search", "environment": "production", "message": f"looked up {word}"} for word in "abc"]
    told(client, "POST", "/logs", lines)
    line = {"featureId": "extract", "environment": "production", "level": "error", "message": "page 3: timed out"}
    told(client, "POST", "/logs", line)
    results = [
        {"name": "in French", "passed": False, "message": "answered in English"},
        {"name": "smoke", "passed": True},
    ]
    told(client, "POST", "/features/extract/test-results?environment=production", results)
    told(client, "PATCH", "/features/extract", {"name": "Extraction", "owner": "docs"})
    rule = {"name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 20, "severity": "high",
            "for_minutes": 0, "environment": "production"}  # fmt: skip
    told(client, "POST", "/features/extract/alerts/rules", rule)
    deadline = time.monotonic() + 30
    while not told(client, "GET", "/features/extract/alerts?status=open")["alerts"]:
        assert time.monotonic() < deadline, "the rule did not fire"
        threading.Event().wait(0.05)


def told(client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    """Ask the bridge for something that it must not refuse."""
    answer = client.request(method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None
