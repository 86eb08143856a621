"""One declaration for each endpoint: its path, the action it needs, its parameters, and how it is documented."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ..access import Principal
from ..alert_model import CHANNEL_NAME
from ..errors import Unavailable
from ..model import FEATURE_ID, FeatureKey, FeatureRecord
from . import schemas
from .context import Bridge, Need
from .errors import Fault, told
from .parameters import Parameter, Query, feature_id

ROUTE: Final = "featurewatch.route"
"""Key of the ASGI scope under which the route's template is left for the meters."""

OWN_FAILURE: Final = "Told in the form of the protocol."

_PATH_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_PATH_HELP: Final = {
    "feature_id": ("The feature.", {"type": "string", "pattern": f"^{FEATURE_ID.pattern}$"}, "summarize"),
    "alert_id": ("The alert.", {"type": "string"}, "18bc3f1a2b4c5d6e0a1b2c3d00000001"),
    "window_id": ("The maintenance window.", {"type": "string"}, "18bc3f1a2b4c5d6e0a1b2c3d00000002"),
    "rule_id": ("The rule.", {"type": "string"}, "0018e0c1f7a2b3c4d5e6f70800000001"),
    "channel_name": ("The channel.", {"type": "string", "pattern": f"^{CHANNEL_NAME.pattern}$"}, "ops"),
    "test_id": ("The test's own label.", {"type": "string"}, "9f86d081884c7d65"),
    "log_id": ("The id of a line.", {"type": "string"}, "0018e0c1f7a2b3c4d5e6f70800000001"),
}


@dataclass(frozen=True)
class Call:
    """A request that was let in: who asks, with which parameters, of which bridge."""

    request: Request
    bridge: Bridge
    caller: Principal
    query: Query

    @cached_property
    def feature_id(self) -> str:
        """The feature that the path or the query names, checked in its form only."""
        named = self.request.path_params.get("feature_id")
        return self.query.feature() if named is None else feature_id(named)

    async def feature(self) -> FeatureRecord:
        """Return the feature that the path names; NotFound where there is none that the caller sees."""
        return await self.bridge.catalog.feature(self.feature_id, self.caller)

    async def key(self) -> FeatureKey:
        """Return the feature that is asked for, in the environment that is asked for."""
        return await self.bridge.catalog.key(self.feature_id, self.query.environment(), self.caller)

    @property
    def unknown_as_zero(self) -> bool:
        default = self.bridge.settings.unknown_metrics
        return self.query.choice("unknown", ("null", "zero"), default) == "zero"


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]
Failure: TypeAlias = Callable[[Request, Fault], Response]


def endpoint(
    router: APIRouter,
    method: str,
    path: str,
    action: Need,
    *,
    parameters: Sequence[Parameter] = (),
    answer: type[BaseModel] | Mapping[str, Any] | None = None,
    body: type[BaseModel] | Mapping[str, Any] | None = None,
    example: Any = None,
    status: int = 200,
    media_type: str = "application/json",
    also: Mapping[str, Any] | None = None,
    loose: bool = False,
    conflicts: bool = False,
    guarded: bool = False,
    unready: str | None = None,
    ticket: bool = False,
    failure: Failure | None = None,
) -> Callable[[Handler], Handler]:
    """Declare a route whose handler takes a `Call`; its docstring is the documentation.

    Args:
        action: what the caller must be allowed to do; "any": be someone; None: nobody is asked.
        answer, body: a model whose schema and examples document them; a mapping is used as the content's entry.
        also: further media types of the answer, each with its content's entry.
        example: a request body that works, where the model has no example.
        ticket: whether a ticket opens it, as it does streams.
        failure: how this endpoint tells of what went wrong, where it speaks another protocol.
        conflicts: whether it can be refused because of what there is already.
        unready: when its answer comes with 503.
        guarded: it asks for a credential in its own way, though `action` is None.
        loose: unknown query parameters pass, for protocols of others.
    """

    def declare(handler: Handler) -> Handler:
        async def admitted(request: Request) -> Response:
            bridge = bridge_of(request)
            caller = await bridge.admit(request, action, ticket=ticket)
            given = () if loose else request.query_params.multi_items()
            return await handler(Call(request, bridge, caller, Query(given, parameters)))

        async def run(request: Request) -> Response:
            request.scope[ROUTE] = path
            if failure is None:
                return await admitted(request)
            try:
                return await admitted(request)
            except Exception as error:
                return failure(request, told(request, error))

        summary, _, description = inspect.cleandoc(handler.__doc__ or "").partition("\n")
        content = {**(schemas.content(answer, media_type) or {}), **(also or {})}
        router.add_api_route(
            path,
            run,
            methods=[method],
            name=handler.__name__,
            operation_id=handler.__name__,
            summary=summary.rstrip("."),
            description=description.strip() or summary,
            response_model=None,
            status_code=status,
            response_class=Response,
            responses={status: {"description": "The answer." if content else "Done.", "content": content}},
            openapi_extra=_operation(
                method,
                path,
                action,
                parameters,
                body,
                example,
                own=failure is not None,
                conflicts=conflicts,
                guarded=guarded,
                loose=loose,
                same={} if unready is None else {503: {"description": unready, "content": content}},
            ),
        )
        if method == "GET" and not ticket:
            # Not for streams, whose headers are followed by no end.
            router.add_api_route(path, run, methods=["HEAD"], response_model=None, include_in_schema=False)
        return handler

    return declare


def bridge_of(request: Any) -> Bridge:
    """Return the bridge of an app; Unavailable while it starts or after it stopped."""
    bridge: Bridge | None = getattr(request.app.state, "bridge", None)
    if bridge is None:
        raise Unavailable("the bridge is not ready: it starts or stops")
    return bridge


def _operation(
    method: str,
    path: str,
    action: Need,
    parameters: Sequence[Parameter],
    body: type[BaseModel] | Mapping[str, Any] | None,
    example: Any,
    *,
    own: bool,
    conflicts: bool,
    guarded: bool,
    loose: bool,
    same: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any]:
    """Document an operation; `own`: it tells of failures in the way of its own protocol."""
    operation: dict[str, Any] = {
        "parameters": [*map(_path_parameter, _PATH_PARAMETER.findall(path)), *(item.openapi() for item in parameters)],
        "responses": {
            str(status): {"description": OWN_FAILURE} if own else {"$ref": f"#/components/responses/{name}"}
            for status, name in _failures(
                path,
                action,
                parameters,
                writes=body is not None,
                conflicts=conflicts,
                guarded=guarded,
                loose=loose,
            )
            if not (own and status == 408)  # told as 503, which shippers try again
        }
        | {str(status): dict(content) for status, content in same.items()},
    }
    if action is None:
        operation["security"] = []
    else:
        operation["x-action"] = action
    content = schemas.content(body, "application/json", example)
    if content is not None:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _failures(
    path: str,
    action: Need,
    parameters: Sequence[Parameter],
    *,
    writes: bool,
    conflicts: bool,
    guarded: bool,
    loose: bool,
) -> list[tuple[int, str]]:
    named = "{" in path or any(parameter.name == "feature_id" for parameter in parameters)
    found: list[tuple[int, str]] = []
    if parameters or writes or named or not loose:
        found.append((400, "BadRequest"))
    if action is not None or guarded:
        found.append((401, "Unauthenticated"))
    found.append((403, "Forbidden"))  # Host and Origin are checked everywhere
    if named:
        found.append((404, "NotFound"))
    if conflicts:
        found.append((409, "Conflict"))
    if action == "edit":
        found.append((412, "StaleEdit"))
    if writes:
        found += [(408, "SlowBody"), (413, "TooLarge"), (415, "Unsupported")]
    if parameters or writes:
        found.append((422, "OutOfRange"))
    if writes or action is not None or guarded:
        found.append((429, "TooMany"))
    if action is not None and (parameters or writes or named):
        found.append((502, "UpstreamRefused"))
    return [*found, (503, "Unavailable")]


def _path_parameter(name: str) -> dict[str, Any]:
    help_, schema, example = _PATH_HELP[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": help_,
        "schema": schema,
        "example": example,
    }
