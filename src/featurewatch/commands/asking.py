"""A bridge, asked by commands that change things: one request after the other, each refused in the bridge's words."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Self
from urllib.parse import quote

from ..client import Client
from ..errors import NotFound, TooMany
from .parser import Connection

__all__ = ["Asker", "segment"]

_TIMEOUT_S: Final = 60.0
MOST_PATIENCE_S: Final = 60
"""One request waits so long in all; whoever should wait for longer is told instead."""


def segment(name: str) -> str:
    """Write a name as one part of a path."""
    return quote(name, safe="")


class Asker:
    """Asks one bridge as one caller. Errors are those of `featurewatch.errors`, as the bridge told them."""

    def __init__(self, connection: Connection, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._client = Client(connection.url, connection.token, connection.prefix, timeout=_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        revision: int | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Ask, and return what the answer says, empty where it says nothing; wait where the bridge says so.

        Args:
            revision: what the thing that is changed has to be at.
        """
        headers = None if revision is None else {"If-Match": str(revision)}
        patience_s = MOST_PATIENCE_S
        while True:
            try:
                return self._client.request(method, path, query=query, json=body, headers=headers)
            except TooMany as error:
                # Nothing was done of what is refused so: it is refused before.
                patience_s -= max(1, error.retry_after)
                if patience_s < 0:
                    raise
                self._sleep(max(1, error.retry_after))

    def find(self, path: str) -> dict[str, Any] | None:
        """Return what stands at a path, None where there is nothing."""
        try:
            return self.ask("GET", path)
        except NotFound:
            return None
