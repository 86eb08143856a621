"""`featurewatch demo`: a bridge with embedded stores, and an example app that sends to it; or the app alone."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from ..errors import BadInput
from .parser import Commands, Parser, add_command

__all__ = ["Apps", "app_commands", "app_options", "register", "welcome"]

_DATA_DIR: Final = Path(".featurewatch/demo")
_PATIENCE_S: Final = 8.0
"""How long an app may take to send its last lines, before it is killed."""


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "demo", _demo, extra="bridge",
        help="run an example app and a bridge for it, to see everything live on this machine",
        examples=(
            "  featurewatch demo\n"
            "  featurewatch demo --port 9000 --open\n"
            "  featurewatch demo --app-only --endpoint http://bridge:8400 --token-file token\n"
            "  featurewatch demo --app-only --listen 0.0.0.0:8000 --endpoint http://bridge:8400\n\n"
            "The app's features work on the documentation of Python's standard library. Settings of another bridge\n"
            "(FEATUREWATCH_*, but for the port) are left aside."
        ),
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, help="port of the bridge, 0: any free one (FEATUREWATCH_PORT, default 8400)"
    )
    parser.add_argument("--data-dir", type=Path, default=_DATA_DIR, help=f"where figures and lines go, {_DATA_DIR}")
    parser.add_argument("--open", action="store_true", help="open the console in a browser")
    alone = parser.add_argument_group("the app alone")
    alone.add_argument("--app-only", action="store_true", help="run the example app without a bridge of its own")
    alone.add_argument("--endpoint", default="", help="the bridge that gets figures and lines; with --listen: lines")
    alone.add_argument("--token-file", type=Path, help="file with an API token of that bridge, of role ingest")
    alone.add_argument("--listen", metavar="HOST:PORT", help="serve /metrics here for Prometheus, instead of pushing")
    alone.add_argument("--environment", help="what its calls and lines belong to, default production")


def _demo(arguments: argparse.Namespace) -> int:
    alone = app_options(arguments)
    if arguments.app_only:
        from ..demo import app

        return app.main(alone, parser=Parser("featurewatch demo"))
    if alone:
        raise BadInput(f"expected --app-only beside {alone[0]}: the demo's own bridge needs none of it")
    from ..settings import load
    from .serve import serve

    kept = {name: value for name, value in os.environ.items() if name == "FEATUREWATCH_PORT"}
    settings = load(kept, port=arguments.port, data_dir=arguments.data_dir, environment="production")
    apps = Apps()

    def ready(url: str) -> None:
        apps.start(app_commands(url, os.getpid()), os.environ)
        apps.stop_before(signal.SIGINT, signal.SIGTERM)
        print(welcome(url), flush=True)
        if arguments.open:
            threading.Thread(target=_open, args=(url,), daemon=True).start()

    try:
        return serve(settings, on_ready=ready)
    finally:
        apps.stop()


def app_options(arguments: argparse.Namespace) -> list[str]:
    """Write the options of the app alone as the app itself takes them."""
    given = {
        "--endpoint": arguments.endpoint,
        "--token-file": arguments.token_file,
        "--listen": arguments.listen,
        "--environment": arguments.environment,
    }
    return [text for option, value in given.items() if value for text in (option, str(value))]


class Apps:
    """The demo's app processes. They are ended before the bridge, so that their last figures and lines arrive."""

    def __init__(self, patience: float = _PATIENCE_S) -> None:
        self._patience = patience
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopping = threading.Event()

    def start(self, commands: Iterable[Sequence[str]], environ: Mapping[str, str]) -> None:
        """Start them. They get none of this process's settings, and not its Ctrl-C: they are stopped in their turn."""
        clean = {name: value for name, value in environ.items() if not name.startswith(("FEATUREWATCH_", "OTEL_"))}
        for command in commands:
            app = subprocess.Popen(command, env=clean, stdin=subprocess.DEVNULL, start_new_session=True)
            self._running.append(app)
            threading.Thread(target=self._watch, args=(app,), daemon=True).start()

    def stop(self) -> None:
        """Stop them by SIGTERM and wait; one that takes too long is killed."""
        self._stopping.set()
        for app in self._running:
            app.terminate()
        for app in self._running:
            try:
                app.wait(self._patience)
            except subprocess.TimeoutExpired:
                app.kill()
                app.wait()

    def stop_before(self, *signals: signal.Signals) -> None:
        """Make each signal stop the apps first, and only then do what it did. The event loop goes on meanwhile."""
        for number in signals:
            then = signal.getsignal(number)

            def stop(received: int, frame: FrameType | None, then: object = then) -> None:
                def in_turn() -> None:
                    self.stop()
                    if callable(then):
                        then(received, None)

                threading.Thread(target=in_turn, daemon=True).start()

            signal.signal(number, stop)

    def _watch(self, app: subprocess.Popen[bytes]) -> None:
        code = app.wait()
        if not self._stopping.is_set():
            print(f"featurewatch: a demo app ended by itself, exit code {code}", file=sys.stderr, flush=True)


def app_commands(url: str, parent: int) -> list[list[str]]:
    """Write the command lines of the apps: all features in production, one of them in staging too."""
    # -P: a file of the working directory must not stand in for a module.
    app = [sys.executable, "-P", "-m", "featurewatch.demo.app", "--endpoint", url, "--parent", str(parent)]
    return [app, [*app, "--environment", "staging", "--only", "rewrite", "--seed", "2"]]


def welcome(url: str) -> str:
    """Write what someone who started the demo wants to know."""
    at = "" if url == "http://127.0.0.1:8400" else f" --url {url}"
    return f"""
featurewatch is watching the seven features of a demo app. The first figures arrive within seconds.

  console     {url}/
  figures     curl '{url}/api/v1/metrics/current?feature_id=summarize'
  log         featurewatch tail summarize{at}
  errors      featurewatch tail extract --level error{at}

Ctrl-C stops it."""


def _open(url: str) -> None:
    import webbrowser

    webbrowser.open(url)
