"""A bridge for the console's own tests: the real wire formats, figures that stand still, faults on demand.

The real bridge is driven by `test_console_on_bridge.py`. Here is what it will not do when asked: refuse WebSockets,
stop and come back on the same port with its lines, lose lines and say so, or hold 100,000 of them.
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from featurewatch.bridge.routes.console import POLICY

STATIC = Path(__file__).parents[2] / "src/featurewatch/console/static"
PREFIX = "/api/moved"  # not the default: a prefix that the console assumes would not answer
HEALTHY = {
    "uptime": 100.0, "error_rate": 0.31, "success_rate": 99.69, "response_time": 412.4, "total_requests": 1234,
    "requests_per_minute": 246.8, "cost_per_request": 0.00213, "response_time_p50": 361.0, "response_time_p95": 874.0,
    "response_time_p99": 1410.0, "time_to_first_token_p95": 322.0, "total_cost": 2.63, "tokens_per_request": 913.4,
}  # fmt: skip
UNKNOWN = dict.fromkeys(HEALTHY)
GOOD = {"uptime": "good", "error_rate": "good", "success_rate": "good", "response_time": "good"}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass
class FakeBridge:
    """State that outlives a stop of the server. Tests change it from their own thread."""

    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    costs: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    errors_by_type: dict[str, float] = field(default_factory=dict)
    websockets_pass: bool = True
    token: str = ""
    delay_s: float = 0.0
    failing: set[str] = field(default_factory=set)
    port: int = 0
    clients: list[tuple[asyncio.Queue[dict[str, Any]], dict[str, Any]]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def add(
        self, id: str, health: str = "healthy", *, name: str = "", reasons: Sequence[str] = (), **figures: Any
    ) -> None:
        """Add a feature with its figures."""
        metrics = UNKNOWN if health == "unknown" else {**HEALTHY, **figures}
        mark = {"error": "error", "warning": "warning"}.get(health, "good")
        self.features[id] = {
            "id": id, "name": name or id.title(), "description": "", "owner": "docs", "version": "1.4",
            "environments": ["production", "staging"], "environment": "production", "slo": None, "revision": 1,
            "thresholds": {"uptime": 99, "error_rate": 5, "response_time_p95": 10_000},
            "health_indicators": {"status": health, "alerts_count": 0},
        }  # fmt: skip
        self.snapshots[id] = {
            "featureId": id, "environment": "production", "timestamp": now(), "metrics": dict(metrics),
            "statuses": {} if health == "unknown" else {**GOOD, **dict.fromkeys(figures.keys() & GOOD.keys(), mark)},
            "health_status": health,
            "reasons": list(reasons), "alerts": [], "stale": False,
        }  # fmt: skip

    def update(self, id: str, **figures: Any) -> None:
        """Change a feature's figures and tell the streams."""
        snapshot = self.snapshots[id]
        snapshot["timestamp"] = now()
        snapshot["metrics"].update(figures)
        self.tell({"type": "metrics_update", "featureId": id, "data": snapshot})

    def line(
        self, message: str, *, feature: str = "summarize", level: str = "info", quiet: bool = False, **more: Any
    ) -> None:
        """Log a line and tell the streams."""
        entry = {
            "id": f"line-{len(self.lines):07}", "featureId": feature, "timestamp": now(), "level": level,
            "message": message, "source": "app", "environment": "production", **more,
        }  # fmt: skip
        self.lines.append(entry)
        if not quiet:
            self.tell({"type": "log_entry", "featureId": feature, "data": entry, "id": str(len(self.lines))})

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to every stream that wants it."""
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._tell, {**message, "timestamp": now()})

    def _tell(self, message: dict[str, Any]) -> None:
        for queue, wants in self.clients:
            if message["type"] in ("log_entry", "gap"):
                follows = wants.get("logs")
                if follows is None or (message["type"] == "log_entry" and not matches(message["data"], follows)):
                    continue
            elif wants["feature"] not in ("*", message.get("featureId")) or not wants["metrics"]:
                continue
            queue.put_nowait(message)

    @contextmanager
    def running(self) -> Iterator[FakeBridge]:
        """Serve in a thread of its own, on the port it had before."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1, ws="websockets-sansio"
        )
        server = uvicorn.Server(config)

        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await server.serve(sockets=[listener])

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        while not server.started and thread.is_alive():
            threading.Event().wait(0.01)
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join()
            listener.close()
            self.loop = None
            self.clients.clear()

    def _app(self) -> Starlette:
        feature = PREFIX + "/features/{id}"
        routes = [
            Route("/", self._index),
            Route(PREFIX + "/features", self._features),
            Route(PREFIX + "/alerts", self._alerts),
            Route(PREFIX + "/stream", self._events_stream),
            Route(PREFIX + "/alerts", self._alerts),
            Route(feature, self._feature),
            Route(feature + "/alerts/rules", self._rules),
            Route(feature + "/alerts", self._alerts),
            Route(feature + "/test-results", self._test_results),
            Route(feature + "/metrics/history", self._history),
            Route(feature + "/metrics/stream", self._metrics_stream),
            Route(feature + "/logs/stream", self._logs_stream),
            Route(feature + "/costs", self._costs),
            Route(feature + "/events", self._events),
            Route(feature + "/performance", self._performance),
            Route(feature + "/metrics/current", self._last_minute),
            Route(PREFIX + "/metrics/current", self._current),
            Route(PREFIX + "/logs", self._logs),
            Route(PREFIX + "/logs/export", self._export),
            Route(PREFIX + "/logs/{id}", self._around),
            Route(PREFIX + "/me", self._me),
            Route(PREFIX + "/session", self._session, methods=["POST"]),
            WebSocketRoute(PREFIX + "/websocket", self._websocket),
            Mount("/", StaticFiles(directory=STATIC)),
        ]
        return Starlette(routes=[self._guarded(route) for route in routes])

    def _guarded(self, route: Any) -> Any:
        """Count the request, delay it, fail it or ask for a token, as the test has set."""
        if not isinstance(route, Route) or route.path == "/":
            return route
        inner = route.endpoint

        async def guarded(request: Request) -> Response:
            self.requests.append(str(request.url.path))
            await asyncio.sleep(self.delay_s)
            if any(part in request.url.path for part in self.failing):
                return JSONResponse({"error": "the store cannot be reached: try again", "code": "unavailable"}, 503)
            if (
                self.token
                and request.cookies.get("session") != self.token
                and not request.url.path.endswith("/session")
            ):
                return JSONResponse({"error": "a token is needed", "code": "unauthenticated"}, 401)
            answer: Response = await inner(request)
            return answer

        return Route(route.path, guarded, methods=list(route.methods or ["GET"]))

    async def _index(self, request: Request) -> Response:
        config = json.dumps({"prefix": PREFIX, "grafana": ""}).replace('"', "&quot;")
        text = (STATIC / "index.html").read_text().replace("__FEATUREWATCH_CONFIG__", config)
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"})

    async def _features(self, request: Request) -> Response:
        return JSONResponse({"features": list(self.features.values())})

    async def _feature(self, request: Request) -> Response:
        return JSONResponse(self.features[request.path_params["id"]])

    async def _around(self, request: Request) -> Response:
        found = [place for place, line in enumerate(self.lines) if line["id"] == request.path_params["id"]]
        if not found:
            return JSONResponse({"error": "this line is not known", "code": "not_found"}, 404)
        around = int(request.query_params["around"])
        near = self.lines[max(0, found[0] - around) : found[0] + around + 1]
        return JSONResponse({"log": self.lines[found[0]], "logs": near})

    async def _rules(self, request: Request) -> Response:
        return JSONResponse({"rules": self.rules})

    async def _alerts(self, request: Request) -> Response:
        return JSONResponse({"alerts": self.alerts, "next_cursor": None})

    async def _test_results(self, request: Request) -> Response:
        results = [event for event in self.events if event["type"] == "test_result"]
        return JSONResponse({"test_results": results, "next_cursor": None})

    async def _current(self, request: Request) -> Response:
        return JSONResponse({"data": list(self.snapshots.values())})

    async def _last_minute(self, request: Request) -> Response:
        return JSONResponse({"data": self.snapshots[request.path_params["id"]]})

    async def _performance(self, request: Request) -> Response:
        return JSONResponse({"errors_by_type": self.errors_by_type})

    async def _me(self, request: Request) -> Response:
        return JSONResponse(
            {"name": "ada", "role": "viewer", "actions": ["read"], "authentication": True}
            if self.token
            else {"name": "anonymous", "role": "admin", "actions": ["read", "edit"], "authentication": False}
        )

    async def _session(self, request: Request) -> Response:
        if (await request.json())["token"] != self.token:
            return JSONResponse({"error": "token: this one is not known", "code": "unauthenticated"}, 401)
        answer = JSONResponse({"success": True})
        answer.set_cookie("session", self.token, httponly=True, samesite="strict")
        return answer

    async def _history(self, request: Request) -> Response:
        metric, id = request.query_params["metric"], request.path_params["id"]
        start = datetime.fromisoformat(request.query_params["start_time"])
        end = datetime.fromisoformat(request.query_params["end_time"])
        figures = self.snapshots[id]["metrics"]
        points = []
        while start <= end:
            minute = start.timestamp() / 60
            missing = figures[metric] is None or 20 <= round(end.timestamp() / 60 - minute) < 26
            wave = 1 + 0.25 * math.sin(minute / 7) + 0.12 * math.sin(minute * 1.7 + len(metric))
            value = None if missing else figures[metric] * max(0.0, wave)
            points.append([int(start.timestamp() * 1000), value])
            start += timedelta(minutes=1)
        return JSONResponse({"metric": metric, "unit": "", "points": points})

    async def _costs(self, request: Request) -> Response:
        return JSONResponse({"total_cost": 1.0, "cost_per_request": 0.01, "by_model": self.costs})

    async def _events(self, request: Request) -> Response:
        return JSONResponse({"events": self.events, "next_cursor": None})

    async def _logs(self, request: Request) -> Response:
        query = request.query_params
        limit = int(query.get("limit", "1000"))
        if query.get("direction") == "forward":
            first = int(query.get("cursor") or 0)
            wanted = [place for place in range(first, len(self.lines)) if matches(self.lines[place], query)]
            page = wanted[:limit]
            further = str(page[-1] + 1) if len(wanted) > limit else None
        else:
            end = int(query.get("cursor") or len(self.lines))
            wanted = [place for place in range(end) if matches(self.lines[place], query)]
            page = wanted[-limit:]
            further = str(page[0]) if page and page[0] != wanted[0] else None
        return JSONResponse({"logs": [self.lines[place] for place in page], "next_cursor": further})

    async def _export(self, request: Request) -> Response:
        found = [line for line in self.lines if matches(line, request.query_params)]
        name = f"logs-{request.query_params['feature_id']}-2026-01-31.{request.query_params['format']}"
        text = "[" + ",\n".join(json.dumps(line) for line in found) + "]"
        return Response(text, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    async def _metrics_stream(self, request: Request) -> Response:
        id = request.path_params["id"]
        first = {"type": "metrics_update", "featureId": id, "data": self.snapshots[id], "timestamp": now()}
        return self._stream({"feature": id, "metrics": True}, first)

    async def _events_stream(self, request: Request) -> Response:
        feature = request.query_params["featureId"]
        latest = [
            {"type": "metrics_update", "featureId": id, "data": snapshot, "timestamp": now()}
            for id, snapshot in self.snapshots.items()
            if feature in ("*", id)
        ]
        return self._stream({"feature": feature, "metrics": True}, *latest)

    async def _logs_stream(self, request: Request) -> Response:
        wants = {**request.query_params, "feature_id": request.path_params["id"]}
        after = int(request.query_params.get("after") or max(0, len(self.lines) - 50))
        missed = [
            {"type": "log_entry", "featureId": line["featureId"], "data": line, "id": str(place + 1)}
            for place, line in enumerate(self.lines)
            if place >= after and matches(line, wants)
        ]
        return self._stream({"feature": "", "metrics": False, "logs": wants}, *missed)

    def _stream(self, wants: dict[str, Any], *first: dict[str, Any]) -> Response:
        async def events() -> AsyncIterator[str]:
            queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            self.clients.append((queue, wants))
            yield f"data: {json.dumps({'type': 'connected', 'featureId': wants['feature']})}\n\n"
            for message in first:
                yield f"id: {message.get('id', '')}\ndata: {json.dumps(message)}\n\n"
            while True:
                message = await queue.get()
                yield f"id: {message.get('id', '')}\ndata: {json.dumps(message)}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def _websocket(self, websocket: WebSocket) -> None:
        if not self.websockets_pass:
            await websocket.close(1008)
            return
        await websocket.accept()
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        wants: dict[str, Any] = {"feature": websocket.query_params["featureId"], "metrics": True}
        queue.put_nowait({"type": "connection_confirmed", "data": {"connected": True, "recovered": False}})
        for id, snapshot in self.snapshots.items():
            queue.put_nowait({"type": "metrics_update", "featureId": id, "data": snapshot})
        self.clients.append((queue, wants))

        async def send() -> None:
            while True:
                batch = [await queue.get()]
                while not queue.empty():
                    batch.append(queue.get_nowait())
                await websocket.send_text(json.dumps([{"timestamp": now(), **message} for message in batch]))

        sender = asyncio.create_task(send())
        try:
            while True:
                command = await websocket.receive_json()
                if command["type"] == "subscribe_logs":
                    self._follow(queue, wants, command)
                elif command["type"] == "unsubscribe_logs":
                    wants["logs"] = None
                else:
                    queue.put_nowait({"type": "pong", "data": {}})
        except WebSocketDisconnect:
            pass
        finally:
            sender.cancel()
            self.clients[:] = [client for client in self.clients if client[0] is not queue]

    def _follow(self, queue: asyncio.Queue[dict[str, Any]], wants: dict[str, Any], command: Mapping[str, Any]) -> None:
        follows = {**command.get("filters", {}), "feature_id": command["featureId"]}
        after = command.get("after")
        lines = [line for line in self.lines[int(after or 0) :] if matches(line, follows)]
        wants["logs"] = follows
        data = lines if after else lines[-50:]
        queue.put_nowait(
            {"type": "log_history", "featureId": command["featureId"], "data": data, "id": str(len(self.lines))}
        )


def matches(line: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    """Apply the filters of /logs."""
    text = f"{line['message']}\n{line['source']}\n{json.dumps(line.get('metadata', {}))}".lower()
    return (
        line["featureId"] == query.get("feature_id")
        and (not query.get("levels") or line["level"] in query["levels"].split(","))
        and query.get("search", "").lower() in text
        and query.get("source", "") in ("", line["source"])
        and (query.get("start_time") or "") <= line["timestamp"] <= (query.get("end_time") or "9")
    )


def furnished() -> FakeBridge:
    """Make a bridge with features of every health, lines, costs and events."""
    bridge = FakeBridge()
    bridge.add("summarize", name="Summaries")
    bridge.add(
        "search", "warning", reasons=["error_rate is 7.2 %, the threshold is 5 %"], error_rate=7.2, success_rate=92.8
    )
    bridge.add(
        "extract", "error", name="Extraction from scanned documents", error_rate=61.5, success_rate=38.5, uptime=71.2,
        reasons=["error_rate is 61.5 %, the threshold is 5 %", "uptime is 71.2 %, the threshold is 99 %"],
    )  # fmt: skip
    bridge.add("classify", requests_per_minute=12.4, total_cost=0.00021, response_time_p95=41.0)
    bridge.add("translate", "unknown", reasons=["no data: no call was recorded within the window"])
    bridge.costs = [
        {"model": "gpt-5-mini", "cost_usd": 2.1, "reported_usd": 2.1, "estimated_usd": 0.0,
         "tokens": {"input": 812_345, "output": 120_400}, "unpriced_requests": 0},
        {"model": "claude-haiku-4-5", "cost_usd": 0.53, "reported_usd": 0.0, "estimated_usd": 0.53,
         "tokens": {"input": 92_100, "output": 31_020}, "unpriced_requests": 0},
        {"model": "house-model", "cost_usd": 0.0, "reported_usd": 0.0, "estimated_usd": 0.0,
         "tokens": {"input": 900, "output": 120}, "unpriced_requests": 14},
    ]  # fmt: skip
    bridge.errors_by_type = {"UnicodeDecodeError": 21, "TimeoutError": 4, "refused": 1}
    bridge.events = [
        {"id": "e3", "type": "status_change", "featureId": "summarize", "environment": "production", "timestamp": now(),
         "data": {"from": "warning", "to": "healthy", "reasons": []}},
        {"id": "e2", "type": "test_result", "featureId": "summarize", "environment": "production", "timestamp": now(),
         "data": {"name": "answers in French", "passed": False, "message": "answered in English"}},
        {"id": "e1", "type": "status_change", "featureId": "summarize", "environment": "production", "timestamp": now(),
         "data": {"from": "healthy", "to": "warning", "reasons": ["error_rate is 7.2 %, the threshold is 5 %"]}},
    ]  # fmt: skip
    texts = [
        ("info", "summarised 812 words of library/asyncio.rst in 3 sentences"),
        ("debug", "prompt has 1,204 tokens, 0.7 of the context"),
        ("info", "GET /summaries/42 answered in 412 ms"),
        ("warn", "model answered after 2 retries"),
        ("error", "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0\n  in read_page, line 42"),
        ("fatal", "worker stopped: out of memory"),
    ]
    for number in range(120):
        level, text = texts[[0, 1, 2, 0, 2, 1, 0, 3, 2, 0, 4, 1][number % 12] if number != 97 else 5]
        metadata = {"document": f"library/{number}.rst", "words": 800 + number, "cached": number % 3 == 0}
        bridge.line(text, level=level, metadata=metadata, trace_id=f"{number:032x}", quiet=True)
    return bridge
