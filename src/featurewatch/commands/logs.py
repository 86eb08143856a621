"""`featurewatch logs export`: the lines of a feature as a file."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from .parser import Commands, add_command, add_connection, connection
from .tail import add_filters, check_feature, filters

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    group = add_command(commands, "logs", None, help="work with the lines that are kept")
    below = group.add_subparsers(title="commands", metavar="COMMAND")
    parser = add_command(
        below, "export", _export, extra="client",
        help="write a feature's lines to a file or to stdout, oldest first",
        examples=(
            "  featurewatch logs export summarize --since 24h -o day.json\n"
            "  featurewatch logs export summarize --level error --format csv > errors.csv\n"
            "  featurewatch logs export chat --start 2026-01-31T08:00Z --end 2026-01-31T09:00Z"
        ),
    )  # fmt: skip
    parser.add_argument("feature", metavar="FEATURE", help="the feature's id")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to; without it: stdout")
    parser.add_argument("--format", choices=("json", "csv"), help="json: one array (default, unless FILE ends in .csv)")
    add_filters(parser)
    parser.add_argument("--since", metavar="DURATION", help="only what came within, such as 24h or 7d")
    parser.add_argument("--start", metavar="TIME", help="from this time on, ISO 8601")
    parser.add_argument("--end", metavar="TIME", help="up to this time, ISO 8601")
    add_connection(parser)


def _export(arguments: argparse.Namespace) -> int:
    from ..client import AsyncClient
    from ..errors import BadInput
    from ..times import parse_duration, parse_instant

    if arguments.since and (arguments.start or arguments.end):
        raise BadInput("--since and --start or --end exclude each other: give one")
    if arguments.since:
        parse_duration(arguments.since, name="--since")
    for name in ("start", "end"):
        if value := getattr(arguments, name):
            parse_instant(value, name=f"--{name}")
    path: Path | None = arguments.output
    format_ = arguments.format or ("csv" if path is not None and path.suffix.lower() == ".csv" else "json")
    bridge = connection(arguments)

    async def export(write: Callable[[bytes], None]) -> None:
        async with AsyncClient(bridge.url, bridge.token, bridge.prefix, timeout=120) as client:
            await check_feature(client, arguments.feature)
            parts = client.export(
                arguments.feature, format=format_, environment=arguments.environment, time_range=arguments.since,
                start_time=arguments.start, end_time=arguments.end, **filters(arguments),
            )  # fmt: skip
            async with aclosing(parts):
                async for part in parts:
                    write(part)

    # A SIGTERM has to pass through what removes the part of a file.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with _progress(format_) as count, _destination(path) as file:

        def write(part: bytes) -> None:
            file.write(part)
            count(part)

        asyncio.run(export(write))
    if path is not None:
        print(f"{count.lines:,} lines, {count.bytes:,} bytes: {path}", file=sys.stderr)
    return 0


@contextmanager
def _destination(path: Path | None) -> Iterator[BinaryIO]:
    """Give a file beside `path` that takes its place where the block succeeds and is removed where it fails."""
    from ..errors import FeaturewatchError

    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise FeaturewatchError(f"{path} cannot be written ({error.strerror or error}): nothing was kept") from None
    finally:
        beside.unlink(missing_ok=True)


class _Count:
    """Counts what was written: bytes, and lines by the ends that the format puts between or behind them."""

    def __init__(self, format_: str, show: Callable[[int, int], Any]) -> None:
        self._csv = format_ == "csv"
        self._show = show
        self._ends = 0
        self._rest = b""
        self.bytes = 0

    def __call__(self, part: bytes) -> None:
        self._ends += (self._rest + part).count(b"\r\n") if self._csv else part.count(b"\n")
        self._rest = b"\r" if part.endswith(b"\r") else b""
        self.bytes += len(part)
        self._show(self.lines, self.bytes)

    @property
    def lines(self) -> int:
        if self._csv:
            return max(0, self._ends - 1)
        return self._ends + 1 if self.bytes > 2 else 0


@contextmanager
def _progress(format_: str) -> Iterator[_Count]:
    """Show lines, bytes and their rate on stderr while the block runs, where that is a terminal."""
    if not sys.stderr.isatty():
        yield _Count(format_, lambda lines, size: None)
        return
    from rich.console import Console
    from rich.progress import (
        FileSizeColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    columns = (
        SpinnerColumn(), TextColumn("{task.fields[lines]:,} lines"), TextColumn("{task.fields[rate]:,.0f} lines/s"),
        FileSizeColumn(), TransferSpeedColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("export", total=None, lines=0, rate=0.0)
        began = time.monotonic()

        def show(lines: int, size: int) -> None:
            rate = lines / max(time.monotonic() - began, 0.001)
            progress.update(task, completed=size, lines=lines, rate=rate)

        yield _Count(format_, show)
