"""Who asks: a token that stays, or a function that gives one that holds now."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from ..errors import FeaturewatchError, Unauthenticated
from .refusals import Lost, one_line

__all__ = ["Credential", "TokenSource"]

TokenSource: TypeAlias = Callable[[], "str | Awaitable[str]"]
"""Gives a token that holds now: a function (called in a thread, so it may wait) or a coroutine function."""


PATIENCE_S: Final = 30.0
"""How long a source may take: a stream whose token ended is closed after so long."""


class Credential:
    """The token in use. A source is asked at first use, and again when the bridge says that the token ended.

    Many callers that learn of the same end at once ask the source once.
    """

    def __init__(self, given: str | TokenSource | None) -> None:
        self._token = _plain(given) if isinstance(given, str) else None
        self._source = given if callable(given) else None
        self._turn = asyncio.Lock()

    @property
    def renewable(self) -> bool:
        return self._source is not None

    async def token(self) -> str | None:
        """Return the token, None where the bridge is asked without one.

        Raises:
            Lost: the source failed; an error of featurewatch that it raises is passed on.
        """
        if self._token is None and self._source is not None:
            await self.renew(None)
        return self._token

    async def renew(self, used: str | None) -> str | None:
        """Return another token than `used`, which did not hold. Raises as `token`.

        Raises:
            Unauthenticated: there is no source to ask.
        """
        if self._source is None:
            raise Unauthenticated("the token ended, and this client was given no function to get another: token=…")
        async with self._turn:
            if self._token is None or self._token == used:
                self._token = await self._ask(self._source)
            return self._token

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that show the token: never in a URL, which logs and proxies keep."""
        token = await self.token()
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    async def _ask(self, source: TokenSource) -> str:
        try:
            async with asyncio.timeout(PATIENCE_S):
                if inspect.iscoroutinefunction(source):
                    token = await source()
                else:
                    given = await asyncio.to_thread(source)
                    token = await given if inspect.isawaitable(given) else given
        except FeaturewatchError:
            raise
        except TimeoutError:
            raise Lost(f"no token could be got: the function given as token= took more than {PATIENCE_S:g} s") from None
        except Exception as error:
            raise Lost(f"no token could be got: {one_line(error)}") from error
        if not isinstance(token, str) or not token.strip():
            raise Unauthenticated(f"expected a token from the function given as token=, got {type(token).__name__}")
        return _plain(token) or ""


def _plain(token: str) -> str | None:
    """Take the line break from a token that came from a file; None for an empty one.

    Raises:
        Unauthenticated: it has characters that no header may carry. They are not shown: what would say so below this
            shows the whole token.
    """
    text = token.strip()
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise Unauthenticated("expected a token without spaces and line breaks within: is it one, and only one?")
    return text or None
