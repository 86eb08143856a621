"""How commands ask a bridge that has bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.running import serving
from featurewatch.commands.asking import MOST_PATIENCE_S, Asker
from featurewatch.commands.parser import Connection
from featurewatch.errors import TooMany


def test_a_command_that_asks_too_often_waits_as_it_is_told(tmp_path: Path) -> None:
    """A file of a thousand rules is a thousand requests; the bridge's rate must not break it off half-way."""
    waits: list[float] = []
    with serving(tmp_path, query_rate=0.05) as url:
        with Asker(Connection(url, None, "/api/v1"), sleep=waits.append) as bridge:
            assert bridge.ask("GET", "/features") == {"features": []}
            with pytest.raises(TooMany, match="QUERY_RATE"):
                bridge.ask("GET", "/features")
        assert waits
        assert sum(waits) <= MOST_PATIENCE_S


def test_what_waited_is_done(tmp_path: Path) -> None:
    with serving(tmp_path, query_rate=2) as url, Asker(Connection(url, None, "/api/v1")) as bridge:
        for _ in range(23):
            assert bridge.find("/features/nothing") is None
