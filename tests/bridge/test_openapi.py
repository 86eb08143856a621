from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from featurewatch.bridge.app import create_app
from featurewatch.settings import load


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(load({})).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_endpoint_says_what_it_does(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert len(operation["summary"]) > 5, where
        assert len(operation["description"]) > 10, where
        assert operation["tags"], where
        assert {"503"} <= set(operation["responses"]), where
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], where
        for name in re.findall(r"\{(\w+)\}", path):
            assert name in {parameter["name"] for parameter in operation["parameters"]}, where


def test_every_body_has_an_example_or_a_shape_with_one(document: dict[str, Any]) -> None:
    shapes = document["components"]["schemas"]
    for method, path, operation in operations(document):
        if "requestBody" in operation:
            (content,) = operation["requestBody"]["content"].values()
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            assert "example" in content or "example" in shapes[name], f"{method} {path}"


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        place = document
        for part in reference.split("/"):
            place = place[part]


def test_the_api_moves_with_its_prefix_and_the_receivers_stay() -> None:
    paths = create_app(load({}, api_prefix="/api/platform")).openapi()["paths"]
    stay = {"/v1/metrics", "/v1/logs", "/loki/api/v1/push", "/metrics", "/healthz", "/readyz"}
    assert {path for path in paths if not path.startswith("/api/platform/")} == stay


def test_every_endpoint_of_the_contract_is_there(document: dict[str, Any]) -> None:
    feature = "/api/v1/features/{feature_id}"
    expected = {
        ("GET", "/api/v1/features"),
        *((method, feature) for method in ("GET", "PUT", "PATCH", "DELETE")),
        *(
            ("GET", f"{feature}/{name}")
            for name in (
                "metrics",
                "performance",
                "costs",
                "health",
                "metrics/current",
                "metrics/history",
                "metrics/stream",
                "logs/stream",
                "test-results",
                "events",
            )
        ),
        ("POST", f"{feature}/requests"),
        ("POST", f"{feature}/test-results"),
        *((method, f"{feature}/alerts/rules") for method in ("GET", "POST")),
        *((method, f"{feature}/alerts/rules/{{rule_id}}") for method in ("GET", "PUT", "DELETE")),
        ("POST", f"{feature}/alerts/rules/preview"),
        ("GET", "/api/v1/alerts/rules"),
        ("GET", "/api/v1/audit"),
        ("GET", "/api/v1/metrics/current"),
        ("GET", "/api/v1/logs"),
        ("POST", "/api/v1/logs"),
        ("GET", "/api/v1/logs/{log_id}"),
        ("GET", "/api/v1/logs/export"),
        ("POST", "/api/v1/session"),
        ("DELETE", "/api/v1/session"),
        ("POST", "/api/v1/tickets"),
        ("GET", "/api/v1/me"),
        ("GET", "/api/v1/websocket"),
        ("POST", "/v1/metrics"),
        ("POST", "/v1/logs"),
        ("POST", "/loki/api/v1/push"),
        ("GET", "/metrics"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
    }
    assert expected <= {(method, path) for method, path, _ in operations(document)}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("put", "/features/{feature_id}", "412"),
        ("put", "/features/{feature_id}", "422"),
        ("post", "/features/{feature_id}/requests", "422"),
        ("post", "/features/{feature_id}/alerts/rules", "409"),
        ("put", "/features/{feature_id}/alerts/rules/{rule_id}", "412"),
        ("post", "/alerts/{alert_id}/resolve", "409"),
        ("delete", "/alerts/{alert_id}/acknowledge", "409"),
        ("post", "/session", "401"),
        ("post", "/webhooks/alertmanager", "401"),
        ("get", "/me", "400"),
        ("get", "/logs", "404"),
        ("get", "/logs", "502"),
        ("get", "/metrics/current", "404"),
    ],
)
def test_a_refusal_that_callers_meet_is_documented(
    document: dict[str, Any], method: str, path: str, status: str
) -> None:
    assert status in document["paths"][f"/api/v1{path}"][method]["responses"]


def test_unready_is_told_in_the_same_shape_as_ready(document: dict[str, Any]) -> None:
    answers = document["paths"]["/readyz"]["get"]["responses"]
    assert answers["503"]["content"] == answers["200"]["content"]


def test_an_export_is_documented_in_both_formats(document: dict[str, Any]) -> None:
    answer = document["paths"]["/api/v1/logs/export"]["get"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "text/csv"}


def test_receivers_refuse_in_their_own_protocols(document: dict[str, Any]) -> None:
    for path in ("/v1/metrics", "/v1/logs", "/loki/api/v1/push"):
        assert set(document["paths"][path]["post"]["responses"]["400"]) == {"description"}


@pytest.mark.anyio
async def test_features_and_rules_have_the_shape_that_is_documented(client: httpx.AsyncClient) -> None:
    """Among them rules that nobody wrote: of a preview, and of an objective."""
    chat, rule = (
        "/api/v1/features/chat",
        {"name": "Errors", "metric": "error_rate", "condition": "greater_than", "threshold": 20, "severity": "high"},
    )
    feature = (await client.put(chat, json={"slo": {"objective": 99.5}})).json()
    written = (await client.post(f"{chat}/alerts/rules", json=rule)).json()["rule"]
    tried = (await client.post(f"{chat}/alerts/rules/preview", json=rule)).json()["rule"]
    listed = (await client.get(f"{chat}/alerts/rules")).json()["rules"]
    shapes = (await client.get("/api/v1/openapi.json")).json()["components"]["schemas"]
    assert {one["kind"] for one in listed} == {"metric", "slo"}
    for name, answer in [("FeatureShape", feature), *(("AlertRuleShape", one) for one in (written, tried, *listed))]:
        shape = shapes[name]
        assert set(shape["required"]) <= set(answer) <= set(shape["properties"]), (name, answer)
