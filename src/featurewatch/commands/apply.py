"""`featurewatch apply`: make a bridge say what a features.yml says."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .parser import Commands, add_command, add_connection, connection

if TYPE_CHECKING:
    from ..alerts.apply_plan import Existing, Step
    from ..alerts.features_file import Declared
    from .asking import Asker

__all__ = ["read_file", "register"]

WRONG: Final = 2
WOULD_CHANGE: Final = 3
_MARKS: Final = {"add": "+", "change": "~", "remove": "-", "send": "?", "keep": " "}


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    parser = add_command(
        commands, "apply", _apply, extra="client",
        help="make the bridge say what a file declares: features, objectives, alert rules, channels",
        examples=(
            "  featurewatch apply features.yml --dry-run     what it would change; exit code 3 where there is any\n"
            "  featurewatch apply features.yml\n"
            "  OPS_TOKEN=… featurewatch apply features.yml    for bearer_token: ${OPS_TOKEN}"
        ),
    )  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE", help="the file, - for stdin")
    parser.add_argument("--dry-run", action="store_true", help="show what it would change, and change nothing")
    parser.add_argument(
        "--prune", action="store_true",
        help="of the features in the file, remove the rules that are not in it, also those that no file brought",
    )  # fmt: skip
    parser.add_argument("-v", "--verbose", action="store_true", help="show what stays as it is too")
    add_connection(parser)


def read_file(path: Path) -> str:
    """Read a text file, - meaning stdin; BadInput where that cannot be done."""
    from ..errors import BadInput

    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: expected UTF-8, byte {error.start} is none") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None


def _apply(arguments: argparse.Namespace) -> int:
    from ..alerts.apply_plan import difference, summary
    from ..alerts.features_file import read_features
    from ..errors import BadInput
    from .asking import Asker

    try:
        declared = read_features(read_file(arguments.file), name=str(arguments.file), environ=os.environ)
    except BadInput as error:
        if not error.problems:
            raise
        for problem in error.problems:
            print(f"featurewatch: {problem.message}", file=sys.stderr)
        return WRONG
    with Asker(connection(arguments)) as bridge:
        existing = _existing(bridge, declared)
        _check_channels(bridge, declared)
        steps = difference(declared, existing, prune=arguments.prune)
        if arguments.dry_run:
            _show(steps, verbose=arguments.verbose)
            print(summary(steps))
            return WOULD_CHANGE if any(step.action in ("add", "change", "remove") for step in steps) else 0
        done = _do(bridge, steps, verbose=arguments.verbose)
        print(summary(done, done=True))
    return 0


def _existing(bridge: Asker, declared: Declared) -> Existing:
    from ..alerts.apply_plan import Existing
    from .asking import segment

    known = {str(one["id"]): one for one in bridge.ask("GET", "/features")["features"]}
    rules: dict[str, list[Any]] = {}
    if any(name in known for name in declared.features):
        for rule in bridge.ask("GET", "/alerts/rules")["rules"]:
            rules.setdefault(str(rule["featureId"]), []).append(rule)
    found = {name: bridge.find(f"/channels/{segment(name)}") for name in declared.channels}
    channels = {name: one.get("channel", one) for name, one in found.items() if one is not None}
    return Existing(known, rules, channels)


def _check_channels(bridge: Asker, declared: Declared) -> None:
    """Refuse rules that tell channels which neither the file nor the bridge has, before anything is changed."""
    from ..errors import BadInput
    from .asking import segment

    for name in sorted(declared.used_channels() - declared.channels.keys()):
        if bridge.find(f"/channels/{segment(name)}") is None:
            raise BadInput(
                f"channel {name!r} is used, and neither the file declares it nor the bridge has it: add it to channels:"
            )


def _do(bridge: Asker, steps: Sequence[Step], *, verbose: bool) -> list[Step]:
    """Do the steps and show each; what was done before one that fails stays, and is not done again next time."""
    from dataclasses import replace

    from ..errors import FeaturewatchError

    done: list[Step] = []
    for step in steps:
        if step.method:
            try:
                answer = bridge.ask(step.method, step.path, step.body, revision=step.revision)
            except FeaturewatchError as error:
                error.message = f"{step.target}: {error.message}; what is shown above is done, the rest is not"
                error.args = (error.message,)
                raise
            if step.action == "send":
                now = (answer.get("channel") or answer).get("revision")
                step = replace(step, action="keep" if now == step.revision else "change")
        _show([step], verbose=verbose)
        done.append(step)
    return done


def _show(steps: Sequence[Step], *, verbose: bool) -> None:
    for step in steps:
        if step.action == "keep" and not verbose:
            continue
        print(f"{_MARKS[step.action]} {step.target}")
        if step.action == "send":
            print("    its secrets are compared by the bridge when it is applied")
        for name, (before, after) in step.changes.items():
            print(
                f"    {name}: {_value(after)}" if before is None else f"    {name}: {_value(before)} → {_value(after)}"
            )


def _value(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "none" if value in (None, "") else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
