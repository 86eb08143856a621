"""A bridge, asked by commands that change things: one request after the other, each refused in the bridge's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import quote

from ..client import Client
from ..errors import NotFound
from .parser import Connection

__all__ = ["Asker", "segment"]

_TIMEOUT_S: Final = 60.0


def segment(name: str) -> str:
    """Write a name as one part of a path."""
    return quote(name, safe="")


class Asker:
    """Asks one bridge as one caller. Errors are those of `featurewatch.errors`, as the bridge told them."""

    def __init__(self, connection: Connection) -> None:
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
        """Ask, and return what the answer says; empty where it says nothing.

        Args:
            revision: what the thing that is changed has to be at.
        """
        headers = None if revision is None else {"If-Match": str(revision)}
        return self._client.request(method, path, query=query, json=body, headers=headers)

    def find(self, path: str) -> dict[str, Any] | None:
        """Return what stands at a path, None where there is nothing."""
        try:
            return self.ask("GET", path)
        except NotFound:
            return None
