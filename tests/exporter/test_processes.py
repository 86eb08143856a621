"""Whole processes: what a short script, a forked child, a killed thread and the disable switch leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

import featurewatch
from exporter.conftest import Received, Receiver
from exporter.recorded import recorded
from featurewatch import Feature
from featurewatch.exporter.runtime import RUNTIME

METRICS, PUSH = "/v1/metrics", "/loki/api/v1/push"


def run(script: str, *, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        # A machine that is busy may take longer than the five seconds that an app's users wait.
        env={**os.environ, "FEATUREWATCH_EXIT_TIMEOUT": "60", **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done


def outcomes(requests: list[Received]) -> dict[str, dict[str, int]]:
    """The last outcomes that each process (service.instance.id) pushed."""
    last: dict[str, dict[str, int]] = {}
    for request in requests:
        message = ExportMetricsServiceRequest()
        message.ParseFromString(request.body)
        for resource in message.resource_metrics:
            instance = next(
                pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.instance.id"
            )
            for metric in resource.scope_metrics[0].metrics:
                if metric.name == "feature_requests_total":
                    last[instance] = {
                        next(
                            pair.value.string_value for pair in point.attributes if pair.key == "outcome"
                        ): point.as_int
                        for point in metric.sum.data_points
                    }
    return last


def lines(requests: list[Received]) -> Iterator[str]:
    for request in requests:
        for stream in json.loads(request.body)["streams"]:
            for value in stream["values"]:
                yield value[1]


def test_a_short_script_loses_nothing(receiver: Receiver) -> None:
    script = """
        import logging, featurewatch
        featurewatch.configure(endpoint=URL, environment="production")
        log = logging.getLogger("script")
        log.setLevel("INFO")
        log.addHandler(featurewatch.LogHandler())
        feature = featurewatch.Feature("nightly", models=["gpt-5-mini"])
        for number in range(3):
            with feature.call() as call:
                call.tokens(input=1000)
                log.info("line %d", number)
    """
    done = run(script.replace("URL", repr(receiver.url)))
    assert done.stderr == ""
    (counts,) = outcomes(receiver.of(METRICS)).values()
    assert counts == {"success": 3, "error": 0, "cancelled": 0}
    assert list(lines(receiver.of(PUSH))) == ["line 0", "line 1", "line 2"]
    message = ExportMetricsServiceRequest()
    message.ParseFromString(receiver.of(METRICS)[-1].body)
    (cost,) = (
        metric for metric in message.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "feature_cost_usd_total"
    )  # fmt: skip
    assert sum(point.as_double for point in cost.sum.data_points) > 0, "estimated before the process ended"


def test_what_the_end_of_a_process_cuts_off_is_cancelled_unless_told_otherwise(receiver: Receiver) -> None:
    script = """
        import threading, time, featurewatch
        featurewatch.configure(endpoint=URL)
        feature = featurewatch.Feature("chat")
        started = threading.Event()
        def hang():
            with feature.call():
                started.set()
                time.sleep(600)
        threading.Thread(target=hang, daemon=True).start()
        started.wait()
        stream = feature.stream(iter("ab"))
        next(stream)
        refused = feature.call().__enter__()
        refused.fail("refused")
    """
    run(script.replace("URL", repr(receiver.url)))
    (counts,) = outcomes(receiver.of(METRICS)).values()
    assert counts == {"success": 0, "error": 1, "cancelled": 2}


def test_an_exit_by_exception_still_sends(receiver: Receiver) -> None:
    script = """
        import featurewatch
        featurewatch.configure(endpoint=URL)
        with featurewatch.Feature("chat").call():
            raise SystemExit(3)
    """
    run(script.replace("URL", repr(receiver.url)), code=3)
    (counts,) = outcomes(receiver.of(METRICS)).values()
    assert counts == {"success": 0, "error": 1, "cancelled": 0}


def test_an_exit_with_nobody_there_ends_in_its_time() -> None:
    script = """
        import logging, time, featurewatch
        featurewatch.configure(endpoint="http://127.0.0.1:9", exit_timeout=0.5)
        logging.basicConfig()
        logging.getLogger().addHandler(featurewatch.LogHandler())
        with featurewatch.Feature("chat").call():
            logging.warning("x")
    """
    done = run(script)
    assert "Traceback" not in done.stderr
    assert "1 lines could not be shipped" in done.stderr
    assert "metrics could not be pushed to http://127.0.0.1:9/v1/metrics" in done.stderr


@pytest.mark.parametrize(
    ("handlers", "shown"), [("featurewatch.LogHandler(), featurewatch.LogHandler()", 1), ("logging.NullHandler()", 0)]
)
def test_what_goes_wrong_is_shown_where_no_handler_but_ours_would(handlers: str, shown: int) -> None:
    script = """
        import logging, featurewatch
        featurewatch.configure(endpoint="http://127.0.0.1:9", exit_timeout=0)
        for handler in (featurewatch.LogHandler(), HANDLERS):
            logging.getLogger().addHandler(handler)
        with featurewatch.Feature("chat").call() as call:
            call.cost(usd=-1)
    """
    assert run(script.replace("HANDLERS", handlers)).stderr.count("expected US dollars from 0") == shown


def test_lines_that_cannot_be_shipped_do_not_keep_metrics_from_being_pushed(receiver: Receiver) -> None:
    script = """
        import logging, featurewatch
        featurewatch.configure(endpoint=URL, loki_url="http://127.0.0.1:9")
        log = logging.Logger("script")
        log.addHandler(featurewatch.LogHandler())
        with featurewatch.Feature("chat").call():
            log.warning("x")
    """
    done = run(script.replace("URL", repr(receiver.url)), FEATUREWATCH_EXIT_TIMEOUT="4")
    assert "1 lines could not be shipped" in done.stderr
    (counts,) = outcomes(receiver.of(METRICS)).values()
    assert counts["success"] == 1


IMPORTS = """
    import logging, sys, threading
    outside = []
    class Watch:
        def find_spec(self, name, path=None, target=None):
            if threading.current_thread().name.startswith("featurewatch-"):
                if not sys.modules["featurewatch.exporter.worker"].LOADING._is_owned():
                    outside.append(name)
    sys.meta_path.insert(0, Watch())
    import featurewatch
    featurewatch.configure(**SETTINGS)
    log = logging.Logger("script")
    log.addHandler(featurewatch.LogHandler())
    with featurewatch.Feature("chat").call(model="gpt-5-mini") as call:
        call.tokens(input=3)
        log.info("a")
        log.error("b", extra={"c": {1: 2}})
    assert featurewatch.flush(timeout=60)
    assert not outside, outside
"""


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": "URL"},
        {"endpoint": "URL", "mode": "events"},
        {"otlp_endpoint": "URL"},
        {"loki_url": "URL", "spool_dir": "FOLDER"},
    ],
    ids=["bridge", "events", "collector", "Loki, spool"],
)
def test_threads_import_only_where_a_fork_waits_for_it(
    receiver: Receiver, tmp_path: Path, settings: dict[str, str]
) -> None:
    """A child forked in the middle of an import waits for that module for ever."""
    # Answers of all kinds, since some are read by modules of their own.
    late = {"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"}
    receiver.answers = [(429, late, b"busy"), (400, {}, b"1 errors like: entry too far behind"), (413, {}, b"large")]
    given = {
        name: value.replace("URL", receiver.url.replace("127.0.0.1", "localhost")).replace("FOLDER", str(tmp_path))
        for name, value in settings.items()
    }
    run(IMPORTS.replace("SETTINGS", repr(given)))


def test_the_environment_alone_is_enough(receiver: Receiver) -> None:
    script = """
        import featurewatch
        with featurewatch.Feature("chat").call():
            pass
    """
    run(script, FEATUREWATCH_ENDPOINT=receiver.url, FEATUREWATCH_ENVIRONMENT="staging")
    (counts,) = outcomes(receiver.of(METRICS)).values()
    assert counts["success"] == 1


def test_disabled_nothing_is_sent_started_or_loaded(receiver: Receiver) -> None:
    script = """
        import logging, sys, threading, featurewatch
        featurewatch.configure(endpoint=URL)
        logging.getLogger().addHandler(featurewatch.LogHandler())
        feature = featurewatch.Feature("chat")
        with feature.call() as call:
            call.tokens(input=1)
            logging.warning("x")
        featurewatch.flush()
        assert threading.active_count() == 1
        assert not {"httpx", "opentelemetry", "prometheus_client", "genai_prices"} & set(sys.modules)
    """
    run(script.replace("URL", repr(receiver.url)), FEATUREWATCH_DISABLED="1")
    assert receiver.received == []


def test_importing_loads_nothing_heavy_and_starts_nothing() -> None:
    script = """
        import sys, threading
        before = set(sys.modules)
        import featurewatch
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before} - {"featurewatch"}
        outside = {name for name in loaded if name not in sys.stdlib_module_names}
        assert not outside, outside
        assert not {"asyncio", "ssl", "socket", "http", "urllib", "email", "multiprocessing"} & loaded, loaded
        assert threading.active_count() == 1
        dir(featurewatch)
        for name in featurewatch.__all__:
            getattr(featurewatch, name)
    """
    run(script)


def test_an_unknown_name_is_an_attribute_error() -> None:
    name = "no_such_name"
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(featurewatch, name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_forked_child_counts_from_zero_as_a_process_of_its_own(receiver: Receiver) -> None:
    script = """
        import logging, multiprocessing, featurewatch
        featurewatch.configure(endpoint=URL, push_interval=0.1)
        log = logging.getLogger("script")
        log.setLevel("INFO")
        log.addHandler(featurewatch.LogHandler())
        feature = featurewatch.Feature("chat")
        def work(number):
            with feature.call():
                log.info("child %d", number)
        if __name__ == "__main__":
            with feature.call():
                log.info("parent before")
            fork = multiprocessing.get_context("fork")
            children = [fork.Process(target=work, args=(number,)) for number in range(2)]
            with feature.call():
                for child in children:
                    child.start()
                for child in children:
                    child.join()
                    assert child.exitcode == 0
            log.info("parent after", extra={"feature": "chat"})
    """
    run(script.replace("URL", repr(receiver.url)))
    counts = outcomes(receiver.of(METRICS))
    assert sorted(count["success"] for count in counts.values()) == [1, 1, 2]
    assert sum(count["cancelled"] + count["error"] for count in counts.values()) == 0
    assert sorted(lines(receiver.of(PUSH))) == ["child 0", "child 1", "parent after", "parent before"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_child_that_makes_no_call_sends_nothing(receiver: Receiver) -> None:
    script = """
        import os, time, featurewatch
        featurewatch.configure(endpoint=URL, push_interval=0.1)
        feature = featurewatch.Feature("chat")
        featurewatch.flush()
        if os.fork() == 0:
            time.sleep(0.5)
            os._exit(0)
        os.wait()
    """
    run(script.replace("URL", repr(receiver.url)))
    assert len(outcomes(receiver.of(METRICS))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_child_that_a_thread_forked_ends_with_that_thread_and_loses_nothing(receiver: Receiver) -> None:
    """Python runs nothing at the end of such a process, which ends once its last thread does."""
    script = """
        import os, threading, featurewatch
        featurewatch.configure(endpoint=URL)
        feature = featurewatch.Feature("chat", models=["gpt-5-mini"])
        def fork():
            if child := os.fork():
                os.waitpid(child, 0)
                return
            with feature.call() as call:
                call.tokens(input=1)
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    """
    run(script.replace("URL", repr(receiver.url)))
    assert sorted(count["success"] for count in outcomes(receiver.of(METRICS)).values()) == [0, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_fork_while_other_threads_count_does_not_hang() -> None:
    script = """
        import os, sys, threading, featurewatch
        feature = featurewatch.Feature("chat", models=["m"])
        stop = threading.Event()
        def run():
            while not stop.is_set():
                with feature.call() as call:
                    call.cost(1)
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(30):
                child = os.fork()
                if child == 0:
                    with feature.call():
                        pass
                    (snapshot,) = featurewatch.exporter.runtime.RUNTIME.snapshots()
                    os._exit(0 if snapshot.numbers["feature_requests_total"]["success",] == 1 else 7)
                assert os.waitpid(child, 0)[1] == 0
        finally:
            stop.set()
    """
    run(script)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_that_share_a_folder_push_their_own_and_show_all(
    receiver: Receiver, tmp_path: Path, method: str
) -> None:
    script = """
        import multiprocessing, os, sys, featurewatch
        from featurewatch.exporter.runtime import RUNTIME
        featurewatch.configure(endpoint=URL, push_interval=0.1, multiprocess_dir=FOLDER)
        feature = featurewatch.Feature("chat")
        def work(number):
            for _ in range(number):
                with feature.call():
                    pass
        def shown():
            (snapshot,) = RUNTIME.exposed()[0]
            return snapshot.numbers["feature_requests_total"]["success",]
        if __name__ == "__main__":
            with feature.call():
                children = [multiprocessing.get_context(METHOD).Process(target=work, args=(n,)) for n in (3, 4)]
                for child in children:
                    child.start()
                for child in children:
                    child.join()
                    assert child.exitcode == 0
                assert shown() == 7, shown()
            assert shown() == 8, shown()
    """
    path = tmp_path / "script.py"
    names = {"URL": receiver.url, "FOLDER": str(tmp_path / "shared"), "METHOD": method}
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in names.items()) + textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "FEATUREWATCH_EXIT_TIMEOUT": "60"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    pushed = [counts["success"] for counts in outcomes(receiver.of(METRICS)).values()]
    assert sorted(count for count in pushed if count) == [1, 3, 4]


def test_flushing_where_nothing_is_configured_is_done_at_once() -> None:
    with Feature("chat").call():
        pass
    assert featurewatch.flush(timeout=0)


def test_after_a_shutdown_calls_are_still_counted_and_configuring_sends_again(receiver: Receiver) -> None:
    featurewatch.configure(endpoint=receiver.url)
    feature = Feature("chat")
    assert featurewatch.shutdown(timeout=20)
    seen = len(receiver.of(METRICS))
    with feature.call():
        pass
    assert featurewatch.flush(timeout=20)
    assert len(receiver.of(METRICS)) == seen
    assert recorded(feature).success == 1
    featurewatch.configure(endpoint=receiver.url, environment="development", push_interval=60)
    assert RUNTIME.pusher is not None
    assert featurewatch.flush(timeout=20)
    (counts,) = outcomes(receiver.of(METRICS)).values()
    assert counts["success"] == 1


@pytest.mark.anyio
async def test_flushing_does_not_block_the_event_loop(receiver: Receiver) -> None:
    featurewatch.configure(endpoint=receiver.url)
    with Feature("chat").call():
        pass
    flushed: Any = await featurewatch.aflush(timeout=20)
    assert flushed
    assert receiver.of(METRICS)
