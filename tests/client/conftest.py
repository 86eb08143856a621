"""A bridge for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from running import Running, bridge


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with bridge(tmp_path_factory.mktemp("bridge")) as running:
        yield running
