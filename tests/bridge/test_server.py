"""How the bridge's process listens, starts and stops; its app here is a tiny one."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from featurewatch.bridge.server import address, listen, without_secrets
from featurewatch.errors import SettingsError, Unavailable
from running import environment

PROGRAM = """
import asyncio, sys
from contextlib import asynccontextmanager
from types import SimpleNamespace

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from featurewatch.bridge.server import run
from featurewatch.cli import main
from featurewatch.errors import StoreLocked

stopping = asyncio.Event()

@asynccontextmanager
async def lifespan(app):
    if "locked" in sys.argv:
        raise StoreLocked("DATA_DIR data is in use by another bridge (process 1): stop it")
    async def stop():
        print("streams stop", flush=True)
        stopping.set()
    app.state.bridge = SimpleNamespace(hub=SimpleNamespace(stop=stop))
    yield
    print("stores closed", flush=True)

async def hello(request):
    return PlainTextResponse(request.client.host)

async def slow(request):
    await asyncio.sleep(0.5)
    return PlainTextResponse("whole")

async def stuck(request):
    await asyncio.sleep(60)
    return PlainTextResponse("never")

async def events(request):
    async def parts():
        yield b"begin"
        await stopping.wait()
    return StreamingResponse(parts())

async def socket(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)

routes = [Route("/", hello), Route("/slow", slow), Route("/stuck", stuck), Route("/events", events)]
app = Starlette(routes=[*routes, WebSocketRoute("/socket", socket)], lifespan=lifespan)
import featurewatch.cli
featurewatch.cli._run = lambda argv: run(app, "127.0.0.1", 0, on_ready=lambda url: print(url, flush=True))
sys.exit(main([]))
"""


class Tiny:
    """The program above, running."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def __enter__(self) -> Tiny:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def get(self, path: str, **given: object) -> httpx.Response:
        return httpx.get(self.url + path, trust_env=False, timeout=20, **given)  # type: ignore[arg-type]  # passed through


def test_it_answers_says_nothing_of_itself_and_believes_no_proxy() -> None:
    with Tiny() as tiny:
        answer = tiny.get("/", headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"})
        assert answer.text == "127.0.0.1"
        assert "server" not in answer.headers


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_streams_and_lets_requests_end_before_the_stores_close(stop: signal.Signals, code: int) -> None:
    with Tiny() as tiny:
        with httpx.stream("GET", f"{tiny.url}/events", trust_env=False, timeout=20) as stream:
            parts = stream.iter_bytes()
            assert next(parts) == b"begin"
            with ThreadPoolExecutor(1) as threads:
                slow = threads.submit(tiny.get, "/slow")
                time.sleep(0.2)
                tiny.process.send_signal(stop)
                assert list(parts) == []
                assert slow.result().text == "whole"
        output, errors = tiny.process.communicate(timeout=30)
        assert output == "streams stop\nstores closed\n"
        assert tiny.process.returncode == code
        assert "Traceback" not in errors


def test_a_websocket_is_closed_with_1012() -> None:
    with Tiny() as tiny, connect(f"ws{tiny.url[4:]}/socket", proxy=None) as socket:
        socket.send("hello")
        assert socket.recv() == "hello"
        assert "permessage-deflate" not in socket.response.headers.get("Sec-WebSocket-Extensions", "")
        tiny.process.terminate()
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=20)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012


def test_a_message_above_64_kib_closes_with_1009() -> None:
    with Tiny() as tiny, connect(f"ws{tiny.url[4:]}/socket", proxy=None) as socket:
        socket.send("x" * (64 * 1024))
        assert len(socket.recv()) == 64 * 1024
        socket.send("x" * (64 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=20)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


def test_a_second_signal_does_not_wait() -> None:
    with Tiny() as tiny:
        threads = ThreadPoolExecutor(1)
        stuck = threads.submit(tiny.get, "/stuck")
        time.sleep(0.2)
        began = time.monotonic()
        for _ in range(2):
            tiny.process.terminate()
            time.sleep(0.2)
        tiny.process.wait(30)
        assert time.monotonic() - began < 4.5, "it would have waited 5 s"
        assert stuck.exception(10) is not None or stuck.result().text != "never"
        threads.shutdown()


def test_what_fails_at_the_start_is_one_line() -> None:
    with Tiny("locked") as tiny:
        output, errors = tiny.process.communicate(timeout=30)
        assert (output, tiny.process.returncode) == ("", 1)
        assert errors == "featurewatch: DATA_DIR data is in use by another bridge (process 1): stop it\n"


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"port {port} of 127.0.0.1 is in use: .*--port"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7", "a" * 300])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="host"):
        listen(host, 0)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")],
)
def test_the_address_is_one_that_can_be_opened(host: str, shown: str) -> None:
    with listen(host, 0) as listener:
        assert address(listener) == f"{shown}{listener.getsockname()[1]}"


def test_the_address_of_ipv6_is_in_brackets() -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with listen("[::1]", 0) as listener:
        assert address(listener) == f"http://[::1]:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/api/v1/me", "/api/v1/me"),
        ("/x?featureId=a&ticket=abc-_1&b=2", "/x?featureId=a&ticket=…&b=2"),
        ("/x?token=fw_a_b", "/x?token=…"),
        ("/x?ACCESS_TOKEN=a.b.c", "/x?ACCESS_TOKEN=…"),
    ],
)
def test_a_credential_in_an_address_is_not_logged(path: str, logged: str) -> None:
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, '"%s" %d', (path, 200), None)
    assert without_secrets(record)
    assert record.getMessage() == f'"{logged}" 200'


@pytest.mark.parametrize(("wanted", "limit", "warned"), [(10, 100, False), (60, 124, False), (1000, 200, True)])
def test_the_limit_of_open_files_is_raised_to_what_the_streams_need(wanted: int, limit: int, warned: bool) -> None:
    program = (
        "import logging, resource; logging.basicConfig(); resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200)); "
        f"from featurewatch.bridge.server import allow_files; print(allow_files({wanted})); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    assert done.stdout.split() == [str(limit), str(limit)], done.stderr
    assert ("FEATUREWATCH_MAX_STREAMS" in done.stderr) is warned
