"""Run an app under uvicorn: listen first, say when it is ready, stop without losing what is under way."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

from ..errors import SettingsError, Unavailable
from ..streams.server import uvicorn_options
from ..streams.websocket import MAX_MESSAGE_BYTES
from .connections import PatientProtocol
from .garbage import calm

__all__ = ["address", "allow_files", "listen", "options", "run", "without_secrets"]

_log = logging.getLogger(__name__)

RESERVED_FILES: Final = 64
"""Files that a bridge has open for itself: its stores, its threads' connections to them, requests under way."""

GRACE_S: Final = 5
"""How long requests under way may take to end."""


_SECRET: Final = re.compile(r"((?:ticket|token|access_token|jwt|apikey)=)[^&\s\"]+", re.IGNORECASE)


def run(
    app: Starlette,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str], None],
    access_log: bool = False,
    trusted_proxies: Sequence[str] = (),
) -> int:
    """Serve `app` until SIGTERM or SIGINT; return 0, or 130 after SIGINT. A second signal does not wait for anyone.

    `app.state.bridge.hub.stop()`, where there is one, ends the streams (1012) before requests are waited for.

    Args:
        trusted_proxies: addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed.

    Raises:
        Unavailable: the port is taken. SettingsError: the host is no address of this machine.
    """
    listener = listen(host, port)
    config = uvicorn.Config(
        app,
        lifespan="off",  # run below, so that what fails in it arrives here as it was raised
        access_log=access_log,
        **options(trusted_proxies),
    )
    for name in ("uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).addFilter(without_secrets)
    server = _Server(config, app, lambda: on_ready(address(listener)))
    with listener, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(app, server, listener))
    return 130 if server.stopped_by == signal.SIGINT else 0


def options(trusted_proxies: Sequence[str] = ()) -> Mapping[str, Any]:
    """Return what `uvicorn.Config` needs to serve a bridge, besides the app and where it listens."""
    return {
        "log_config": None,
        # From elsewhere than a trusted proxy anyone could claim to be another address.
        "proxy_headers": bool(trusted_proxies),
        "forwarded_allow_ips": list(trusted_proxies),
        "server_header": False,
        "timeout_keep_alive": 75,  # above the pauses of log shippers and scrapers
        "timeout_graceful_shutdown": GRACE_S,
        "http": PatientProtocol,
        **uvicorn_options(MAX_MESSAGE_BYTES),
    }


def without_secrets(record: logging.LogRecord) -> bool:
    """Take credentials out of the addresses that uvicorn logs: a ticket, or what somebody put there by mistake."""
    if isinstance(record.args, tuple):
        record.args = tuple(_SECRET.sub(r"\1…", item) if isinstance(item, str) else item for item in record.args)
    return True


async def _serve(app: Starlette, server: _Server, listener: socket.socket) -> None:
    async with app.router.lifespan_context(app), calm():
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: Starlette, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready
        self.stopped_by: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        stop = _stop_streams(self._app)
        if stop is not None and not self.force_exit:
            await stop()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own would raise the signal again at the end, and so end the process before it could say how.
        self.force_exit = self.should_exit
        self.should_exit = True
        self.stopped_by = sig


def _stop_streams(app: Any) -> Callable[[], Awaitable[None]] | None:
    hub = getattr(getattr(app.state, "bridge", None), "hub", None)
    return None if hub is None else hub.stop


def allow_files(wanted: int) -> int:
    """Raise this process's limit of open files to what `wanted` connections need, as far as it may; return the limit.

    Many systems begin with 1,024, and what comes above is cut without an answer and without a word in any log.
    """
    needed = wanted + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit < needed:
        _log.warning(
            "this process may open %d files, so about %d connections and not %d (FEATUREWATCH_MAX_STREAMS): "
            "raise 'ulimit -Hn' (systemd: LimitNOFILE), or lower the setting",
            limit, max(0, limit - RESERVED_FILES), wanted,
        )  # fmt: skip
    return limit


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free one.

    Raises:
        Unavailable: the port is in use, or only root may listen on it.
        SettingsError: the host is no address of this machine.
    """
    name = host.strip("[]")
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise SettingsError(f"host {host!r} is not known: expected a name or address of this machine") from None
    # localhost is ::1 and 127.0.0.1: the latter is what everyone tries, at first or in the end.
    family, kind, protocol, _, place = min(found, key=lambda option: option[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(
                f"port {port} of {host} is in use: stop what listens there, or choose another with --port "
                "(0 takes a free one)"
            ) from None
        if error.errno == errno.EACCES:
            raise Unavailable(f"port {port} needs root: choose one above 1023 with --port") from None
        raise SettingsError(f"host {host!r} is no address of this machine ({error.strerror}): see --host") from None
    listener.setblocking(False)
    return listener


def address(listener: socket.socket) -> str:
    """Write where a socket listens as a URL that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
