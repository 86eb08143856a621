"""structlog's events, by our processor and by its own way into `logging`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

import featurewatch
from exporter.conftest import Receiver
from exporter.recorded import dropped
from exporter.test_logs import pushed
from featurewatch import Feature


@pytest.fixture(autouse=True)
def configured(receiver: Receiver) -> Iterator[None]:
    featurewatch.configure(endpoint=receiver.url)
    yield
    structlog.reset_defaults()


def log(*processors: Any) -> Any:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            *processors,
            featurewatch.structlog_processor(),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    return structlog.get_logger()


def test_an_event_and_its_fields(receiver: Receiver) -> None:
    logger = log(structlog.processors.TimeStamper())
    with Feature("chat").call():
        rendered = logger.bind(user_id="u-1", pages=2).warning("took long", seconds=3.5)
    assert json.loads(rendered)["pages"] == 2, "handed on unchanged"
    assert featurewatch.flush(timeout=20)
    ((labels, _, line, about),) = pushed(receiver)
    assert (labels["feature"], line, about["level"], about["user_id"]) == ("chat", "took long", "warn", "u-1")
    assert json.loads(about["metadata"]) == {"pages": 2, "seconds": 3.5}


def test_a_bound_feature_and_an_exception(receiver: Receiver) -> None:
    logger = log()
    try:
        raise KeyError("missing")
    except KeyError as error:
        logger.bind(feature="search").exception("failed")
        logger.bind(feature="search").error("failed", exc_info=error)
    logger.info("of nobody")
    assert featurewatch.flush(timeout=20)
    for labels, _, line, about in pushed(receiver):
        assert (labels["feature"], line, about["level"]) == ("search", "failed", "error")
        assert "KeyError: 'missing'" in json.loads(about["metadata"])["exception"]
    assert len(pushed(receiver)) == 2
    assert dropped("logs", "no_feature") == 1


def test_what_cannot_be_read_is_counted_and_never_raised(receiver: Receiver) -> None:
    class Unreadable:
        def __str__(self) -> str:
            raise RuntimeError("no")

    logger = log(lambda _, __, event: {**event, "logger": Unreadable()})
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], lambda *_: "rendered"])
    with Feature("chat").call():
        assert logger.info("x") == "rendered"
    assert dropped("logs", "unreadable") == 1


def test_structlogs_way_into_logging(receiver: Receiver) -> None:
    """As structlog's documentation has it: wrap_for_formatter, and any handler of `logging`."""
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    root, handler = logging.getLogger("structlogged"), featurewatch.LogHandler()
    root.addHandler(handler)
    root.setLevel("INFO")
    try:
        with Feature("chat").call():
            structlog.get_logger("structlogged").error("failed", pages=2)
            structlog.get_logger("structlogged").info("x", feature="search")
    finally:
        root.removeHandler(handler)
    assert featurewatch.flush(timeout=20)
    first, second = sorted(pushed(receiver), key=lambda found: found[0]["feature"])
    assert (first[2], first[3]["level"], first[3]["source"]) == ("failed", "error", "structlogged")
    assert json.loads(first[3]["metadata"]) == {"pages": 2}
    assert second[0]["feature"] == "search"
