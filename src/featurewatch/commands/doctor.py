"""`featurewatch doctor`: examine an installation, and say what is wrong and what to do.

Exit codes: 0 nothing is wrong, 1 something was found, 2 the command or a setting was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import BadInput
from .parser import Commands, add_command, add_connection, connection

if TYPE_CHECKING:
    from ..doctor.findings import Finding, Report

__all__ = ["register", "shown"]

_PARTS: Final = ("local", "bridge", "upstreams", "exporters", "rules", "dashboards", "webhook")
_WIDTH: Final = 110
_SUBJECTS: Final = 3
"""Subjects that are named; JSON has them all."""
_COLOURS: Final = {"error": "31", "warning": "33", "skipped": "2", "ok": "32"}


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "doctor", _doctor, extra="bridge",
        help="examine the bridge, its upstreams, the apps, rules and dashboards, and say what to do",
        examples=(
            "  featurewatch doctor                         with the settings that the bridge has\n"
            "  featurewatch doctor --all                   what is well, too\n"
            "  featurewatch doctor --only upstreams,webhook\n"
            "  featurewatch doctor --dashboards ./dashboards --json\n\n"
            "exit code: 0 nothing is wrong, 1 something was found, 2 the command or a setting was wrong"
        ),
    )  # fmt: skip
    parser.add_argument("--only", type=_parts, metavar="PARTS", help=f"only these of {','.join(_PARTS)}")
    parser.add_argument("--dashboards", type=Path, metavar="DIR", help="folder of dashboards' JSON, default our own")
    parser.add_argument("--no-scrape", action="store_true", help="do not scrape the apps from here")
    parser.add_argument(
        "--webhook-timeout", type=_seconds, default=20.0, metavar="SECONDS",
        help="how long the test alert may take, default 20",
    )  # fmt: skip
    parser.add_argument(
        "--fail-on", choices=("warning", "error"), default="warning", help="what makes the exit code 1, default warning"
    )
    parser.add_argument("--all", action="store_true", help="show what is well, too")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_connection(parser)


def _doctor(arguments: argparse.Namespace) -> int:
    if arguments.dashboards is not None and not arguments.dashboards.is_dir():
        raise BadInput(f"--dashboards: expected a folder of dashboards' JSON, got {str(arguments.dashboards)!r}")
    from ..doctor.bridge import BridgeLine
    from ..doctor.examination import Wishes, examine
    from ..settings import load

    settings = load()
    asked = connection(arguments)
    if not arguments.url and not os.environ.get("FEATUREWATCH_URL"):
        host = settings.host if settings.loopback else "127.0.0.1"
        asked.url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    wishes = Wishes(
        frozenset(arguments.only or _PARTS), not arguments.no_scrape, arguments.dashboards, arguments.webhook_timeout
    )

    async def run() -> Report:
        line = BridgeLine(asked.url, asked.token, asked.prefix)
        async with line.upstream:
            return await examine(settings, line, wishes)

    report = asyncio.run(run())
    if arguments.json:
        print(json.dumps(report.as_data(), indent=2, ensure_ascii=False))
    else:
        coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print("\n".join(shown(report, everything=arguments.all, coloured=coloured)))
    return int(bool(report.of("error")) or (arguments.fail_on == "warning" and bool(report.of("warning"))))


def shown(report: Report, *, everything: bool = False, coloured: bool = False) -> Iterator[str]:
    """Write a report: what is wrong first, the worst before all, each with what to do."""
    for alike in _grouped((*report.of("error"), *report.of("warning"))):
        yield from _wrong(alike, coloured)
    yield from _listed(report.of("skipped"), coloured)
    if everything:
        yield from _listed(report.of("ok"), coloured)
    counts = report.counts
    summary = (
        f"{_count(counts['error'], 'error')}, {_count(counts['warning'], 'warning')}; {counts['ok']} ok, "
        f"{counts['skipped']} skipped, in {report.seconds:.1f} s"
    )
    yield ("Nothing is wrong: " if report.healthy else "") + summary
    if not everything and counts["ok"]:
        yield "--all shows what is well, too; docs/doctor.md says what each check means."


def _grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Put together what differs by its subject alone: fifty apps with one fault are one thing to do."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.check, finding.severity, finding.found, finding.todo), []).append(finding)
    return list(groups.values())


def _wrong(alike: Sequence[Finding], coloured: bool) -> Iterator[str]:
    finding, more = alike[0], len(alike) - _SUBJECTS
    mark = _painted(finding.severity.upper().ljust(7), finding.severity, coloured)
    subjects = ", ".join(one.subject for one in alike[:_SUBJECTS]) + (f" and {more} more" if more > 0 else "")
    yield f"{mark}  {finding.check}: {subjects}"
    yield from _wrapped("found", finding.found)
    yield from _wrapped("do", finding.todo)
    yield ""


def _listed(findings: Sequence[Finding], coloured: bool) -> Iterator[str]:
    for finding in findings:
        mark = _painted(finding.severity.ljust(7), finding.severity, coloured)
        yield f"{mark}  {finding.check}: {finding.subject}: {finding.found}"
    if findings:
        yield ""


def _wrapped(label: str, text: str) -> Iterator[str]:
    head, rest = f"         {label.ljust(6)} ", " " * 16
    # Commands and addresses are to be copied whole.
    yield from textwrap.wrap(
        text, _WIDTH, initial_indent=head, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _painted(text: str, severity: str, coloured: bool) -> str:
    return f"\x1b[{_COLOURS[severity]}m{text}\x1b[0m" if coloured else text


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _parts(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in parts:
        if part not in _PARTS:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(_PARTS)}, got {part!r}")
    return parts or _PARTS


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 600:
        raise argparse.ArgumentTypeError(f"expected seconds, above 0 and up to 600, got {text!r}")
    return value
