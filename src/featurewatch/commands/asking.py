"""A bridge, asked by commands that change things: one request after the other, each refused in the bridge's words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx

from .. import errors
from ..errors import FeaturewatchError, NotFound, Problem, SettingsError, Unavailable, UpstreamError
from .parser import Connection

__all__ = ["Asker", "segment"]

_TIMEOUT_S: Final = 60.0
_BY_CODE: Final = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FeaturewatchError)
}


def segment(name: str) -> str:
    """Write a name as one part of a path."""
    return quote(name, safe="")


class Asker:
    """Asks one bridge as one caller. Errors are those of `featurewatch.errors`, as the bridge told them."""

    def __init__(self, connection: Connection, *, transport: httpx.BaseTransport | None = None) -> None:
        parts = urlsplit(connection.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"expected the bridge's address such as http://127.0.0.1:8400, got {connection.url!r}")
        self._url = connection.url.rstrip("/")
        self._http = httpx.Client(
            base_url=f"{self._url}/{connection.prefix.strip('/')}",
            headers={"Authorization": f"Bearer {connection.token}"} if connection.token else {},
            timeout=_TIMEOUT_S,
            trust_env=parts.hostname not in ("localhost", "127.0.0.1", "::1"),  # no proxy leads to this machine
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: Any = None, *, revision: int | None = None, **query: str) -> Any:
        """Ask, and return what the answer says as JSON, None where it says nothing.

        Args:
            revision: what the thing that is changed has to be at.

        Raises:
            Unavailable: no bridge answers. Others: as the bridge refuses.
        """
        headers = {} if revision is None else {"If-Match": str(revision)}
        with self._told():
            answer = self._http.request(method, path, json=body, headers=headers, params=query or None)
        if answer.is_error:
            raise _refusal(answer)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise UpstreamError(f"{self._url} answered something else than a bridge does: is it right?") from None

    def find(self, path: str) -> Mapping[str, Any] | None:
        """Return what stands at a path, None where there is nothing."""
        try:
            found: Mapping[str, Any] = self.ask("GET", path)
        except NotFound:
            return None
        return found

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError:
            raise Unavailable(
                f"no bridge answers at {self._url}: 'featurewatch serve' starts one, FEATUREWATCH_URL names another"
            ) from None
        except httpx.TimeoutException:
            raise Unavailable(f"{self._url} did not answer within {_TIMEOUT_S:g} s") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{self._url} broke off: {' '.join(str(error).split())[:200]}") from None


def _refusal(answer: httpx.Response) -> FeaturewatchError:
    try:
        told = json.loads(answer.content)
        message, code = str(told["error"]), str(told["code"])
        problems = [Problem(str(one.get("field")), str(one.get("message"))) for one in told.get("details") or ()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return UpstreamError(f"the bridge answered {answer.status_code}")
    refusal = _BY_CODE.get(code, UpstreamError)(message)
    refusal.problems = tuple(problems)
    return refusal
