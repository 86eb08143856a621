"""`featurewatch serve`: run the bridge."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .parser import Commands, add_command

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["register", "serve"]


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "serve", _serve, extra="bridge",
        help="run the bridge: API, streams and console",
        examples=(
            "  featurewatch serve\n"
            "  featurewatch serve --port 9000 --data-dir /var/lib/featurewatch\n"
            "  FEATUREWATCH_API_TOKENS_FILE=tokens.json featurewatch serve --host 0.0.0.0\n\n"
            "Every setting is a FEATUREWATCH_* variable; an option wins over its variable."
        ),
    )  # fmt: skip
    parser.add_argument("--host", help="address to listen on (FEATUREWATCH_HOST, default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0: any free one (FEATUREWATCH_PORT, default 8400)")
    parser.add_argument(
        "--data-dir", type=Path, help="where the stores keep their files (FEATUREWATCH_DATA_DIR, default .featurewatch)"
    )
    parser.add_argument(
        "--environment", help="what lines and calls without one get (FEATUREWATCH_ENVIRONMENT, default development)"
    )
    parser.add_argument("--verbose", action="store_true", help="log every request, and debugging")


def _serve(arguments: argparse.Namespace) -> int:
    from ..settings import load

    settings = load(
        host=arguments.host,
        port=arguments.port,
        data_dir=arguments.data_dir,
        environment=arguments.environment,
    )
    return serve(settings, verbose=arguments.verbose)


def serve(settings: Settings, *, on_ready: Callable[[str], None] | None = None, verbose: bool = False) -> int:
    """Run the bridge until SIGTERM or SIGINT and return the exit code: 0, or 130 after SIGINT.

    Args:
        on_ready: called on the event loop with the bridge's address once it answers; without it, it is printed.

    Raises:
        FeaturewatchError: the bridge cannot start; one line says why and what to do.
    """
    from loguru import logger

    from ..bridge.app import create_app
    from ..bridge.server import allow_files, run
    from ..settings import unknown_names
    from .journal import log_to_stderr

    log_to_stderr(verbose=verbose)
    for sentence in unknown_names(os.environ):
        logger.warning(sentence)
    app = create_app(settings)
    allow_files(settings.max_streams)
    return run(
        app,
        settings.host,
        settings.port,
        on_ready=on_ready or _announce,
        access_log=verbose,
        trusted_proxies=settings.trusted_proxies,
    )


def _announce(url: str) -> None:
    print(f"featurewatch is ready: {url}", flush=True)
    if sys.stdout.isatty():
        print("Ctrl-C stops it.", flush=True)
