"""A storm of alerts: 5,000 in one webhook, told three times, until each was stored and heard by every stream.

The peer is the least that keeps what was told: plain SQLite, one row an alert, its body as JSON, one transaction.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect

from featurewatch.bridge.app import create_app
from featurewatch.bridge.server import listen
from featurewatch.settings import load

FEATURES = 100


def storm(count: int, status: str) -> dict[str, Any]:
    alerts = [
        {
            "status": status,
            "labels": {
                "alertname": "Errors", "feature": f"feature-{number % FEATURES}", "environment": "production",
                "rule_id": f"rule-{number}", "metric": "error_rate", "severity": "high",
                "featurewatch_route": "ops@60m",
            },
            "annotations": {"title": "Errors Alert", "message": "error_rate is 30", "value": "30", "threshold": "20"},
            "startsAt": "2026-01-31T12:00:00Z",
            "endsAt": "2026-01-31T12:09:00Z" if status == "resolved" else "0001-01-01T00:00:00Z",
            "fingerprint": f"{number:016x}",
            "generatorURL": "http://127.0.0.1:9090/graph",
        }
        for number in range(count)
    ]  # fmt: skip
    return {"version": "4", "receiver": "featurewatch", "alerts": alerts}


async def measured(count: int, clients: int) -> dict[str, float]:
    import uvicorn

    with tempfile.TemporaryDirectory() as folder:
        app = create_app(load({}, data_dir=Path(folder)))
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, log_config=None, lifespan="on", ws_max_size=2**24)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        url = f"127.0.0.1:{port}/api/v1"
        heard = [Counter[str]() for _ in range(clients)]
        ids: list[set[str]] = [set() for _ in range(clients)]
        ready = asyncio.Event()
        opened = 0

        async def listen_to(number: int) -> None:
            nonlocal opened
            async with connect(f"ws://{url}/websocket?featureId=*&batch=true", max_size=None) as socket:
                async for frame in socket:
                    for message in json.loads(frame):
                        heard[number][message["type"]] += 1
                        if message["type"] == "connection_confirmed":
                            opened += 1
                            if opened == clients:
                                ready.set()
                        elif message["type"] == "alert_triggered":
                            ids[number].add(message["data"]["id"])

        listeners = [asyncio.create_task(listen_to(number)) for number in range(clients)]
        await ready.wait()
        found: dict[str, float] = {}
        async with httpx.AsyncClient(timeout=120) as http:
            for status, event in (("firing", "alert_triggered"), ("resolved", "alert_resolved")):
                body = json.dumps(storm(count, status)).encode()
                began = time.perf_counter()
                for times in range(3):
                    answer = await http.post(
                        f"http://{url}/webhooks/alertmanager",
                        content=body,
                        headers={"Content-Type": "application/json"},
                    )
                    answer.raise_for_status()
                    if times == 0:
                        found[f"{status}: answered"] = time.perf_counter() - began
                while any(one[event] < count for one in heard):
                    assert time.perf_counter() - began < 120, heard
                    await asyncio.sleep(0.005)
                found[f"{status}: three times, all heard"] = time.perf_counter() - began
            await asyncio.sleep(1)
            for one, known in zip(heard, ids, strict=True):
                assert one["alert_triggered"] == one["alert_resolved"] == len(known) == count, one
            kept: list[Any] = []
            cursor: str | None = ""
            while cursor is not None:
                page = (await http.get(f"http://{url}/alerts?limit=1000&cursor={cursor}")).json()
                kept += page["alerts"]
                cursor = page["next_cursor"]
            assert len({alert["ruleId"] for alert in kept}) == len(kept) == count
        for task in listeners:
            task.cancel()
        server.should_exit = True
        await serving
        return found


def peer(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "alerts.db")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE alerts (id TEXT PRIMARY KEY, body TEXT)")
        body = json.dumps(storm(count, "firing")).encode()
        began = time.perf_counter()
        for _ in range(3):
            with database:
                rows = [
                    (alert["fingerprint"] + alert["startsAt"], json.dumps(alert))
                    for alert in json.loads(body)["alerts"]
                ]
                database.executemany("INSERT OR REPLACE INTO alerts VALUES (?, ?)", rows)
        took = time.perf_counter() - began
        database.close()
        return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=5_000)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rounds = [asyncio.run(measured(given.alerts, given.clients)) for _ in range(given.rounds)]
    others = statistics.median(peer(given.alerts) for _ in range(given.rounds))
    print(f"{given.alerts} alerts in one webhook, {given.clients} streams, medians of {given.rounds}; each heard once")
    for name in rounds[0]:
        took = statistics.median(one[name] for one in rounds)
        print(f"  {name:36} {took:6.2f} s   {took / others:5.1f} x plain SQLite ({others:.2f} s), goal 5 s")


if __name__ == "__main__":
    main()
