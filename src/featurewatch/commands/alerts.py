"""`featurewatch alerts`: what fires and fired, taken on and closed from a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..times import parse_duration
from .parser import Commands, add_command, add_connection, connection, number
from .rule_views import check_features, table

if TYPE_CHECKING:
    from .asking import Asker

__all__ = ["register"]

_MOST: Final = 1000


def register(commands: Commands) -> None:
    """Add the commands to the command line."""
    group = add_command(commands, "alerts", None, help="list, acknowledge, resolve and explain alerts")
    below = group.add_subparsers(title="commands", metavar="COMMAND")
    listing = add_command(
        below, "list", _list, extra="client",
        help="list alerts, the one that fired last first",
        examples=(
            "  featurewatch alerts list\n"
            "  featurewatch alerts list summarize --status resolved --since 24h"
        ),
    )  # fmt: skip
    listing.add_argument("feature", nargs="*", metavar="FEATURE", help="only alerts of these features")
    listing.add_argument(
        "--status", default="open", metavar="STATUS",
        help="active, acknowledged, resolved, open (the first two, the default) or all; several separated by commas",
    )  # fmt: skip
    listing.add_argument("--environment", help="only this one")
    listing.add_argument("--since", metavar="DURATION", help="only what fired or lasted within, such as 24h")
    listing.add_argument("--limit", type=int, default=100, help="how many, 1000 at most; 100 where it is not said")
    for name, run, what in (
        ("ack", _acknowledge, "take alerts on: nobody is notified of them until they resolve"),
        ("unack", _unacknowledge, "take an acknowledgement back: people are notified again"),
        ("resolve", _resolve, "close alerts by hand"),
    ):
        parser = add_command(below, name, run, extra="client", help=what)
        parser.add_argument("alert", nargs="+", metavar="ALERT", help="the alert's id, or as much of it as is unique")
        parser.add_argument("-m", "--comment", default="", help="why")
        if name == "ack":
            parser.add_argument(
                "--for", type=number, dest="minutes", metavar="MINUTES", help="only for so long; else until it resolves"
            )
        parser.add_argument("--json", action="store_true", help="as JSON")
        add_connection(parser)
    explaining = add_command(
        below, "explain", _explain, extra="client", help="tell why somebody was, or was not, notified of an alert"
    )
    explaining.add_argument("alert", metavar="ALERT", help="the alert's id, or as much of it as is unique")
    for parser in (listing, explaining):
        parser.add_argument("--json", action="store_true", help="as JSON")
        add_connection(parser)


def _list(arguments: argparse.Namespace) -> int:
    from .asking import Asker

    if arguments.since:
        parse_duration(arguments.since, name="--since")

    query = {
        "feature_id": ",".join(arguments.feature),
        "status": "" if arguments.status == "all" else arguments.status,
        "environment": arguments.environment or "",
        "time_range": arguments.since or "",
        "limit": str(arguments.limit),
    }
    with Asker(connection(arguments)) as bridge:
        alerts: list[dict[str, Any]] = bridge.ask("GET", "/alerts", query=query)["alerts"]
        if not alerts:
            check_features(bridge, arguments.feature)
    if arguments.json:
        print(json.dumps(alerts, indent=2, ensure_ascii=False))
        return 0
    if not alerts:
        print("no alerts: all clear" if arguments.status == "open" else "no alerts")
        return 0
    table(("SINCE", "SEVERITY", "STATUS", "FEATURE", "ENVIRONMENT", "MESSAGE", "ID"), [_row(alert) for alert in alerts])
    return 0


def _acknowledge(arguments: argparse.Namespace) -> int:
    return _act(arguments, "acknowledge", {} if arguments.minutes is None else {"expires_minutes": arguments.minutes})


def _unacknowledge(arguments: argparse.Namespace) -> int:
    return _act(arguments, "unacknowledge", {})


def _resolve(arguments: argparse.Namespace) -> int:
    return _act(arguments, "resolve", {})


def _act(arguments: argparse.Namespace, action: str, more: Mapping[str, Any]) -> int:
    """Do one thing to alerts; exit code 1 where one was refused."""
    from .asking import Asker

    with Asker(connection(arguments)) as bridge:
        ids = [_whole(bridge, id_) for id_ in arguments.alert]
        body = {"ids": ids, "action": action, **({"comment": arguments.comment} if arguments.comment else {}), **more}
        told = bridge.ask("POST", "/alerts/bulk", body)
    if arguments.json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        for alert in told["alerts"]:
            still = "; its condition still holds: it stays silenced until that clears" if _holds(alert) else ""
            print(f"{alert['status']}: {alert['title']} of {alert['featureId']} ({alert['environment']}){still}")
        for refused in told["failed"]:
            print(f"featurewatch: {refused['error']}", file=sys.stderr)
    return int(bool(told["failed"]))


def _explain(arguments: argparse.Namespace) -> int:
    from .asking import Asker, segment

    with Asker(connection(arguments)) as bridge:
        told = bridge.ask("GET", f"/alerts/{segment(_whole(bridge, arguments.alert))}/explain")
    if arguments.json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return 0
    print(told["summary"])
    for reason in told["reasons"][1:]:
        print(f"  also: {reason}")
    lines = {
        "rule": told["rule"] and told["rule"]["name"],
        "channels": ", ".join(told["route"]["channels"]),
        "receivers": ", ".join(told["receivers"]),
        "silences": ", ".join(f"{one['id']} until {one.get('ends_at', '?')}" for one in told["silences"]),
        "inhibited by": ", ".join(one["title"] or one["fingerprint"] for one in told["inhibited_by"]),
        "cooldown": told["cooldown_minutes"] and f"{told['cooldown_minutes']} minutes",
        "next notification": told["next_notification_at"],
    }
    for name, value in lines.items():
        if value:
            print(f"  {name}: {value}")
    for delivery in told["deliveries"]:
        failed = str(delivery["status"]).removeprefix("failed: ")
        said = "was told" if failed == delivery["status"] else "could not be told"
        print(f"  {delivery['timestamp']}  {delivery['receiver']} {said}: {failed}")
    return 0


def _whole(bridge: Asker, id_: str) -> str:
    """Find the alert whose id begins so; the text itself where none or several do, so that the bridge tells of it."""
    if len(id_) >= 32:
        return id_
    alerts = bridge.ask("GET", "/alerts", query={"limit": str(_MOST)})["alerts"]
    found = [alert["id"] for alert in alerts if alert["id"].startswith(id_) or alert["id"].endswith(id_)]
    return str(found[0]) if len(found) == 1 else id_


def _holds(alert: Mapping[str, Any]) -> bool:
    return alert["status"] == "resolved" and bool(alert["condition_active"])


def _row(alert: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(alert["triggered_at"])[:19],
        str(alert["severity"]),
        str(alert["status"]),
        str(alert["featureId"]),
        str(alert["environment"]),
        str(alert["message"]),
        str(alert["id"]),
    )
