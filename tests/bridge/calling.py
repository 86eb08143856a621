"""How to call every endpoint that the OpenAPI document tells of, for tests that walk through all of them.

What an endpoint needs is read from the document: its path, required parameters, and the example of its body, in which
`summarize` stands for the feature. What the document cannot know stands in `NAMED`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

EXAMPLE: Final = "summarize"
"""The feature of the document's examples."""

NAMED: Final[Mapping[str, str]] = {
    "log_id": "line-of-{feature}",
    "rule_id": "rule-of-{feature}",
    "alert_id": "alert-of-{feature}",
    "test_id": "9f86d081884c7d65",
    "window_id": "window-of-{feature}",
    "channel_name": "ops",  # no feature's
}
"""What path parameters are called with where a test knows no ids. A new endpoint with another one adds it here."""

BODIES: Final[Mapping[str, Any]] = {
    "POST /alerts/bulk": {"action": "comment", "comment": "seen", "ids": ["{alert_id}"]},
}
"""Bodies that name something else than a feature; `{…}` stands for an id as above."""

FEATURE_NAMES: Final = ("feature_id", "featureId")


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    action: str | None
    """What the caller's role has to include; None: nobody is asked who they are."""
    told: Mapping[str, Any] = field(repr=False, compare=False)
    body: Any = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def streams(self) -> bool:
        """Whether the answer has no end."""
        return "text/event-stream" in json.dumps(self.told["responses"])

    @property
    def names_feature(self) -> bool:
        """Whether a call says which feature it is about, by its id or by the id of something that is the feature's."""
        return EXAMPLE in json.dumps(self.call(EXAMPLE))

    def call(self, feature: str, ids: Mapping[str, str] | None = None, *, optional: bool = False) -> dict[str, Any]:
        """Make the arguments of an httpx request about a feature.

        Args:
            ids: of what is the feature's, by the names of path parameters; others are made up.
            optional: with the optional parameters too.
        """
        values = {name: value.format(feature=feature) for name, value in NAMED.items()} | dict(ids or {})
        values["feature_id"] = feature
        unknown = set(re.findall(r"\{(\w+)\}", self.path)) - values.keys()
        assert not unknown, f"{self}: say in tests/bridge/calling.py what {sorted(unknown)} is called with"
        path = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], self.path)
        parameters = [item for item in self.told.get("parameters", ()) if item["in"] == "query"]
        query = {
            item["name"]: feature if item["name"] in FEATURE_NAMES else item.get("example", "x")
            for item in parameters
            if item["required"] or (optional and item["name"] not in ("cursor", "ticket", "after"))
        }
        made: dict[str, Any] = {"method": self.method, "url": path, "params": query}
        if self.body is not None:
            text = json.dumps(self.body).replace(EXAMPLE, feature)
            made["content"] = re.sub(r"\{(\w+_id)\}", lambda found: values[found[1]], text)
            made["headers"] = {"Content-Type": "application/json"}
        return made


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield all operations, and the HEAD of each GET that is no stream."""
    prefix = next(path for path in document["paths"] if path.endswith("/me")).removesuffix("/me")
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            body = BODIES.get(f"{method.upper()} {path.removeprefix(prefix)}", _body(document, told))
            operation = Operation(method.upper(), path, told.get("x-action"), told, body)
            yield operation
            if method == "get" and not operation.streams:
                yield Operation("HEAD", path, told.get("x-action"), told, None)


def _body(document: Mapping[str, Any], told: Mapping[str, Any]) -> Any:
    content = told.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    if "example" in content:
        return content["example"]
    shape = content["schema"]["$ref"].rpartition("/")[2]
    return document["components"]["schemas"][shape]["example"]
