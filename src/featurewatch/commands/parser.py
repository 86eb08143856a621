"""How command lines are read: argparse, with errors of one line that name what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeAlias

__all__ = ["Commands", "Connection", "Parser", "add_command", "add_connection", "connection", "number", "suggest"]

_NO_NUMBER = re.compile(r"argument (\S+): invalid (?:int|float) value: (.*)")
_INVALID = re.compile(r"(?:argument \S+: )?invalid choice: '?(.*?)'? \(choose from (.*)\)")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser without abbreviations, whose errors suggest the nearest word. `options` are its own."""

    def __init__(self, prog: str | None = None, **given: Any) -> None:
        self.options: list[str] = []
        super().__init__(prog, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **given)

    def add_argument(self, *names: Any, **given: Any) -> argparse.Action:
        self.options += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **given)

    def error(self, message: str) -> NoReturn:
        if found := _INVALID.fullmatch(message):
            wrong, choices = found[1], re.findall(r"[\w-]+", found[2])
            message = f"{wrong!r} is not one of {', '.join(choices)}{suggest(wrong, choices)}"
        if found := _NO_NUMBER.fullmatch(message):
            message = f"argument {found[1]}: expected a number, got {found[2]}"
        print(f"featurewatch: {message}; '{self.prog} --help' shows what there is", file=sys.stderr)
        self.exit(2)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def suggest(word: str, choices: Iterable[str]) -> str:
    """Name the choice that is nearest to a word, as the end of a sentence; empty where none is near."""
    near = difflib.get_close_matches(word.lower(), list(choices), 1, 0.5)
    return f", did you mean {near[0]}?" if near else ""


def number(text: str) -> float:
    """Read an option that is a number; NaN and infinity are none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number such as 20, got {text!r}")
    return value


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int] | None,
    *,
    help: str,
    examples: str = "",
    extra: str = "",
) -> Parser:
    """Add a command, with its examples and the extra that it needs; `run` None: it only has commands below it."""
    parser: Parser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", epilog=examples and f"examples:\n{examples}"
    )
    parser.set_defaults(parser=parser, extra=extra)
    if run is not None:
        parser.set_defaults(run=run)
    return parser


class Connection:
    """Which bridge to ask, and as whom."""

    def __init__(self, url: str, token: str | None, prefix: str) -> None:
        self.url = url
        self.token = token
        self.prefix = prefix


def add_connection(parser: Parser) -> None:
    """Let --url and --token stand behind the command too."""
    # Without SUPPRESS the default would overwrite what stood before the command.
    parser.add_argument(
        "--url", default=argparse.SUPPRESS, help="the bridge; FEATUREWATCH_URL, default http://127.0.0.1:8400"
    )
    parser.add_argument("--token", default=argparse.SUPPRESS, help="API token; better given as FEATUREWATCH_TOKEN")


def connection(arguments: argparse.Namespace) -> Connection:
    """Read which bridge is meant from the options and the environment."""
    if arguments.token:
        print(
            "featurewatch: a token on the command line is visible to every user of this machine and stays in the "
            "shell's history: set FEATUREWATCH_TOKEN instead",
            file=sys.stderr,
        )
    environ = os.environ
    return Connection(
        arguments.url or environ.get("FEATUREWATCH_URL") or "http://127.0.0.1:8400",
        arguments.token or environ.get("FEATUREWATCH_TOKEN") or None,
        environ.get("FEATUREWATCH_API_PREFIX") or "/api/v1",
    )
