"""mode="events": each finished call reaches the bridge once, through faults, short lives and full queues."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import featurewatch
import running
from exporter.conftest import Receiver
from exporter.recorded import dropped, recorded
from featurewatch import Feature
from featurewatch.errors import SettingsError
from featurewatch.exporter import events, sender
from featurewatch.exporter.runtime import RUNTIME

CHAT = "/api/v1/features/chat/requests"


def sent(receiver: Receiver, path: str = CHAT) -> list[dict[str, Any]]:
    return [call for request in receiver.of(path) for call in json.loads(request.body)["requests"]]


def configure(receiver: Receiver, **more: Any) -> None:
    featurewatch.configure(endpoint=receiver.url, mode="events", environment="production", **more)


def test_a_call_is_sent_as_the_bridge_takes_it(receiver: Receiver) -> None:
    configure(receiver, token="s3cret")
    chat = Feature("chat", models=["gpt-5-mini"])
    before = time.time()
    with chat.call() as call:
        call.tokens(input=812, output=120, cache_read=300)
        call.first_token()
    with chat.call(model="gpt-5") as call:
        call.cost(0.25)
        call.fail("refused")
    with chat.call() as call:
        call.cancel()
    with Feature("search").call():
        pass
    assert featurewatch.flush(timeout=20)
    first, second, third = sent(receiver)
    assert first["outcome"] == "success"
    assert first["environment"] == "production"
    assert first["model"] == "gpt-5-mini"
    assert first["tokens"] == {"input": 812, "output": 120, "cache_read": 300}
    assert 0 <= first["time_to_first_token_ms"] <= first["duration_ms"] < 60_000
    assert first["timestamp"].endswith("Z")
    assert time.gmtime(before)[:4] <= time.strptime(first["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")[:4]
    assert (second["outcome"], second["error_type"], second["cost_usd"]) == ("error", "refused", 0.25)
    assert third["outcome"] == "cancelled"
    assert "tokens" not in third
    assert len({call["id"] for call in (first, second, third)}) == 3
    assert len(sent(receiver, "/api/v1/features/search/requests")) == 1
    (request, *_) = receiver.of(CHAT)
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["content-encoding"] == "gzip"
    assert receiver.of("/v1/metrics") == [], "nothing is pushed as totals"
    assert recorded(chat).outcomes == (1, 1, 1), "and /metrics counts them all the same"


def test_the_bridges_prefix_is_used(receiver: Receiver) -> None:
    configure(receiver, api_prefix="/api/platform/ai-management/")
    with Feature("chat").call():
        pass
    assert featurewatch.flush(timeout=20)
    assert len(sent(receiver, "/api/platform/ai-management/features/chat/requests")) == 1


def test_calls_are_sent_at_the_interval_without_a_flush(receiver: Receiver) -> None:
    configure(receiver, push_interval=0.1)
    with Feature("chat").call():
        pass
    receiver.wait_for(CHAT)


def test_what_is_not_answered_is_sent_again_with_the_same_ids(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "featurewatch")
    receiver.answers = [(503, {}, b"starting"), (429, {}, b""), (500, {}, b"")]
    configure(receiver)
    with Feature("chat").call():
        pass
    assert featurewatch.flush(timeout=30)
    requests = [json.loads(request.body)["requests"][0]["id"] for request in receiver.of(CHAT)]
    assert len(requests) == 4
    assert len(set(requests)) == 1
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "calls could not be sent to" in told[0]
    assert "503 starting" in told[0]
    assert "again" in told[1]


def test_one_call_that_is_refused_does_not_take_its_neighbours_along(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Four calls, the third refused: the whole, its second half, and the third alone are answered 400."""
    receiver.answers = [(400, {}, b"whole"), (200, {}, b""), (400, {}, b"half"), (400, {}, b"tokens: no")]
    configure(receiver)
    chat = Feature("chat")
    for number in range(4):
        with chat.call() as call:
            call.tokens(input=number)
    assert featurewatch.flush(timeout=20)
    batches = [
        [call.get("tokens", {}).get("input", 0) for call in json.loads(request.body)["requests"]]
        for request in receiver.of(CHAT)
    ]
    assert batches == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
    assert dropped("calls", "rejected") == 1
    assert "refused a call, which is lost: 400 tokens: no" in caplog.text


@pytest.mark.parametrize(
    ("status", "headers", "hint"),
    [
        (401, {}, "set token to one with the role ingest"),
        (403, {}, "set token to one with the role ingest"),
        (404, {}, "are endpoint and api_prefix right?"),
        (302, {"Location": "https://login"}, "are endpoint and api_prefix right?"),
        (200, {"Content-Type": "text/html; charset=utf-8"}, "are endpoint and api_prefix right?"),
    ],
)
def test_what_the_settings_are_to_blame_for_is_told_once_and_calls_are_kept(
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    headers: dict[str, str],
    hint: str,
) -> None:
    monkeypatch.setattr(sender, "DENIED_FIRST_S", 0.1)
    receiver.answers = [(status, headers, b"no")] * 2
    configure(receiver, token="s3cret")
    chat = Feature("chat")
    for _ in range(2):
        with chat.call():
            pass
    assert featurewatch.flush(timeout=20)
    assert len({call["id"] for call in sent(receiver)}) == 2
    assert sum(RUNTIME.drops.snapshot().values()) == 0
    (told,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert hint in told
    assert str(status) in told
    assert "s3cret" not in caplog.text


def test_retry_after_is_honoured(receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "1"}, b"")]
    configure(receiver, push_interval=0.1)
    started = time.monotonic()
    with Feature("chat").call():
        pass
    receiver.wait_for(CHAT, 2)
    assert time.monotonic() - started >= 1


def test_a_full_queue_drops_what_is_new_and_counts_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "QUEUE_CALLS", 10)
    configure(receiver, push_interval=600)
    chat = Feature("chat")
    time.sleep(0.2)  # the round that declaring it begins
    for _ in range(25):
        with chat.call():
            pass
    RUNTIME.fold()
    assert dropped("calls", "queue_full") == 15
    assert featurewatch.flush(timeout=20)
    assert len(sent(receiver)) == 10
    assert len(caplog.records) == 1
    assert recorded(chat).success == 25


def test_what_cannot_be_sent_by_the_end_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    featurewatch.configure(endpoint="http://127.0.0.1:9", mode="events")
    with Feature("chat").call():
        pass
    assert not featurewatch.shutdown(timeout=0.5)
    assert dropped("calls", "undeliverable") == 1
    assert "1 calls could not be sent to http://127.0.0.1:9 in time" in caplog.text


def test_events_without_a_bridge_are_refused_or_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SettingsError, match="mode: events sends calls to a bridge: set endpoint"):
        featurewatch.configure(mode="events", otlp_endpoint="http://127.0.0.1:4318")
    with pytest.raises(SettingsError, match="mode: expected one of metrics, events, got 'event'"):
        featurewatch.configure(mode="event")
    with pytest.raises(SettingsError, match="api_prefix: expected a path that starts with /, got 'api'"):
        featurewatch.configure(mode="events", endpoint="http://127.0.0.1:8400", api_prefix="api")
    monkeypatch.setenv("FEATUREWATCH_MODE", "events")
    featurewatch.configure()
    assert RUNTIME.config.mode == "metrics"
    assert "set endpoint (FEATUREWATCH_ENDPOINT)" in caplog.text


SCRIPT = """
    import featurewatch
    chat = featurewatch.Feature("chat", models=["gpt-5-mini"])
    for number in range(COUNT):
        with chat.call() as call:
            call.tokens(input=1000, output=10)
"""


def run(script: str, **environ: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_short_script_configured_by_its_environment_loses_nothing(receiver: Receiver) -> None:
    run(SCRIPT.replace("COUNT", "1203"), FEATUREWATCH_MODE="events", FEATUREWATCH_ENDPOINT=receiver.url)
    calls = sent(receiver)
    assert len(calls) == len({call["id"] for call in calls}) == 1203
    assert len(receiver.of(CHAT)) < 20
    assert {request.path for request in receiver.received} == {CHAT}


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    with running.bridge(tmp_path_factory.mktemp("bridge")) as real:
        yield real


def total(bridge: running.Running, feature: str) -> Any:
    answer = httpx.get(f"{bridge.url}/api/v1/features/{feature}/metrics", params={"time_range": "1h"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_bridge_counts_what_a_short_script_did(bridge: running.Running) -> None:
    run(SCRIPT.replace("COUNT", "203"), FEATUREWATCH_MODE="events", FEATUREWATCH_ENDPOINT=bridge.url)
    assert total(bridge, "chat")["total_requests"] == 203


def test_the_bridge_counts_once_what_is_sent_again(bridge: running.Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is lost on its way: the bridge has counted, the exporter does not know."""
    featurewatch.configure(endpoint=bridge.url, mode="events")
    post, answers = httpx.Client.post, []

    def losing(self: httpx.Client, *args: Any, **kwargs: Any) -> httpx.Response:
        answer = post(self, *args, **kwargs)
        answers.append(answer.status_code)
        if len(answers) == 1:
            raise httpx.ReadTimeout("the answer was lost")
        return answer

    monkeypatch.setattr(httpx.Client, "post", losing)
    search = Feature("search")
    for _ in range(7):
        with search.call():
            pass
    assert featurewatch.flush(timeout=30)
    assert answers == [200, 200]
    assert total(bridge, "search")["total_requests"] == 7


def test_a_retry_inside_a_call_is_no_call_of_its_own(bridge: running.Running) -> None:
    featurewatch.configure(endpoint=bridge.url, mode="events")
    ask = Feature("ask")
    with ask.call(model="gpt-5-mini") as call:
        for attempt in range(3):
            call.tokens(input=10)
            if attempt < 2:
                call.fail("overloaded")
                call.retry()
    assert featurewatch.flush(timeout=30)
    assert total(bridge, "ask")["total_requests"] == 1
    assert recorded(ask).outcomes == (1, 0, 0)
    assert recorded(ask).errors == {}
    assert recorded(ask).tokens == {("gpt-5-mini", "input"): 30}


@pytest.mark.skipif(sys.platform == "win32", reason="the system does not fork")
def test_a_forked_child_sends_its_own_calls_alone(receiver: Receiver) -> None:
    script = """
        import multiprocessing, featurewatch
        featurewatch.configure(endpoint=URL, mode="events", push_interval=600)
        chat = featurewatch.Feature("chat")
        def work():
            with chat.call():
                pass
        if __name__ == "__main__":
            with chat.call():
                pass
            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            child.join()
    """
    run(script.replace("URL", repr(receiver.url)))
    assert len({call["id"] for call in sent(receiver)}) == len(sent(receiver)) == 2


def test_the_bridge_takes_what_the_contract_of_a_call_allows(bridge: running.Running, tmp_path: Path) -> None:
    featurewatch.configure(endpoint=bridge.url, mode="events")
    odd = Feature("odd")
    with odd.call(model="m" * 500) as call:
        call.fail("é\udcff" * 200)
        call.cost(0)
        call.tokens()
    assert featurewatch.flush(timeout=30)
    assert dropped("calls", "rejected") == 0
    assert total(bridge, "odd")["total_requests"] == 1
