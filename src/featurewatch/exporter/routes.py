"""Which paths of an app belong to which feature; and what an HTTP status says of a call."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from ..errors import SettingsError
from .call import Call
from .feature import Feature
from .runtime import RUNTIME

StatusClassifier: TypeAlias = Callable[[int], "str | None"]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET"})
_UNASKED: Final = frozenset({"OPTIONS", "HEAD"})
"""What browsers and monitors send of themselves: no call unless a route says so."""

_LEFT_BY_CLIENT: Final = frozenset({408, 499})
"""The client did not finish its request, or went away before the answer."""

_TOO_MANY: Final = 429


class Routes:
    """Paths with `{parameters}` by feature.

    A key is a path such as `/chat/{id}`, where a parameter is one segment and `{rest:path}` any number of them; or a
    method and a path, `POST /chat`. The first that matches counts.

    Raises:
        SettingsError: a key is no path, or a value neither a Feature nor a feature's id.
    """

    def __init__(self, routes: Mapping[str, Feature | str], classify: StatusClassifier | None) -> None:
        if not isinstance(routes, Mapping) or not routes:
            raise SettingsError(f'routes: expected paths by feature such as {{"/chat": "chat"}}, got {routes!r}')
        self._routes = [(*_pattern(key), _feature(key, value)) for key, value in routes.items()]
        self._classify = classify

    def find(self, method: str, *paths: str) -> Feature | None:
        """Return the feature of a request, whose path is given whole and without what the app is mounted at."""
        for wanted, pattern, feature in self._routes:
            if (method == wanted or (not wanted and method not in _UNASKED)) and any(map(pattern.fullmatch, paths)):
                return feature
        return None

    def judge(self, call: Call, status: int) -> None:
        """Decide a call's outcome by its response's status.

        A client's own mistake (4xx) is no failure of the feature. Turning it away for want of room (429) is one; its
        leaving (408, 499) is a cancellation.
        """
        verdict = None
        if self._classify is not None:
            try:
                verdict = self._classify(status)
            except Exception as error:
                RUNTIME.drops.count("calls", "classifier_failed", call._aggregate.key)
                RUNTIME.drops.tell(
                    "classify status", "classify_status raised %r; statuses are judged without it", error
                )
        if verdict is None:
            verdict = "success"
            if status in _LEFT_BY_CLIENT:
                verdict = "cancelled"
            elif status >= 500 or status == _TOO_MANY:
                verdict = "error"
        if verdict == "cancelled":
            call.cancel()
        elif verdict != "success":
            call.fail(f"http_{status}" if verdict == "error" else verdict)


def _pattern(key: str) -> tuple[str, re.Pattern[str]]:
    method, _, path = key.strip().rpartition(" ") if isinstance(key, str) else ("", "", "")
    if not path.startswith("/") or (method and method.upper() not in _METHODS):
        raise SettingsError(f"routes: expected a path such as /chat/{{id}} or POST /chat, got {key!r}")
    parts = re.split(r"\{(\w*)(:\w+)?\}", path)
    if any(set(literal) & set("{}<>") for literal in parts[::3]):
        raise SettingsError(f"routes: expected parameters such as {{id}} or {{rest:path}}, got {key!r}")
    pattern = re.escape(parts[0])
    for kind, literal in zip(parts[2::3], parts[3::3], strict=True):
        pattern += (".*" if kind == ":path" else "[^/]+") + re.escape(literal)
    return method.upper(), re.compile(pattern, re.DOTALL)


def _feature(key: str, value: Feature | str) -> Feature:
    if isinstance(value, Feature):
        return value
    if not isinstance(value, str):
        raise SettingsError(f"routes: expected a Feature or a feature's id for {key}, got {value!r}")
    return RUNTIME.find(value, Feature)
