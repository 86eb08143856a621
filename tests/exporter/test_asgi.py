"""Requests of ASGI apps as calls: in memory message by message, and over real connections to uvicorn."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

import featurewatch
from exporter.conftest import Receiver
from exporter.recorded import dropped, recorded
from exporter.test_otlp import metrics, points
from featurewatch import Feature, FeatureMiddleware, current_call
from featurewatch.errors import SettingsError
from featurewatch.exporter.routes import Routes
from featurewatch.exporter.runtime import RUNTIME


class Boom(Exception):
    pass


def app_of(*routes: Any, **options: Any) -> Any:
    return FeatureMiddleware(Starlette(routes=list(routes)), **options)


@asynccontextmanager
async def client_of(app: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, **options)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        yield client


@contextmanager
def served(app: Any, **options: Any) -> Iterator[str]:
    """Serve an app by a real uvicorn on a free port; yields host:port."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", **{"lifespan": "off", "ws": "auto", **options})
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def until(holds: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.01)


def ended(feature: Feature) -> bool:
    return sum(recorded(feature).outcomes) == 1


async def answer(request: Request) -> Response:
    assert current_call().feature == "chat"
    current_call().tokens(input=3)
    return PlainTextResponse("hello")


@pytest.mark.anyio
async def test_a_request_is_a_call_that_the_handler_can_tell_of() -> None:
    chat = Feature("chat", models=["m"])
    async with client_of(app_of(Route("/chat/{id}", answer), routes={"/chat/{id}": chat})) as client:
        assert (await client.get("/chat/7")).text == "hello"
    seen = recorded(chat)
    assert (seen.outcomes, seen.in_progress, seen.first_tokens) == ((1, 0, 0), 0, 0)
    assert seen.tokens == {("m", "input"): 3}
    assert not current_call()


@pytest.mark.anyio
async def test_other_paths_and_unasked_methods_are_none() -> None:
    chat = Feature("chat")
    app = app_of(Route("/chat/{id}", lambda request: PlainTextResponse("x")), routes={"/chat/{id}": chat})
    async with client_of(app) as client:
        for path in ("/", "/chat", "/chat/", "/chat/7/more", "/chat/7x/", "/xchat/7"):
            await client.get(path)
        await client.options("/chat/7")
        await client.head("/chat/7")
    assert recorded(chat).outcomes == (0, 0, 0)


@pytest.mark.parametrize(
    ("key", "matching", "other"),
    [
        ("POST /chat", [("POST", "/chat")], [("GET", "/chat"), ("POST", "/chat/")]),
        ("/files/{rest:path}", [("GET", "/files/a/b.txt"), ("PUT", "/files/")], [("GET", "/files")]),
        ("/v1/{a:int}.{b}", [("GET", "/v1/1.x")], [("GET", "/v1/1x"), ("GET", "/v1/1.x/y")]),
        ("options /chat", [], [("OPTIONS", "/chat")]),
    ],
)
def test_routes_match_methods_and_parameters(
    key: str, matching: list[tuple[str, str]], other: list[tuple[str, str]]
) -> None:
    chat = Feature("chat")
    if not matching:
        with pytest.raises(SettingsError, match=r"routes: expected a path such as /chat/\{id\} or POST /chat"):
            Routes({key: chat}, None)
        return
    routes = Routes({key: chat}, None)
    assert [routes.find(*request) for request in matching] == [chat] * len(matching)
    assert [routes.find(*request) for request in other] == [None] * len(other)


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ({}, "expected paths by feature"),
        (["/chat"], "expected paths by feature"),
        ({"chat": "chat"}, "expected a path"),
        ({7: "chat"}, "expected a path"),
        ({"FETCH /chat": "chat"}, "expected a path"),
        ({"/chat": 7}, "expected a Feature or a feature's id for /chat"),
        ({"/chat": "a b"}, "id: expected"),
        ({"/chat/<id>": "chat"}, r"expected parameters such as \{id\}"),
        ({"/chat/{user-id}": "chat"}, r"expected parameters such as \{id\}"),
    ],
)
def test_wrong_routes_are_named(routes: Any, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        FeatureMiddleware(Starlette(), routes=routes)


def test_an_id_is_declared_and_may_be_declared_later() -> None:
    FeatureMiddleware(Starlette(), routes={"/chat": "chat", "/more": "chat"})
    assert recorded(Feature("chat", owner="docs")).outcomes == (0, 0, 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "outcomes", "errors"),
    [
        (200, (1, 0, 0), {}),
        (304, (1, 0, 0), {}),
        (404, (1, 0, 0), {}),
        (422, (1, 0, 0), {}),
        (408, (0, 0, 1), {}),
        (499, (0, 0, 1), {}),
        (429, (0, 1, 0), {"http_429": 1}),
        (500, (0, 1, 0), {"http_500": 1}),
        (503, (0, 1, 0), {"http_503": 1}),
    ],
)
async def test_the_status_decides(status: int, outcomes: tuple[int, int, int], errors: dict[str, int]) -> None:
    chat = Feature("chat")
    app = app_of(Route("/", lambda request: Response(status_code=status)), routes={"/": chat})
    async with client_of(app) as client:
        assert (await client.get("/")).status_code == status
    assert (recorded(chat).outcomes, recorded(chat).errors) == (outcomes, errors)


@pytest.mark.anyio
async def test_statuses_may_be_judged_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    chat = Feature("chat")

    def judging(status: int) -> str | None:
        verdicts = {404: "not_found", 503: "success", 402: "cancelled", 403: "error"}
        return verdicts[status]

    async def status_of(request: Request) -> Response:
        return Response(status_code=int(request.path_params["status"]))

    app = app_of(Route("/{status}", status_of), routes={"/{status}": chat}, classify_status=judging)
    async with client_of(app) as client:
        for status in (404, 503, 402, 403, 500):
            await client.get(f"/{status}")
    assert recorded(chat).outcomes == (1, 3, 1)
    assert recorded(chat).errors == {"not_found": 1, "http_403": 1, "http_500": 1}
    assert dropped("calls", "classifier_failed") == 1
    assert "classify_status raised KeyError(500)" in caplog.text


@pytest.mark.anyio
async def test_what_the_handler_says_decides_over_the_status() -> None:
    chat = Feature("chat")

    async def refuse(request: Request) -> Response:
        current_call().fail("refused")
        return PlainTextResponse("I cannot help with that.")

    async with client_of(app_of(Route("/", refuse), routes={"/": chat})) as client:
        await client.get("/")
    assert recorded(chat).errors == {"refused": 1}


@pytest.mark.anyio
@pytest.mark.parametrize("inside", [True, False])
async def test_an_exception_is_counted_by_its_class_and_raised_on(inside: bool) -> None:
    chat = Feature("chat")

    async def fail(request: Request) -> Response:
        raise Boom

    app: Any = Starlette(routes=[Route("/", fail)])
    if inside:
        app.add_middleware(FeatureMiddleware, routes={"/": chat})
    else:
        app = FeatureMiddleware(app, routes={"/": chat})
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with pytest.raises(Boom):
            await client.get("/")
    assert recorded(chat).errors == {"Boom": 1}
    assert recorded(chat).outcomes == (0, 1, 0)


@pytest.mark.anyio
async def test_what_runs_after_the_response_is_no_part_of_the_call() -> None:
    chat = Feature("chat")
    seen: list[Any] = []

    async def later() -> None:
        seen.append((recorded(chat).outcomes, bool(current_call())))
        raise Boom

    app = app_of(
        Route("/", lambda request: PlainTextResponse("x", background=BackgroundTask(later))), routes={"/": chat}
    )
    async with client_of(app) as client:
        await client.get("/")
    assert seen == [((1, 0, 0), False)]
    assert recorded(chat).outcomes == (1, 0, 0)


@pytest.mark.anyio
async def test_a_mounted_app_matches_with_and_without_its_mount() -> None:
    inner, outer = Feature("inner"), Feature("outer")
    mounted = app_of(Route("/chat", lambda request: PlainTextResponse("x")), routes={"/chat": inner})
    app = FeatureMiddleware(Starlette(routes=[Mount("/api", mounted)]), routes={"/api/chat": outer})
    async with client_of(app) as client:
        assert (await client.get("/api/chat")).text == "x"
    async with client_of(app, root_path="/behind/a/proxy") as client:
        assert (await client.get("/behind/a/proxy/api/chat")).text == "x"
    assert recorded(inner).outcomes == (2, 0, 0)
    assert recorded(outer).outcomes == (2, 0, 0)


@pytest.mark.anyio
async def test_an_app_that_does_not_finish_its_response_failed() -> None:
    chat = Feature("chat")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    await FeatureMiddleware(app, routes={"/": chat})({"type": "http", "method": "GET", "path": "/"}, receive, send)
    assert recorded(chat).errors == {"incomplete_response": 1}


@pytest.mark.anyio
async def test_lifespan_and_disabled_requests_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEATUREWATCH_DISABLED", "1")
    app = app_of(Route("/", lambda request: PlainTextResponse("x")), routes={"/": "chat"})
    async with client_of(app) as client:
        assert (await client.get("/")).text == "x"
    seen: list[str] = []

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await FeatureMiddleware(lifespan, routes={"/": "chat"})({"type": "lifespan"}, None, None)  # type: ignore[arg-type]  # neither is used
    assert seen == ["lifespan"]
    assert RUNTIME.snapshots() == []


def by_middleware() -> Any:
    return FeatureMiddleware(Starlette(), routes={"/": "chat"})


def by_route() -> Any:
    app = FastAPI()
    featurewatch.metrics_route(app)
    return app


@pytest.mark.parametrize("app", [by_middleware, by_route, featurewatch.metrics_app])
def test_at_the_servers_end_what_waits_is_sent(app: Any, receiver: Receiver) -> None:
    """Before the server ends: uvicorn then dies of the signal that it was told to end by, and nothing else runs."""
    featurewatch.configure(endpoint=receiver.url, push_interval=600)
    with served(app(), lifespan="on"):
        log = logging.Logger("app")
        log.addHandler(featurewatch.LogHandler())
        with Feature("chat").call():
            log.warning("the last line")
    assert b"the last line" in receiver.of("/loki/api/v1/push")[0].body
    counted = metrics(receiver.of("/v1/metrics")[-1].body)["feature_requests_total"]
    assert sum(point.as_int for _, point in points(counted)) == 1


def test_an_end_waits_in_vain_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    featurewatch.configure(endpoint="http://127.0.0.1:9", exit_timeout=30)
    app = Starlette()
    featurewatch.metrics_route(app)
    waited: list[float] = []

    def in_vain(timeout: float) -> bool:
        waited.append(timeout)
        return False

    monkeypatch.setattr(RUNTIME, "flush", in_vain)
    with served(FeatureMiddleware(app, routes={"/": "chat"}), lifespan="on"):
        pass
    RUNTIME._at_exit()
    assert waited == [30, 0]


def streaming(parts: int, pause: float = 0.0, fails: bool = False) -> Any:
    async def stream(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for part in range(parts):
                yield f"part {part}\n".encode()
                await asyncio.sleep(pause)
            if fails:
                raise Boom

        return StreamingResponse(body())

    return stream


def test_a_stream_lasts_to_its_last_byte_and_its_first_is_the_first_token() -> None:
    chat = Feature("chat")
    with served(app_of(Route("/", streaming(3, 0.1)), routes={"/": chat})) as address:
        assert httpx.get(f"http://{address}/").text.count("part") == 3
        until(lambda: ended(chat))
    seen = recorded(chat)
    assert (seen.outcomes, seen.first_tokens, seen.in_progress) == ((1, 0, 0), 1, 0)
    assert seen.duration_sum >= 0.25
    (snapshot,) = RUNTIME.snapshots()
    assert snapshot.distributions["feature_time_to_first_token_seconds"].sum <= seen.duration_sum - 0.25


def test_a_client_that_leaves_mid_stream_cancels() -> None:
    chat = Feature("chat")
    app = FastAPI()
    app.add_api_route("/", streaming(10_000, 0.01), response_model=None)
    app.add_middleware(FeatureMiddleware, routes={"/": chat})
    with served(app) as address:
        with httpx.stream("GET", f"http://{address}/") as response:
            parts = response.iter_raw()
            next(parts)
            assert recorded(chat).in_progress == 1
        until(lambda: ended(chat))
    assert recorded(chat).outcomes == (0, 0, 1)
    assert recorded(chat).first_tokens == 1
    assert recorded(chat).in_progress == 0


def test_a_client_that_leaves_before_the_answer_cancels_where_the_app_listens() -> None:
    chat = Feature("chat")

    async def wait(request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        return PlainTextResponse("to nobody")

    with served(app_of(Route("/", wait), routes={"/": chat})) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"http://{address}/", timeout=0.2)
        until(lambda: ended(chat))
    assert recorded(chat).outcomes == (0, 0, 1)


def test_a_stream_that_breaks_is_an_error() -> None:
    chat = Feature("chat")
    with served(app_of(Route("/", streaming(2, fails=True)), routes={"/": chat})) as address:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://{address}/")
        until(lambda: ended(chat))
    assert recorded(chat).errors == {"Boom": 1}
    assert recorded(chat).first_tokens == 1


def websocket_app(feature: Feature) -> Any:
    app = FastAPI()

    @app.websocket("/ws/{way}")
    async def talk(socket: WebSocket, way: str) -> None:
        if way == "refuse":
            await socket.close(1008)
            return
        assert not current_call()
        await socket.accept()
        assert current_call().feature == "chat"
        await socket.receive_text()
        await socket.send_text("hello")
        if way == "fail":
            raise Boom
        if way == "overloaded":
            await socket.close(1013)
        elif way == "listen":
            await socket.receive_text()
        else:
            await socket.close()

    app.add_middleware(FeatureMiddleware, routes={"/ws/{way}": feature})
    return app


@pytest.mark.parametrize(
    ("way", "outcomes", "errors"),
    [
        ("close", (1, 0, 0), {}),
        ("listen", (1, 0, 0), {}),
        ("fail", (0, 1, 0), {"Boom": 1}),
        ("overloaded", (0, 1, 0), {"websocket_1013": 1}),
    ],
)
def test_a_websocket_counts_from_its_acceptance_to_its_close(
    way: str, outcomes: tuple[int, int, int], errors: dict[str, int]
) -> None:
    chat = Feature("chat")

    async def talk(address: str) -> None:
        async with websockets.connect(f"ws://{address}/ws/{way}") as socket:
            await socket.send("hi")
            assert await socket.recv() == "hello"
            if way != "listen":
                await socket.wait_closed()

    with served(websocket_app(chat)) as address:
        asyncio.run(talk(address))
        until(lambda: ended(chat))
    seen = recorded(chat)
    assert (seen.outcomes, seen.errors, seen.first_tokens, seen.in_progress) == (outcomes, errors, 1, 0)


@pytest.mark.anyio
@pytest.mark.parametrize(("code", "outcomes"), [(1000, (1, 0, 0)), (1001, (1, 0, 0)), (1006, (0, 0, 1))])
async def test_the_code_of_a_clients_close_decides(code: int, outcomes: tuple[int, int, int]) -> None:
    """A broken connection is 1006; servers that call it 1005, as a close without a code, cannot be told apart."""
    chat = Feature("chat")
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": code}]

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        pass

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        raise Boom

    with pytest.raises(Boom):
        await FeatureMiddleware(app, routes={"/": chat})({"type": "websocket", "path": "/"}, receive, send)
    assert recorded(chat).outcomes == outcomes
    assert recorded(chat).in_progress == 0


def test_a_refused_websocket_is_no_call() -> None:
    chat = Feature("chat")

    async def talk(address: str) -> None:
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(f"ws://{address}/ws/refuse")

    with served(websocket_app(chat)) as address:
        asyncio.run(talk(address))
    assert recorded(chat).outcomes == (0, 0, 0)
    assert recorded(chat).in_progress == 0
