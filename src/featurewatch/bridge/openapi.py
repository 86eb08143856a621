"""The bridge's OpenAPI document."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from . import schemas

DESCRIPTION: Final = """Metrics, logs and health of each AI feature of a product.

Everything is by feature and environment. Without `environment` an answer is of production if the feature has it,
else staging, else what there is; it names which. Times are ISO 8601, in `points` epoch milliseconds. An empty
parameter equals an absent one; a parameter that an endpoint does not know is refused with the nearest that it does.
Unknown fields of bodies are ignored; fields are only ever added to answers.

A feature that a caller may not see answers exactly as one that does not exist. `x-action` of an operation says what the
caller's role has to include.

Answers carry an ETag. Errors are `{"error", "code", "details"}`: one line, a stable word, and what is wrong with which
item of a list.
"""
TAGS: Final = {
    "features": "What was declared of features, and how they do.",
    "figures": "Usage, performance, cost and health; now and over time.",
    "logs": "Lines: kept, found, exported.",
    "channels": "Where people are told of alerts.",
    "recorded": "Calls and test results told by others; what happened.",
    "rules": "Alert rules, and who did what.",
    "streams": "Live, by WebSocket and server-sent events.",
    "access": "Sessions, tickets, and who asks.",
    "receivers": "OTLP and Loki's push.",
    "operations": "Health and metrics of the bridge itself.",
}
FAILURES: Final = {
    "BadRequest": (
        "Something is malformed or missing.",
        "bad_request",
        "limit: expected a whole number from 1 to 5000, got 'many'",
    ),
    "Unauthenticated": ("No credential, or one that does not hold.", "unauthenticated", "a credential is missing"),
    "Forbidden": (
        "The credential does not allow this; or Host or Origin is none that may call.",
        "forbidden",
        "role viewer of 'ci' does not include 'edit'",
    ),
    "NotFound": ("There is none, or none that the caller may see.", "not_found", "feature 'sumarize' is not known"),
    "Conflict": (
        "What there is already stands against it.",
        "conflict",
        "summarize has a rule named 'Errors' already: take another name, or change that one",
    ),
    "StaleEdit": (
        "If-Match names an older revision.",
        "precondition_failed",
        "feature summarize: expected revision 1, it is 2: read it again first",
    ),
    "SlowBody": (
        "The body does not come; the connection is closed.",
        "timeout",
        "the body comes too slowly: 12 bytes so far; send it in smaller parts",
    ),
    "TooLarge": ("The body is larger than is taken.", "too_large", "the body is larger than 16777216 bytes"),
    "Unsupported": (
        "The content type or encoding is not understood.",
        "unsupported_media_type",
        "Content-Type: expected application/json, got 'text/plain'",
    ),
    "OutOfRange": (
        "Well-formed, but outside what is allowed.",
        "out_of_range",
        "limit: expected a whole number from 1 to 5000, got '9000'",
    ),
    "TooMany": (
        "More than can be taken now; Retry-After says when to come back.",
        "too_many",
        "the disk is slower than what comes",
    ),
    "UpstreamRefused": (
        "Prometheus, Loki or Alertmanager refuses, or answers something else than it does.",
        "upstream",
        "Loki at http://loki:3100 answered a query with something else: is FEATUREWATCH_LOKI_URL right?",
    ),
    "Unavailable": ("A store cannot be reached, or its disk is full.", "unavailable", "the disk is full"),
}


def install(app: FastAPI) -> None:
    """Make the app answer with this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the way that FastAPI documents


def describe(app: FastAPI) -> dict[str, Any]:
    """Make the OpenAPI document of an app."""
    document = get_openapi(
        title="featurewatch",
        version=version("featurewatch"),
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    document["components"] = {
        "schemas": schemas.components(),
        "responses": {name: _failure(*told) for name, told in FAILURES.items()},
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API token or a JWT."},
            "basic": {"type": "http", "scheme": "basic", "description": "The same as password; any user name."},
            "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": "featurewatch_session_8400",
                "description": "A browser's session, opened by POST /session; the port is part of the name.",
            },
        },
    }
    document["security"] = [{"bearer": []}, {"basic": []}, {"session": []}]
    return document


def _failure(description: str, code: str, message: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": {"error": message, "code": code, "details": []},
            }
        },
    }
