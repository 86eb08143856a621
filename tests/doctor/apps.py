"""An app of ours in a process of its own, and a server that answers scrapes with whatever a sick app would."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from featurewatch.families import BUCKETS
from local_http import LocalServer, QuietHandler
from prometheus import free_port, wait_for
from running import environment

APP = """
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

import featurewatch

featurewatch.configure(environment="production")
feature = featurewatch.Feature(sys.argv[2], owner="docs", version="1.4", models=["gpt-5-mini"])
for number in range(int(sys.argv[3])):
    with feature.call() as call:
        call.fail(f"error-{number}")

class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass

make_server("127.0.0.1", int(sys.argv[1]), featurewatch.metrics_wsgi_app(), handler_class=Quiet).serve_forever()
"""


@contextmanager
def app(feature: str, *, errors: int = 0) -> Iterator[str]:
    """Run an app with one feature, whose calls failed with so many kinds of errors; give its `host:port`."""
    port = free_port()
    arguments = [sys.executable, "-c", textwrap.dedent(APP), str(port), feature, str(errors)]
    process = subprocess.Popen(arguments, env=environment())
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/metrics"), what="the app")
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


class Pages(LocalServer):
    """A server on loopback that answers each path with a text of its own, as OpenMetrics unless `kinds` says so."""

    def __init__(self, pages: Mapping[str, str]) -> None:
        self.pages = pages
        self.kinds: dict[str, str] = {}
        outer = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                text = outer.pages[path] if path in outer.pages or isinstance(outer.pages, defaultdict) else None
                kind = outer.kinds.get(self.path, "text/plain; version=0.0.4")
                self.answer(404 if text is None else 200, (text or "").encode(), kind)

            do_POST = do_GET

        super().__init__(Handler)


def exposition(
    feature: str,
    *,
    outcomes: tuple[str, ...] = ("success", "error", "cancelled"),
    bounds: tuple[float, ...] = BUCKETS,
    kind: str = "counter",
    calls: int = 10,
    seconds: float = 0.5,
    requests: str = "feature_requests_total",
    duration: str = "feature_request_duration_seconds",
) -> str:
    """Write what an app exports of one feature, in the text format."""
    labels = f'feature="{feature}",environment="production"'
    lines = [f"# TYPE {requests} {kind}"]
    lines += [f'{requests}{{{labels},outcome="{outcome}"}} {calls}' for outcome in outcomes]
    lines.append(f"# TYPE {duration} histogram")
    for bound in (*bounds, float("inf")):
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        lines.append(f'{duration}_bucket{{{labels},le="{le}"}} {calls if seconds <= bound else 0}')
    lines += [f"{duration}_sum{{{labels}}} {seconds * calls}", f"{duration}_count{{{labels}}} {calls}"]
    return "\n".join(lines) + "\n"
