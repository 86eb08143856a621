"""Mimir's ruler and Alertmanager, as far as the bridge speaks to them: no real one runs on a test's machine.

It stores groups by namespace, refuses what has no balanced brackets as Mimir refuses what is no PromQL, and shows a
group as evaluated once it was looked for.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
import yaml

from local_http import LocalServer, QuietHandler


class FakeMimir(LocalServer):
    """`namespaces` is what the ruler keeps, `config` the Alertmanager's; `tenants` who has asked."""

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, Any]] = {}
        self.config: str | None = None
        self.tenants: set[str] = set()
        self.writes: list[str] = []
        mimir = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                self.answer(*mimir.get(self._path()))

            def do_POST(self) -> None:
                self.answer(*mimir.post(self._path(), self.received()))

            def do_DELETE(self) -> None:
                self.answer(*mimir.delete(self._path()))

            def _path(self) -> list[str]:
                mimir.tenants.add(self.headers.get("X-Scope-OrgID", ""))
                return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

        super().__init__(Handler)

    def get(self, path: list[str]) -> tuple[int, bytes]:
        match path:
            case ["prometheus", "config", "v1", "rules"]:
                if not any(self.namespaces.values()):
                    return 404, b"no rule groups found\n"
                told = {name: list(groups.values()) for name, groups in self.namespaces.items() if groups}
                return 200, yaml.safe_dump(told).encode()
            case ["prometheus", "api", "v1", "rules"]:
                return 200, orjson.dumps({"status": "success", "data": {"groups": self._shown()}})
            case ["api", "v1", "alerts"]:
                if self.config is None:
                    return 404, b"alertmanager storage object not found"
                return 200, yaml.safe_dump({"template_files": {}, "alertmanager_config": self.config}).encode()
        return 404, b""

    def post(self, path: list[str], body: bytes) -> tuple[int, bytes]:
        told = yaml.safe_load(body)
        match path:
            case ["prometheus", "config", "v1", "rules", namespace]:
                for rule in told["rules"]:
                    if rule["expr"].count("(") != rule["expr"].count(")"):
                        return 400, f"group: {told['name']}, rule: 1, could not parse expression".encode()
                self.namespaces.setdefault(namespace, {})[told["name"]] = {**told, "interval": "1m"}
                self.writes.append(told["name"])
                return 202, b'{"status":"success","data":null,"errorType":"","error":""}'
            case ["api", "v1", "alerts"]:
                config = yaml.safe_load(told["alertmanager_config"])
                if any("urll" in str(receiver) for receiver in config["receivers"]):
                    return 400, b"error validating Alertmanager config: field urll not found"
                self.config = told["alertmanager_config"]
                return 201, b""
        return 404, b""

    def delete(self, path: list[str]) -> tuple[int, bytes]:
        match path:
            case ["prometheus", "config", "v1", "rules", namespace, group]:
                found = self.namespaces.get(namespace, {}).pop(group, None)
                return (202, b"") if found else (404, b"group does not exist")
        return 404, b""

    def _shown(self) -> list[dict[str, Any]]:
        return [
            {"name": group["name"], "file": namespace, "rules": [self._rule(rule) for rule in group["rules"]]}
            for namespace, groups in self.namespaces.items()
            for group in groups.values()
        ]

    def _rule(self, rule: dict[str, Any]) -> dict[str, Any]:
        unit = {"m": 60, "h": 3600, "s": 1}
        lasting, keeping = (rule.get(name, "0s") for name in ("for", "keep_firing_for"))
        return {
            "name": rule["alert"],
            "query": rule["expr"],
            "labels": rule.get("labels", {}),
            "annotations": rule.get("annotations", {}),
            "duration": int(lasting[:-1]) * unit[lasting[-1]],
            "keepFiringFor": int(keeping[:-1]) * unit[keeping[-1]],
            "health": "ok",
            "lastEvaluation": "2026-01-31T12:00:00Z",
            "type": "alerting",
        }
