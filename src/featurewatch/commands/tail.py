"""`featurewatch tail`: the lines of a feature as they happen."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from .parser import Commands, add_command, add_connection, connection, suggest

if TYPE_CHECKING:
    from ..client import AsyncClient, Message

__all__ = ["register"]

LEVELS: Final = ("debug", "info", "warn", "error", "fatal")
_HISTORY: Final = 50
"""Lines that a stream begins with by itself; more are asked for."""
_PAGE: Final = 5000
_REMEMBERED: Final = 10_000
"""Ids of printed lines: none is printed twice where history and stream overlap."""


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "tail", _tail, extra="client",
        help="show the lines of a feature as they happen",
        examples=(
            "  featurewatch tail summarize\n"
            "  featurewatch tail summarize --level error --level fatal --search timeout\n"
            "  featurewatch tail summarize --since 1h --json | jq .message"
        ),
    )  # fmt: skip
    parser.add_argument("feature", metavar="FEATURE", help="the feature's id")
    add_filters(parser)
    parser.add_argument("-n", type=_count, default=10, metavar="N", help="begin with the last N lines (default 10)")
    parser.add_argument("--since", metavar="DURATION", help="begin with what came within, such as 15m or 2h")
    parser.add_argument("--json", action="store_true", help="print each line as JSON")
    add_connection(parser)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose lines; `filters` reads them."""
    parser.add_argument("--level", action="append", choices=LEVELS, help="only this level; repeatable")
    parser.add_argument("--search", default="", metavar="TEXT", help="only lines that contain it, in whatever case")
    parser.add_argument("--source", default="", help="only lines of this source")
    parser.add_argument("--environment", help="production, staging, …; by default the feature's first of these")


def filters(arguments: argparse.Namespace) -> dict[str, str]:
    return {"levels": ",".join(arguments.level or ()), "search": arguments.search, "source": arguments.source}


async def check_feature(client: AsyncClient, feature: str) -> None:
    """Raise NotFound with the nearest name where the bridge does not know the feature."""
    from ..errors import NotFound

    known = [str(one["id"]) for one in await client.features()]
    if feature in known:
        return
    if not known:
        raise NotFound(f"feature {feature!r} is not known; none is yet: they appear once they send something")
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    raise NotFound(f"feature {feature!r} is not known{suggest(feature, known)}; there are: {shown}")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) > 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a number of lines up to 1000000, got {text!r}")
    return int(text)


def _tail(arguments: argparse.Namespace) -> int:
    from ..client import AsyncClient
    from ..times import parse_duration
    from .lines import Printer

    if arguments.since:
        parse_duration(arguments.since, name="--since")
    bridge = connection(arguments)
    printer = Printer(sys.stdout, sys.stderr, as_json=arguments.json)

    async def follow() -> None:
        async with AsyncClient(bridge.url, bridge.token, bridge.prefix) as client:
            await check_feature(client, arguments.feature)
            async with aclosing(_followed(client, arguments)) as followed:
                async for told in followed:
                    if isinstance(told, Mapping):
                        printer.line(told)
                    else:
                        _note(printer, told)

    asyncio.run(follow())
    return 0


async def _followed(client: AsyncClient, arguments: argparse.Namespace) -> AsyncGenerator[Mapping[str, Any] | Message]:
    """Yield lines, each once, and the messages that say what became of the stream."""
    printed: deque[str] = deque(maxlen=_REMEMBERED)
    known: set[str] = set()
    begun = False

    def fresh(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        found = []
        for entry in entries:
            if entry["id"] not in known:
                if len(printed) == _REMEMBERED:
                    known.discard(printed[0])
                printed.append(entry["id"])
                known.add(entry["id"])
                found.append(entry)
        return found

    chosen = filters(arguments)
    stream = client.stream(arguments.feature, environment=arguments.environment, filters=chosen)
    async with aclosing(stream):
        async for message in stream:
            if message.type == "log_entry":
                for entry in fresh([message.data]):
                    yield entry
            elif message.type == "log_history" and begun:
                for entry in fresh(message.data):
                    yield entry
            elif message.type == "log_history":
                begun = True
                async with aclosing(_history(client, arguments, message.data)) as pages:
                    async for page in pages:
                        for entry in fresh(page):
                            yield entry
                # What the stream brought and is not shown was left out on purpose: a reconnect must not bring it.
                fresh(message.data)
            elif message.type in ("gap", "disconnected", "transport_changed", "connection_confirmed", "error"):
                yield message


async def _history(
    client: AsyncClient, arguments: argparse.Namespace, brought: Sequence[Mapping[str, Any]]
) -> AsyncGenerator[Sequence[Mapping[str, Any]]]:
    """Yield the lines to begin with. The stream is open already: what comes meanwhile is not missed."""
    query = {"environment": arguments.environment, **filters(arguments)}
    if arguments.since:
        query |= {"time_range": arguments.since, "direction": "forward", "limit": _PAGE}
        while True:
            page = await client.logs(arguments.feature, **query)
            yield page["logs"]
            if not page.get("next_cursor"):
                return
            query["cursor"] = page["next_cursor"]
    elif arguments.n <= _HISTORY:
        yield brought[-arguments.n :] if arguments.n else ()
    else:
        pages: list[Sequence[Mapping[str, Any]]] = []
        missing = arguments.n
        while missing > 0:
            page = await client.logs(arguments.feature, limit=min(missing, _PAGE), **query)
            pages.append(page["logs"])
            missing -= len(page["logs"])
            if not page.get("next_cursor"):
                break
            query["cursor"] = page["next_cursor"]
        for lines in reversed(pages):
            yield lines


def _note(printer: Any, message: Message) -> None:
    data = message.data
    match message.type:
        case "gap":
            count = "some lines" if data.get("count") is None else f"{data['count']:,} lines"
            printer.note(f"{count} between {data.get('from')} and {data.get('to')} are missing ({data.get('reason')})")
        case "disconnected" if data["retry_in_s"]:
            printer.note(f"disconnected: {data['reason']}; trying again in {data['retry_in_s']:g} s")
        case "transport_changed" if data["transport"] == "sse":
            printer.note(f"{data['reason']}; going on by server-sent events")
        case "transport_changed":
            printer.note(f"going on by WebSocket: {data['reason']}")
        case "error":
            printer.note(str(data.get("message", json.dumps(data))))
        case "connection_confirmed" if printer.interrupted:
            printer.note("connected again" if data.get("recovered") else "connected again; some lines may be missing")
    if message.type in ("disconnected", "connection_confirmed"):
        printer.interrupted = message.type == "disconnected"
