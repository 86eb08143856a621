"""The `featurewatch` command: reads the line, runs one command, tells a failure in one line.

Exit codes: 0 done, 1 failed, 2 the command or a setting was wrong, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from .commands import COMMANDS
from .commands.parser import Parser, suggest
from .errors import BadInput, FeaturewatchError, SettingsError, Unauthenticated

__all__ = ["main"]

_EPILOG = """\
examples:
  featurewatch demo                                   an example app and its bridge, on this machine
  featurewatch serve --port 8400                      the bridge, with its console at http://127.0.0.1:8400
  featurewatch apply features.yml --dry-run           what a file of features and alert rules would change
  featurewatch tail summarize --level error           errors of a feature as they happen
  featurewatch logs export summarize --since 24h -o day.csv --format csv
  featurewatch token create --role viewer --features 'sum*'
  featurewatch doctor                                 what is wrong with the installation, and what to do

Settings are FEATUREWATCH_* variables. FEATUREWATCH_URL and FEATUREWATCH_TOKEN say which bridge to ask and as whom.
Exit codes: 0 done, 1 failed, 2 the command or a setting was wrong, 3 'apply --dry-run' found changes, 130 Ctrl-C.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. `argv` is what stands after the program's name."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Unauthenticated as error:
        return _tell(f"{error}; FEATUREWATCH_TOKEN is where a command finds its token", 1)
    except FeaturewatchError as error:
        return _tell(str(error), 2 if isinstance(error, SettingsError | BadInput) else 1)
    except Exception as error:
        return _tell(f"internal error, {type(error).__name__}: {error} (FEATUREWATCH_DEBUG=1 shows where)", 1)
    return code


def build_parser() -> Parser:
    """Make the parser of all commands. Quick: the commands import what they need when they run."""
    parser = Parser(
        prog="featurewatch",
        description="See each AI feature of a product live: does it work, how fast, at what cost, what just happened.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action=_Version, help="print the version and end")
    parser.add_argument("--url", help="the bridge to ask; FEATUREWATCH_URL, default http://127.0.0.1:8400")
    parser.add_argument("--token", help="API token; better given as FEATUREWATCH_TOKEN, which other users cannot see")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for register in COMMANDS:
        register(commands)
    return parser


def _run(argv: list[str]) -> int:
    parser = build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    chosen: Parser = getattr(arguments, "parser", parser)
    if unknown:
        chosen.error(f"{unknown[0]} is not known here{suggest(unknown[0], chosen.options)}")
    if not hasattr(arguments, "run"):
        chosen.print_help()
        return 0 if not argv else 2
    try:
        return int(arguments.run(arguments))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "featurewatch":
            raise
        raise FeaturewatchError(
            f"'{chosen.prog}' needs {error.name}, which is not installed: pip install 'featurewatch[{arguments.extra}]'"
        ) from None


def _tell(message: str, code: int) -> int:
    if os.environ.get("FEATUREWATCH_DEBUG"):
        traceback.print_exc()
    print(f"featurewatch: {' '.join(message.split())}", file=sys.stderr)
    return code


class _Version(argparse.Action):
    """Reads the version when it is asked for: finding it takes longer than most commands."""

    def __init__(self, option_strings: Sequence[str], dest: str, **given: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **given)

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> None:
        from importlib.metadata import version

        print(f"featurewatch {version('featurewatch')}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
