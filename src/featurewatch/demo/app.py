"""The demo app: an assistant for the standard library's documentation, instrumented with featurewatch.

Read it as an example. Three things make an app's features visible:

1. `featurewatch.configure(...)`, once at the start: `main`, below;
2. a `featurewatch.Feature(...)` for each feature, with its `track` or `call` around the work: `features.py`, where each
   feature shows another way;
3. `featurewatch.LogHandler()` on a logger: a line logged during a call belongs to the call's feature: `logs.py`.

The work is done by the other modules of this package, which know nothing of featurewatch. What succeeds, fails or takes
long does so because of its text; only what a reader asks about next is drawn by lot. Tokens are counted in the real
texts. The models are those that such a feature would call: they give the prices.

    python -m featurewatch.demo.app --endpoint http://127.0.0.1:8400

With `--listen` it serves `/metrics` for Prometheus in place of pushing figures, as apps beside a Prometheus do.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import featurewatch

from ..errors import SettingsError
from .corpus import EmptyInput, open_corpus
from .driver import drive, until_told
from .features import Handler, declare
from .library import read_library
from .logs import log, request, start_logging
from .metrics import serve_metrics
from .workload import RHYTHMS, Step, Walk


def main(argv: Sequence[str] | None = None, *, parser: argparse.ArgumentParser | None = None) -> int:
    """Run the app until it is told to stop. A `parser` that is given tells what is wrong with the options."""
    parser = make_parser(parser)
    args = parser.parse_args(argv)
    if not (args.endpoint or args.listen):
        parser.error("expected --endpoint or --listen: nobody would hear of what the app does")
    featurewatch.configure(environment=args.environment, service_name="docs-assistant", **destinations(args))
    start_logging()
    if args.listen:
        server = serve_metrics(*args.listen)
        sys.stdout.write(f"the demo app serves http://{args.listen[0]}:{server.server_port}/metrics\n")
        sys.stdout.flush()
    try:
        asyncio.run(run(args))
    finally:
        featurewatch.shutdown()
    return 0


class Destinations(TypedDict, total=False):
    """Keywords of `featurewatch.configure`."""

    endpoint: str
    token: str
    loki_url: str
    loki_token: str


def destinations(args: argparse.Namespace) -> Destinations:
    """Say where figures and lines go.

    A bridge takes both. Where Prometheus fetches the figures, it is sent lines alone: at the address at which it takes
    them as Loki does, which a Loki may stand at as well.

    Raises:
        SettingsError: the file of the token cannot be read.
    """
    try:
        token = args.token_file.read_text(encoding="utf-8").strip() if args.token_file else ""
    except OSError as error:
        raise SettingsError(f"--token-file {args.token_file} cannot be read ({error.strerror})") from None
    if not args.endpoint:
        return {}
    if args.listen:
        return {"loki_url": args.endpoint, "loki_token": token}
    return {"endpoint": args.endpoint, "token": token}


def address(text: str) -> tuple[str, int]:
    """Read `host:port`.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) <= 65_535):
        raise argparse.ArgumentTypeError(f"expected an address such as 0.0.0.0:8000, got {text!r}")
    return host.strip("[]"), int(port)


async def run(args: argparse.Namespace) -> None:
    """Read the texts, declare the features and serve the walk's requests."""
    stop = asyncio.Event()
    watching = asyncio.create_task(until_told(stop, args.seconds, args.parent))
    corpus = open_corpus()
    library = await asyncio.to_thread(read_library, corpus)
    handlers = declare(library, args.only or RHYTHMS)
    await drive(Walk(corpus, library.passages, args.seed), lambda step: serve(handlers, step), handlers, stop)
    await watching


async def serve(handlers: Mapping[str, Handler], step: Step) -> None:
    """Serve one request as a web framework would: remember whose it is; what fails is logged and goes no further."""
    request.set(step)
    try:
        await handlers[step.feature](step.wish)
    except EmptyInput as error:
        log.warning("nothing to do for %s: %s", step.wish.subject, error, extra={"feature": step.feature})
    except TimeoutError as error:
        log.error("gave up on %s: %s", step.wish.subject, error, extra={"feature": step.feature})
    except Exception as error:
        log.exception("%s failed: %s", step.wish.subject, error, extra={"feature": step.feature})


def make_parser(parser: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    parser = parser or argparse.ArgumentParser(
        prog="python -m featurewatch.demo.app",
        description="An assistant for the standard library's documentation, instrumented with featurewatch.",
    )
    parser.add_argument("--endpoint", default="", help="the bridge that gets metrics and logs; with --listen: logs")
    parser.add_argument("--listen", type=address, metavar="HOST:PORT", help="serve /metrics here instead of pushing")
    parser.add_argument("--token-file", type=Path, help="file with the bridge's API token, of role ingest")
    parser.add_argument("--environment", default="production", help="default: production")
    parser.add_argument("--only", action="append", choices=tuple(RHYTHMS), help="serve this feature; repeatable")
    parser.add_argument("--seconds", type=float, help="stop after so many seconds; default: when told to")
    parser.add_argument("--seed", type=int, default=1, help="of the walk: the same seed asks the same (default 1)")
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="stop when this process, which started the app, is gone"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
