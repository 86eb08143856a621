"""The stack of the compose file as processes: its configuration files, commands and environment, on loopback."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from alertmanager import Sink
from compose import Stack, rewritten
from prometheus import Server, free_port, wait_for
from running import Running, bridge, command, environment

pytestmark = pytest.mark.stack

FASTER: Final = {
    "scrape_interval: 15s": "scrape_interval: 2s", "evaluation_interval: 15s": "evaluation_interval: 2s",
    "scrape_timeout: 10s": "scrape_timeout: 2s", "--rules.alert.resend-delay=15s": "--rules.alert.resend-delay=2s",
    "grpc_listen_port: 9095": "grpc_listen_address: 127.0.0.1",  # its port is given as an option
}  # fmt: skip
"""What a test does not wait for."""

FEATURES: Final = {"search", "classify", "summarize", "extract", "explain", "rewrite", "review"}


@dataclass
class Up:
    """The running stack; `api` speaks to its bridge as the person whom `init --show` told the token."""

    stack: Stack
    bridge: Running
    prometheus: Server
    alertmanager: Server
    loki: Server | None
    api: httpx.Client
    token: str


def program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no {names[0]} to test against (tests/install-system-packages installs it)")
    return found


def known_options(path: str, options: list[str]) -> list[str]:
    """Leave out options of newer releases than the one that is here."""
    told = subprocess.run([path, "--help"], capture_output=True, text=True, check=False)
    known = (told.stdout + told.stderr).replace("--[no-]", "--")
    return [option for option in options if option.partition("=")[0] in known]


def server(stack: Stack, service: str, path: str, *options: str, port: int, ready: str = "/-/ready") -> Server:
    """Prepare a service's server as its user: its command, at our address, with options of our own."""
    words = [*stack.as_user(service), path, *known_options(path, stack.command(service)), *options]
    folder = stack.volume(f"{service}-data")
    return Server(words[0], folder, stack.port(f"{service}:{port}"), words[1:], ready)


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    prometheus_program = program("prometheus")
    alertmanager_program = program("prometheus-alertmanager", "alertmanager")
    with ExitStack() as opened:
        # Not pytest's folder, into which other users than root may not look.
        folder = Path(opened.enter_context(TemporaryDirectory(prefix="fw-stack-", ignore_cleanup_errors=True)))
        folder.chmod(0o755)
        stack = Stack(folder, faster=FASTER)
        made = stack.init()
        assert made.returncode == 0, made.stderr
        at = stack.addresses
        prometheus = server(
            stack, "prometheus", prometheus_program, f"--web.listen-address={at['prometheus:9090']}", port=9090
        )
        alertmanager = server(
            stack, "alertmanager", alertmanager_program, f"--web.listen-address={at['alertmanager:9093']}", port=9093
        )
        loki = None
        if shutil.which("loki"):
            options = (
                "-server.http-listen-address=127.0.0.1",
                f"-server.http-listen-port={stack.port('loki:3100')}",
                f"-server.grpc-listen-port={stack.port('127.0.0.1:9095')}",
            )
            loki = server(stack, "loki", program("loki"), *options, port=3100, ready="/ready")
        servers = [one for one in (loki, prometheus, alertmanager) if one is not None]
        for one in servers:
            opened.callback(one.stop)
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, servers))
        env = stack.environment("bridge")
        if loki is None:
            del env["FEATUREWATCH_LOKI_URL"]
        data = Path(env.pop("FEATUREWATCH_DATA_DIR"))
        running = opened.enter_context(
            bridge(data, port=stack.port("bridge:8400"), env=env, within=stack.as_user("bridge"))
        )
        demo = subprocess.Popen(
            [*stack.as_user("demo"), sys.executable, "-m", "featurewatch.cli", *stack.command("demo")],
            env=environment(),
        )
        opened.callback(demo.wait, 30)
        opened.callback(demo.terminate)
        token = stack.init("--show").stdout.split()[2]
        headers = {"Authorization": f"Bearer {token}"}
        api = opened.enter_context(httpx.Client(base_url=f"{running.url}/api/v1", headers=headers, timeout=30))
        yield Up(stack, running, prometheus, alertmanager, loki, api, token)


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.close()


@pytest.fixture(scope="module")
def rule(up: Up, sink: Sink) -> dict[str, Any]:
    """A rule and a channel, made over REST before anything else is waited for."""
    channel = {"kind": "webhook", "settings": {"url": f"{sink.url}/ops", "bearer_token": "SECRET"}}
    assert up.api.put("/channels/ops", json=channel).status_code == 200
    body = {
        "name": "Busy", "metric": "total_requests", "condition": "greater_than", "threshold": 0, "severity": "high",
        "for_minutes": 0, "cooldown_minutes": 1, "notification_channels": ["ops"],
    }  # fmt: skip
    wait_for(lambda: up.api.get("/features/search").status_code == 200, what="the feature to be seen")
    made = up.api.post("/features/search/alerts/rules", json=body)
    assert made.status_code == 201, made.text
    told: dict[str, Any] = made.json()["rule"]
    return told


def test_what_the_demo_does_is_scraped_and_shown(up: Up, rule: dict[str, Any]) -> None:
    """Every job of prometheus.yml answers, the bridge's with its credential; and figures come back by the bridge."""
    jobs = {"demo", "featurewatch", "prometheus", "alertmanager"} | ({"loki"} if up.loki else set())

    def scraped() -> set[str]:
        return {series["metric"]["job"] for series in up.prometheus.query("up == 1")}

    wait_for(lambda: scraped() >= jobs, what=f"{jobs} to be up")

    def busy() -> set[str]:
        data = up.api.get("/metrics/current").json()["data"]
        return {one["featureId"] for one in data if (one["metrics"]["total_requests"] or 0) > 0 and not one["stale"]}

    wait_for(lambda: len(busy() & FEATURES) >= 5, what="calls of five features")
    wait_for(lambda: up.api.get("/features/search").json()["name"] == "Search", what="what the app says of itself")
    assert up.api.get("/features/search").json()["environments"] == ["production"]
    assert (
        "featurewatch_upstream_request_duration_seconds_count"
        in httpx.get(f"{up.bridge.url}/metrics", headers={"Authorization": f"Bearer {up.token}"}, timeout=30).text
    )
    answer = httpx.get(f"{up.prometheus.url}/api/v1/rules?type=record", timeout=30).json()
    recorded = {group["name"]: group["rules"] for group in answer["data"]["groups"]}
    assert {"featurewatch-calls", "featurewatch-durations", "featurewatch-uptime"} <= recorded.keys()
    assert not [one["lastError"] for rules in recorded.values() for one in rules if one.get("lastError")]


def test_lines_go_through_loki_to_history_and_stream(up: Up) -> None:
    wait_for(lambda: len(up.api.get("/logs?feature_id=search").json()["logs"]) >= 3, what="lines of search")
    line = up.api.get("/logs?feature_id=search").json()["logs"][0]
    assert (line["environment"], len(line["trace_id"])) == ("production", 32)
    if up.loki is not None:
        query = {"query": '{feature="search",environment="production"}', "limit": "5"}
        found = httpx.get(f"{up.loki.url}/loki/api/v1/query_range", params=query, timeout=30).json()
        assert found["data"]["result"][0]["values"]
    address = f"{up.bridge.url.replace('http', 'ws')}/api/v1/websocket?featureId=search"
    with connect(address, additional_headers={"Authorization": f"Bearer {up.token}"}) as socket:
        socket.send(json.dumps({"type": "subscribe_logs"}))
        deadline, kinds = time.monotonic() + 30, set[str]()
        while not kinds >= {"metrics_update", "log_history", "log_entry"}:
            assert time.monotonic() < deadline, kinds
            kinds.add(json.loads(socket.recv(timeout=30))["type"])


def test_a_rule_made_over_rest_fires_notifies_and_is_history(up: Up, rule: dict[str, Any], sink: Sink) -> None:
    path = f"/features/search/alerts/rules/{rule['id']}"

    def state() -> str:
        return str(up.api.get(path).json()["rule"]["deployment"]["state"])

    wait_for(lambda: state() == "evaluated", what=f"the rule to be evaluated, which is {state()}")
    (told, *_) = sink.wait("/ops", within_s=60)
    assert told["headers"]["Authorization"] == "Bearer SECRET"
    assert told["body"]["alerts"][0]["labels"]["rule_id"] == rule["id"]
    alerts = wait_for(lambda: up.api.get("/alerts?status=active").json()["alerts"], what="the history to hear of it")
    assert [(alert["ruleId"], alert["environment"]) for alert in alerts] == [(rule["id"], "production")]
    webhooks = 'featurewatch_alert_signals_total{source="webhook"}'
    text = httpx.get(f"{up.bridge.url}/metrics", headers={"Authorization": f"Bearer {up.token}"}, timeout=30).text
    assert any(line.startswith(webhooks) and float(line.split()[-1]) > 0 for line in text.splitlines()), text


def test_what_the_bridge_wrote_is_what_alertmanager_runs_and_its_group_may_read_it(up: Up) -> None:
    folder = up.stack.volume("alertmanager-config")
    written = yaml.safe_load((folder / "alertmanager.yml").read_text(encoding="utf-8"))
    ours = yaml.safe_load((Path(__file__).parents[2] / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    assert written["route"]["receiver"] == ours["route"]["receiver"] == "nobody"
    assert written["route"]["routes"][1]["continue"] is True
    assert stat.S_IMODE((folder / "alertmanager.yml").stat().st_mode) == 0o640
    readable = [path for path in folder.rglob("*") if path.is_file() and ".featurewatch" not in path.parts[-2]]
    assert len(readable) >= 2, "the configuration, and the secrets of the webhook and the channel"
    for path in (*readable, *(path for path in up.stack.volume("rules").glob("*.yml"))):
        assert path.stat().st_mode & 0o040, path
        assert path.stat().st_gid == folder.stat().st_gid, path
    answer = httpx.get(f"{up.alertmanager.url}/api/v2/status", timeout=30).json()
    assert "featurewatch" in answer["config"]["original"]


def test_the_checks_of_health_tell_the_living_from_the_dead(up: Up) -> None:
    checks = [("bridge", 8400), ("demo", 8000), ("alertmanager", 9093)]
    if up.loki is not None:
        checks.append(("loki", 3100))
    for service, port in checks:
        _, name, *arguments = up.stack.file["services"][service]["healthcheck"]["test"]
        path = sys.executable if name == "python" else program(Path(name).name)
        codes = []
        for address in (up.stack.addresses[f"{service}:{port}"], f"127.0.0.1:{free_port()}"):
            words = [rewritten(text, {f"127.0.0.1:{port}": address}) for text in arguments]
            if service == "loki":  # which asks port 3100 unless it is told
                words.append(f"-health.url=http://{address}/ready")
            codes.append(subprocess.run([path, *words], capture_output=True, timeout=30, check=False).returncode)
        assert codes[0] == 0, service
        assert codes[1] != 0, service


def test_nobody_gets_in_without_what_init_made(up: Up) -> None:
    assert httpx.get(f"{up.bridge.url}/api/v1/features", timeout=30).status_code == 401
    assert httpx.get(f"{up.bridge.url}/metrics", timeout=30).status_code == 401
    demo = (up.stack.volume("credentials-demo") / "bridge-token").read_text(encoding="ascii")
    reading = httpx.get(f"{up.bridge.url}/api/v1/features", headers={"Authorization": f"Bearer {demo}"}, timeout=30)
    assert reading.status_code == 403, "the demo app may write only"
    before = up.stack.init("--show").stdout
    again = up.stack.init()
    assert (again.stdout, again.returncode) == ("made: nothing, all was there\n", 0)
    assert up.stack.init("--show").stdout == before


def test_the_doctor_finds_nothing_but_what_this_prometheus_is_too_old_for(up: Up, rule: dict[str, Any]) -> None:
    env = {**up.stack.environment("bridge"), "FEATUREWATCH_URL": up.bridge.url, "FEATUREWATCH_TOKEN": up.token}
    if up.loki is None:
        del env["FEATUREWATCH_LOKI_URL"]
    ran = command("doctor", "--json", env=env)
    told = json.loads(ran.stdout)["findings"]
    wrong = {finding["check"]: finding for finding in told if "todo" in finding}
    answer = httpx.post(env["FEATUREWATCH_OTLP_FORWARD_URL"], headers={"Content-Type": "application/x-protobuf"})
    assert wrong.keys() == ({"otlp"} if answer.status_code == 404 else set()), wrong
    assert up.token not in ran.stdout
    assert {"webhook", "rule-files", "receiver", "dashboard", "workers"} <= {
        finding["check"] for finding in told if finding["severity"] == "ok"
    }
