"""To whom Alertmanager would send an alert, by the configuration that it shows. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#route
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .asking import an_object, listed, objects

__all__ = ["apart", "receivers_of", "webhooks_of"]

_MATCHER: Final = re.compile(
    r"""\s*"?([a-zA-Z_:][a-zA-Z0-9_:.-]*)"?\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^",]*?)\s*(?:,|$)"""
)


def receivers_of(config: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Name the receivers of an alert with these labels, in order; a matcher that cannot be read counts as one that
    matches.
    """
    root = config.get("route")
    return list(dict.fromkeys(name for name, _ in _walk(root, labels))) if isinstance(root, dict) else []


def apart(config: Mapping[str, Any], labels: Mapping[str, str], label: str) -> bool:
    """Whether, wherever an alert goes, those of another value of a label are told apart: none waits for others."""
    root = config.get("route")
    groups = [group for _, group in _walk(root, labels)] if isinstance(root, dict) else []
    return all({label, "..."} & set(group) for group in groups)


def webhooks_of(config: Mapping[str, Any], name: str) -> list[str] | None:
    """Return the URLs that a receiver posts to; None where it tells people in another way too."""
    for receiver in objects(config.get("receivers")):
        if receiver.get("name") == name:
            others = [key for key, value in receiver.items() if key.endswith("_configs") and value]
            if others not in ([], ["webhook_configs"]):
                return None
            return [str(one.get("url", "")) for one in objects(receiver.get("webhook_configs"))]
    return None


def _walk(
    route: Mapping[str, Any], labels: Mapping[str, str], above: tuple[str, Sequence[str]] = ("", ())
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the receivers of an alert, with the labels by which it is grouped there."""
    here = str(route.get("receiver") or above[0]), [str(one) for one in listed(route.get("group_by"))] or above[1]
    taken = False
    for child in objects(route.get("routes")):
        if _matches(child, labels):
            taken = True
            yield from _walk(child, labels, here)
            if not child.get("continue"):
                break
    if not taken:
        yield here


def _matches(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    equal, like = an_object(route.get("match")), an_object(route.get("match_re"))
    return (
        all(labels.get(name, "") == value for name, value in equal.items())
        and all(_like(str(pattern), labels.get(name, "")) for name, pattern in like.items())
        and all(_holds(str(text), labels) for text in listed(route.get("matchers")))
    )


def _holds(text: str, labels: Mapping[str, str]) -> bool:
    inner = text.strip().removeprefix("{").removesuffix("}")
    position = 0
    while position < len(inner):
        found = _MATCHER.match(inner, position)
        if found is None:
            return True
        name, operator, value = found.groups()
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        have = labels.get(name, "")
        same = _like(value, have) if "~" in operator else value == have
        if same == operator.startswith("!"):
            return False
        position = found.end()
    return True


def _like(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True
