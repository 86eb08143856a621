"""`featurewatch rules`: the alert rules of a bridge, listed, tried out, exported and imported."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .parser import Commands, add_command, add_connection, connection, number, suggest
from .rule_files import register_export, register_import
from .rule_views import condition, rules_of, state, table

__all__ = ["register"]

_SHOWN: Final = 20
"""Firings of a preview that are listed; the others are counted."""


def register(commands: Commands) -> None:
    """Add the commands to the command line."""
    group = add_command(commands, "rules", None, help="list, try out, export and import alert rules")
    below = group.add_subparsers(title="commands", metavar="COMMAND")
    listing = add_command(below, "list", _list, extra="client", help="list rules")
    status = add_command(
        below, "status", _status, extra="client",
        help="show how far each rule got on its way to whoever evaluates it; exit code 1 where one failed",
    )  # fmt: skip
    for parser in (listing, status):
        parser.add_argument("feature", nargs="*", metavar="FEATURE", help="only rules of these features")
        parser.add_argument("--json", action="store_true", help="as JSON")
        add_connection(parser)
    _register_preview(below)
    register_export(below)
    register_import(below)


def _register_preview(below: Commands) -> None:
    parser = add_command(
        below, "preview", _preview, extra="client",
        help="tell how often and when a rule would have fired in the last 7 days",
        examples=(
            "  featurewatch rules preview summarize Errors\n"
            "  featurewatch rules preview summarize Errors --threshold 10\n"
            "  featurewatch rules preview summarize --metric error_rate --condition greater_than --threshold 20"
        ),
    )  # fmt: skip
    parser.add_argument("feature", metavar="FEATURE", help="the feature's id")
    parser.add_argument("rule", nargs="?", metavar="RULE", help="name or id of a rule that there is; options change it")
    parser.add_argument("--metric", help="such as error_rate")
    parser.add_argument("--condition", choices=("greater_than", "less_than", "equals"))
    parser.add_argument("--threshold", type=number, metavar="NUMBER")
    for name, what in (
        ("window", "what the figure is taken over"),
        ("for", "how long the condition has to hold"),
        ("keep-firing", "how long it stays afterwards"),
        ("cooldown", "between two reminders"),
    ):
        parser.add_argument(
            f"--{name}", type=int, metavar="MINUTES", help=what, dest=f"{name.replace('-', '_')}_minutes"
        )
    parser.add_argument("--environment", help="only this one")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_connection(parser)


def _list(arguments: argparse.Namespace) -> int:
    from .asking import Asker

    with Asker(connection(arguments)) as bridge:
        rules = rules_of(bridge, arguments.feature)
    if arguments.json:
        print(json.dumps(rules, indent=2, ensure_ascii=False))
        return 0
    rows = [
        (
            str(rule["featureId"]),
            str(rule["name"]),
            condition(rule),
            str(rule["severity"]),
            state(rule),
            ",".join(rule["notification_channels"]) or "-",
            str(rule["id"]),
        )
        for rule in rules
    ]
    table(("FEATURE", "NAME", "CONDITION", "SEVERITY", "STATE", "CHANNELS", "ID"), rows)
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from .asking import Asker

    with Asker(connection(arguments)) as bridge:
        rules = rules_of(bridge, arguments.feature)
    failed = any(rule["deployment"]["state"] == "failed" and rule["enabled"] for rule in rules)
    if arguments.json:
        keys = ("id", "featureId", "name", "enabled", "revision", "deployment")
        print(json.dumps([{key: rule[key] for key in keys} for rule in rules], indent=2, ensure_ascii=False))
        return int(failed)
    rows = [
        (
            str(rule["featureId"]),
            str(rule["name"]),
            str(rule["revision"]),
            state(rule),
            str(rule["deployment"]["at"] or "-")[:19],
            str(rule["deployment"]["error"] or ""),
        )
        for rule in rules
    ]
    table(("FEATURE", "NAME", "REVISION", "STATE", "SINCE", "ERROR"), rows)
    return int(failed)


def _preview(arguments: argparse.Namespace) -> int:
    from ..alerts.texts import NO_DATA, amount, figure
    from ..errors import BadInput
    from .asking import Asker, segment

    fields = (
        "metric", "condition", "threshold", "window_minutes", "for_minutes", "keep_firing_minutes", "cooldown_minutes",
        "environment",
    )  # fmt: skip
    body = {name: value for name in fields if (value := getattr(arguments, name)) is not None}
    if not arguments.rule and not {"metric", "condition", "threshold"} <= body.keys():
        raise BadInput("name a rule that there is, or give --metric, --condition and --threshold")
    with Asker(connection(arguments)) as bridge:
        path = f"/features/{segment(arguments.feature)}/alerts/rules"
        if arguments.rule:
            body["id"] = _named(bridge.ask("GET", path)["rules"], arguments.rule, arguments.feature)["id"]
        told = bridge.ask("POST", f"{path}/preview", body)
    if arguments.json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return 0
    print(f"{condition(told['rule'])}: {_often(told)} between {told['start'][:16]} and {told['end'][:16]}")
    metric = told["rule"]["metric"]
    rows = [
        (
            one["environment"],
            one["start"][:16],
            (one["end"] or "still")[:16],
            NO_DATA if one["value"] is None else amount(metric, figure(metric, one["value"])),
        )
        for one in told["firings"][-_SHOWN:]
    ]
    if rows:
        if len(told["firings"]) > _SHOWN:
            print(f"the last {_SHOWN}:")
        table(("ENVIRONMENT", "FROM", "TO", "WORST"), rows)
    return 0


def _often(told: Mapping[str, Any]) -> str:
    count, notified = told["count"], told["notifications"]
    if not count:
        return "would not have fired"
    times = "once" if count == 1 else f"{count} times"
    return f"would have fired {times}, with {notified} notification{'s' if notified != 1 else ''},"


def _named(rules: Iterable[Mapping[str, Any]], wanted: str, feature: str) -> Mapping[str, Any]:
    from ..errors import NotFound

    told = list(rules)
    for rule in told:
        if wanted in (rule["id"], rule["name"]):
            return rule
    raise NotFound(f"{feature} has no rule {wanted!r}{suggest(wanted, [str(rule['name']) for rule in told])}")
