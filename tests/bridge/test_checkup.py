"""What the bridge finds out about itself in the background: on /readyz?verbose, on /metrics, and of test alerts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from featurewatch.alerts.routes import TEST_LABEL
from featurewatch.tokens import create
from waiting import until

from .running import API, bridge

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:9"


async def looked_at(client: httpx.AsyncClient, **headers: str) -> dict[str, Any]:
    """Ask until the examination that the first question began has ended."""
    first = (await client.get("/readyz?verbose", headers=headers)).json()["doctor"]
    assert first == {"state": "running", "findings": []}, "nobody waits for it"
    checkup = client.app.state.bridge.checkup  # type: ignore[attr-defined]  # see client_of
    await until(lambda: checkup.shown()["state"] != "running")
    told: dict[str, Any] = (await client.get("/readyz?verbose", headers=headers)).json()["doctor"]
    return told


async def test_a_bridge_without_a_stack_is_healthy(client: httpx.AsyncClient) -> None:
    told = await looked_at(client)
    assert told["state"] == "healthy", told
    assert told["counts"]["ok"] >= 3
    assert "doctor" not in (await client.get("/readyz")).json()
    text = (await client.get("/metrics")).text
    assert "featurewatch_doctor_runs_total 1.0" in text
    assert "featurewatch_doctor_last_run_timestamp_seconds 1." in text
    assert 'featurewatch_doctor_findings{check="reachable",severity="error"} 0.0' in text


async def test_what_is_wrong_is_told_with_what_to_do_and_counted(
    anyio_backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bridge(tmp_path, alertmanager_urls=(NOWHERE,), webhook_url=f"{NOWHERE}/x") as client:
        told = await looked_at(client)
        await client.app.state.bridge.checkup.refresh()  # type: ignore[attr-defined]  # see client_of
        logged = [record.getMessage() for record in caplog.records if record.name.endswith("checkup")]
        assert len(logged) == 1, "an error is logged when it is new"
        assert logged[0].endswith("; start it, or set FEATUREWATCH_ALERTMANAGER_URLS to where it is")
        assert told["state"] == "findings"
        first = told["findings"][0]
        assert (first["check"], first["subject"]) == ("reachable", f"Alertmanager at {NOWHERE}")
        assert first["todo"] == "start it, or set FEATUREWATCH_ALERTMANAGER_URLS to where it is"
        text = (await client.get("/metrics")).text
        assert 'featurewatch_doctor_findings{check="reachable",severity="error"} 1.0' in text
        assert (await client.get("/readyz")).json()["status"] == "ready", "what it finds makes nothing unready"


async def test_only_those_who_see_all_are_shown_it(anyio_backend: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    _, one = create(file, role="viewer", features=["a*"])
    _, all_ = create(file, role="viewer")
    async with bridge(tmp_path, api_tokens_file=file) as client:
        for headers in ({}, {"Authorization": f"Bearer {one}"}):
            assert "doctor" not in (await client.get("/readyz?verbose", headers=headers)).json()
        assert "counts" in await looked_at(client, Authorization=f"Bearer {all_}")


async def test_a_test_alert_arrives_and_is_no_episode(client: httpx.AsyncClient) -> None:
    labels = {"alertname": "FeaturewatchDoctor", TEST_LABEL: "t1", "feature": "chat", "environment": "production",
              "rule_id": "r"}  # fmt: skip
    alert = {"status": "firing", "labels": labels, "startsAt": "2026-01-31T12:00:00Z", "fingerprint": "f1"}
    assert (await client.get(f"{API}/doctor/alerts/t1")).status_code == 404
    answer = await client.post(f"{API}/webhooks/alertmanager", json={"version": "4", "alerts": [alert]})
    assert answer.status_code == 204
    told = (await client.get(f"{API}/doctor/alerts/t1")).json()
    assert told["id"] == "t1"
    assert told["received_at"].endswith("Z")
    assert (await client.get(f"{API}/alerts")).json()["alerts"] == []


async def test_few_test_alerts_are_remembered(client: httpx.AsyncClient) -> None:
    checkup = client.app.state.bridge.checkup  # type: ignore[attr-defined]  # see client_of
    checkup.arrived([f"t{number}" for number in range(1000)])
    assert checkup.arrival("t0") is None
    assert checkup.arrival("t999") is not None
