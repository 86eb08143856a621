"""Log records on their way: whose they are, what becomes of their parts, and what is shipped."""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
import types
from typing import Any

import loguru
import pytest
from opentelemetry.sdk.trace import TracerProvider

import featurewatch
from exporter.conftest import Receiver
from exporter.recorded import dropped
from featurewatch import Feature
from featurewatch.exporter.lines import LINE_BYTES, METADATA_BYTES, Line, metadata_text, nanoseconds, records
from featurewatch.model import FeatureKey

PUSH = "/loki/api/v1/push"


def pushed(receiver: Receiver) -> list[tuple[dict[str, str], str, str, dict[str, str]]]:
    """List what came: stream labels, timestamp, line and structured metadata."""
    return [
        (stream["stream"], timestamp, line, about)
        for request in receiver.of(PUSH)
        for stream in json.loads(request.body)["streams"]
        for timestamp, line, about in stream["values"]
    ]


@pytest.fixture
def logger(receiver: Receiver) -> logging.Logger:
    """A logger outside the hierarchy whose lines go to the receiver."""
    featurewatch.configure(endpoint=receiver.url, environment="production", service_name="reader", token="s3cret")
    made = logging.Logger("app.worker", logging.DEBUG)
    made.addHandler(featurewatch.LogHandler())
    return made


def test_a_line_of_a_running_call(receiver: Receiver, logger: logging.Logger) -> None:
    before = time.time_ns()
    with Feature("chat").call():
        logger.warning("took %d of %s", 3, "five")
    assert featurewatch.flush(timeout=20)
    (request,) = receiver.of(PUSH)
    assert request.headers["authorization"] == "Bearer s3cret"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-encoding"] == "gzip"
    ((labels, timestamp, line, about),) = pushed(receiver)
    assert labels == {"service_name": "reader", "feature": "chat", "environment": "production"}
    assert before - 1000 <= int(timestamp) <= time.time_ns()
    assert line == "took 3 of five"
    assert len(about.pop("id")) == 32
    assert about == {"level": "warn", "source": "app.worker"}


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (5, "debug"),
        (10, "debug"),
        (20, "info"),
        (25, "info"),
        (30, "warn"),
        (40, "error"),
        (50, "fatal"),
        (60, "fatal"),
    ],
)
def test_levels(receiver: Receiver, logger: logging.Logger, number: int, level: str) -> None:
    logger.setLevel(1)
    with Feature("chat").call():
        logger.log(number, "x")
    featurewatch.flush(timeout=20)
    assert [about["level"] for *_, about in pushed(receiver)] == [level]


def test_extras_become_fields_and_metadata(receiver: Receiver, logger: logging.Logger) -> None:
    own = {"feature": "search", "source": "index", "trace_id": "abc", "user_id": 7}
    logger.info("x", extra={**own, "pages": 3, "ok": True, "parts": ["a"], "user-id": "kept apart"})
    featurewatch.flush(timeout=20)
    ((labels, _, _, about),) = pushed(receiver)
    assert labels["feature"] == "search"
    assert (about["source"], about["trace_id"], about["user_id"]) == ("index", "abc", "7")
    assert json.loads(about["metadata"]) == {"pages": 3, "ok": True, "parts": ["a"], "user-id": "kept apart"}


def test_metadata_is_as_it_was_when_the_line_was_written(receiver: Receiver, logger: logging.Logger) -> None:
    parts = ["before"]
    logger.info("x", extra={"feature": "chat", "parts": parts})
    parts[0] = "after"
    featurewatch.flush(timeout=20)
    assert json.loads(pushed(receiver)[0][3]["metadata"]) == {"parts": ["before"]}


def test_a_traceback_goes_into_the_metadata(receiver: Receiver, logger: logging.Logger) -> None:
    with Feature("chat").call():
        try:
            raise KeyError("missing")
        except KeyError:
            logger.exception("failed")
    featurewatch.flush(timeout=20)
    ((_, _, line, about),) = pushed(receiver)
    assert line == "failed"
    shown = json.loads(about["metadata"])["exception"]
    assert shown.startswith("Traceback")
    assert shown.endswith("KeyError: 'missing'")


def test_a_record_without_a_feature_is_skipped_and_counted(receiver: Receiver, logger: logging.Logger) -> None:
    logger.info("of nobody")
    logger.info("of nobody", extra={"feature": "not a feature"})
    assert featurewatch.flush(timeout=20)
    assert receiver.of(PUSH) == []
    assert dropped("logs", "no_feature") == 1
    assert dropped("logs", "invalid_feature") == 1


def test_where_nothing_is_configured_nothing_is_kept() -> None:
    logger = logging.Logger("alone")
    logger.addHandler(featurewatch.LogHandler())
    with Feature("chat").call():
        logger.info("x")
    assert featurewatch.flush(timeout=1)
    assert dropped("logs", "no_feature") == 0


def test_what_the_exporter_does_is_never_shipped(receiver: Receiver) -> None:
    root = logging.getLogger()
    handler = featurewatch.LogHandler(logging.DEBUG)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        featurewatch.configure(endpoint=receiver.url, push_interval=0.1)
        with Feature("chat").call() as call:
            call.tokens(input=-1)
            logging.getLogger("app").info("the only one")
            for _ in range(3):
                assert featurewatch.flush(timeout=20)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert [line for _, _, line, _ in pushed(receiver)] == ["the only one"]


def test_the_apps_log_shows_nothing_of_the_exporters_requests(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    featurewatch.configure(endpoint=receiver.url, push_interval=0.1)
    logger = logging.Logger("app")
    logger.addHandler(featurewatch.LogHandler())
    with Feature("chat").call():
        logger.info("x")
    assert featurewatch.flush(timeout=20)
    shown = {record.name for record in caplog.records}
    assert not {name for name in shown if name.startswith(("httpx", "httpcore", "opentelemetry", "urllib3"))}


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        Unprintable(),
        object(),
        {1: 2},
        {(1, 2): 3},
        b"\xff",
        math.nan,
        math.inf,
        [math.nan],
        circular(),
        "\ud800",
        {"a": {1}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_metadata_that_json_cannot_hold_is_shown_as_well_as_it_can(
    receiver: Receiver, logger: logging.Logger, value: Any
) -> None:
    logger.info("x", extra={"feature": "chat", "value": value, "kept": 1})
    assert featurewatch.flush(timeout=20)
    ((_, _, _, about),) = pushed(receiver)
    text = about["metadata"]
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["kept"] == 1


def test_a_record_that_cannot_be_read_is_counted_and_never_raised(receiver: Receiver, logger: logging.Logger) -> None:
    with Feature("chat").call():
        logger.info("%d", "not a number")
        logger.info("%s", Unprintable())
        logger.info("kept")
    assert featurewatch.flush(timeout=20)
    assert [line for _, _, line, _ in pushed(receiver)] == ["kept"]
    assert dropped("logs", "unreadable") == 2


def test_a_message_of_another_type_is_written_as_logging_does(receiver: Receiver, logger: logging.Logger) -> None:
    with Feature("chat").call():
        logger.info(ValueError("as message"))
        logger.info({"event": "structlog's", "pages": 2})
    featurewatch.flush(timeout=20)
    first, second = pushed(receiver)
    assert first[2] == "as message"
    assert second[2] == "structlog's"
    assert json.loads(second[3]["metadata"]) == {"pages": 2}


def test_a_huge_line_is_cut_with_a_mark(receiver: Receiver, logger: logging.Logger) -> None:
    with Feature("chat").call():
        logger.info("ä" * LINE_BYTES)
        logger.info("x" * LINE_BYTES)
    featurewatch.flush(timeout=20)
    first, second = (line for _, _, line, _ in pushed(receiver))
    assert len(first.encode()) <= LINE_BYTES
    assert first.endswith(f"… [cut, {2 * LINE_BYTES} bytes]")
    assert second == "x" * LINE_BYTES


def test_too_much_metadata_is_cut_and_stays_json() -> None:
    text = metadata_text({"text": '"' * METADATA_BYTES})
    assert len(text.encode()) <= METADATA_BYTES
    assert json.loads(text)["bytes"] > METADATA_BYTES


def test_lines_of_several_features_share_a_request(receiver: Receiver, logger: logging.Logger) -> None:
    for name in ("a", "b", "a"):
        logger.info(name, extra={"feature": name})
    featurewatch.flush(timeout=20)
    (request,) = receiver.of(PUSH)
    streams = json.loads(request.body)["streams"]
    assert [(stream["stream"]["feature"], len(stream["values"])) for stream in streams] == [("a", 2), ("b", 1)]


def test_ids_tell_equal_lines_apart_and_keep_their_order(receiver: Receiver, logger: logging.Logger) -> None:
    with Feature("chat").call():
        for _ in range(50):
            logger.info("same")
    featurewatch.flush(timeout=20)
    ids = [about["id"] for *_, about in pushed(receiver)]
    assert len(set(ids)) == 50
    assert ids == sorted(ids)


def test_the_current_spans_trace_is_the_lines(receiver: Receiver, logger: logging.Logger) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    with Feature("chat").call(), tracer.start_as_current_span("work") as span:
        logger.info("x")
    featurewatch.flush(timeout=20)
    assert pushed(receiver)[0][3]["trace_id"] == f"{span.get_span_context().trace_id:032x}"


def test_a_formatter_makes_the_line(receiver: Receiver, logger: logging.Logger) -> None:
    logger.handlers[0].setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    with Feature("chat").call():
        logger.info("x")
    featurewatch.flush(timeout=20)
    assert pushed(receiver)[0][2] == "INFO x"
    assert "metadata" not in pushed(receiver)[0][3]


def test_filters_and_levels_are_kept(receiver: Receiver, logger: logging.Logger) -> None:
    handler = logger.handlers[0]
    handler.addFilter(lambda record: record.getMessage() != "hidden")
    handler.setLevel("WARNING")
    with Feature("chat").call():
        logger.warning("hidden")
        logger.info("too low")
        logger.warning("shown")
    featurewatch.flush(timeout=20)
    assert [line for _, _, line, _ in pushed(receiver)] == ["shown"]


def test_the_least_level_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATUREWATCH_LOG_LEVEL", "warning")
    assert featurewatch.LogHandler().level == logging.WARNING
    assert featurewatch.LogHandler("ERROR").level == logging.ERROR


def test_loguru_lines(receiver: Receiver) -> None:
    featurewatch.configure(loki_url=receiver.url, loki_tenant="team", service_name="reader")
    number = loguru.logger.add(featurewatch.loguru_sink(), level="TRACE", format="{message}")
    try:
        with Feature("chat").call():
            loguru.logger.trace("t")
            loguru.logger.success("done in {}", "time")
            loguru.logger.critical("c")
            try:
                raise KeyError("missing")
            except KeyError:
                loguru.logger.bind(pages=3, user_id="u").exception("failed")
        loguru.logger.bind(feature="search").warning("w")
        loguru.logger.info("of nobody")
    finally:
        loguru.logger.remove(number)
    assert featurewatch.flush(timeout=20)
    assert receiver.of(PUSH)[0].headers["x-scope-orgid"] == "team"
    found = pushed(receiver)
    assert [(labels["feature"], line, about["level"]) for labels, _, line, about in found] == [
        ("chat", "t", "debug"),
        ("chat", "done in time", "info"),
        ("chat", "c", "fatal"),
        ("chat", "failed", "error"),
        ("search", "w", "warn"),
    ]
    failed = found[3][3]
    assert failed["user_id"] == "u"
    assert failed["source"] == __name__
    metadata = json.loads(failed["metadata"])
    assert metadata["pages"] == 3
    assert "KeyError: 'missing'" in metadata["exception"]
    assert dropped("logs", "no_feature") == 1


def test_seconds_become_nanoseconds_without_losing_any() -> None:
    seconds = 1_795_402_997.427429
    assert abs(nanoseconds(seconds) - 1_795_402_997_427_429_000) < 250
    assert nanoseconds(1_795_402_997.0) == 1_795_402_997_000_000_000
    (made,) = records(Line(5_000_000_123, FeatureKey("f", "e"), 20, "x", "app"))
    assert made.timestamp == 5_000_000_123


def test_many_threads_lose_no_line(receiver: Receiver, logger: logging.Logger) -> None:
    feature = Feature("chat")

    def run(number: int) -> None:
        with feature.call():
            for line in range(1_000):
                logger.info("%d %d", number, line)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert featurewatch.flush(timeout=60)
    lines = [line for _, _, line, _ in pushed(receiver)]
    assert len(lines) == len(set(lines)) == 6_000


def test_a_dict_that_is_no_event_is_written_as_it_is(receiver: Receiver, logger: logging.Logger) -> None:
    with Feature("chat").call():
        logger.info({"pages": 2})
    assert featurewatch.flush(timeout=20)
    ((_, _, line, about),) = pushed(receiver)
    assert line == "{'pages': 2}"
    assert "metadata" not in about


def test_a_stack_is_kept_and_a_trace_id_that_is_a_number_is_written_as_one(
    receiver: Receiver, logger: logging.Logger
) -> None:
    with Feature("chat").call():
        logger.info("here", stack_info=True, extra={"trace_id": 0xABC})
    assert featurewatch.flush(timeout=20)
    ((_, _, _, about),) = pushed(receiver)
    assert about["trace_id"] == "abc".rjust(32, "0")
    assert "test_logs.py" in json.loads(about["metadata"])["stack"]


@pytest.mark.parametrize("created", [math.nan, math.inf, "now", None], ids=str)
def test_a_time_that_cannot_be_costs_its_own_line_alone(
    receiver: Receiver, logger: logging.Logger, created: Any
) -> None:
    with Feature("chat").call():
        logger.info("before")
        record = logger.makeRecord("app", 20, "f", 1, "wrong", (), None)
        record.created = created
        logger.handle(record)
        logger.info("after")
    assert featurewatch.flush(timeout=20)
    assert [line for _, _, line, _ in pushed(receiver)] == ["before", "after"]
    assert dropped("logs", "unreadable") == 1


def test_a_line_is_shipped_while_another_thread_imports_opentelemetry(
    receiver: Receiver, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the thread that pushes does, when an app logs its first lines."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", types.ModuleType("opentelemetry.trace"))
    with Feature("chat").call():
        logger.info("early")
    assert dropped("logs", "unreadable") == 0
    monkeypatch.undo()
    assert featurewatch.flush(timeout=20)
    assert [line for _, _, line, _ in pushed(receiver)] == ["early"]


def test_fields_with_a_place_of_their_own_are_cut_so_that_loki_takes_them(
    receiver: Receiver, logger: logging.Logger
) -> None:
    with Feature("chat").call():
        logger.info("x", extra=dict.fromkeys(("source", "user_id", "trace_id", "other"), "é" * 100_000))
    assert featurewatch.flush(timeout=20)
    ((_, _, _, about),) = pushed(receiver)
    assert {len(about[name]) for name in ("source", "user_id", "trace_id")} == {256}
    assert sum(len(name) + len(value.encode()) for name, value in about.items()) < 64 * 1024
