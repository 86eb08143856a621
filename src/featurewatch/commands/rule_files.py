"""`featurewatch rules export` and `rules import`: rules as files of Prometheus and its operator, both ways."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .parser import Commands, add_command, add_connection, connection, suggest
from .rule_views import condition, rules_of

if TYPE_CHECKING:
    from ..alert_model import AlertRule
    from .asking import Asker

__all__ = ["register_export", "register_import"]


def register_export(below: Commands) -> None:
    """Add the command to those of `rules`."""
    parser = add_command(
        below, "export", _export, extra="client",
        help="write rules as Prometheus's rule files, or as PrometheusRule manifests",
        examples=(
            "  featurewatch rules export summarize > summarize.rules.yml\n"
            "  featurewatch rules export --output prometheus/rules.d\n"
            "  featurewatch rules export --format manifest --label release=prometheus | kubectl apply -f -"
        ),
    )  # fmt: skip
    parser.add_argument("feature", nargs="*", metavar="FEATURE", help="only rules of these features")
    parser.add_argument("--format", choices=("prometheus", "manifest"), default="prometheus")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="a file for each feature; else to stdout")
    parser.add_argument("--recorded", action="store_true", help="read what prometheus/rules records, where it does")
    parser.add_argument(
        "--uptime-threshold", type=float, default=50.0, metavar="PERCENT", help="as the bridge's setting"
    )
    parser.add_argument("--console", default="", metavar="URL", help="the console's address, for links in alerts")
    parser.add_argument("--namespace", default="", help="of manifests")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="of manifests; repeatable")
    add_connection(parser)


def register_import(below: Commands) -> None:
    """Add the command to those of `rules`."""
    parser = add_command(
        below, "import", _import, extra="client",
        help="make rules of an existing rule file of Prometheus; what is not recognised is named with the reason",
        examples=(
            "  featurewatch rules import alerts.yml --dry-run\n"
            "  featurewatch rules import alerts.yml --channel ops"
        ),
    )  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE", help="rule file or PrometheusRule manifests, - for stdin")
    parser.add_argument("--dry-run", action="store_true", help="show what would be made, and make nothing")
    parser.add_argument(
        "--channel", action="append", default=[], help="who is told by rules that name none; repeatable"
    )
    add_connection(parser)


def _export(arguments: argparse.Namespace) -> int:
    from .. import alert_wire
    from ..alerts.manifest import manifest, object_name
    from ..alerts.prometheus import Rendering, group
    from ..alerts.rule_files import HEADER, dump, file_name
    from ..errors import BadInput, NotFound
    from .asking import Asker

    labels = dict(_label(text) for text in arguments.label)
    with Asker(connection(arguments)) as bridge:
        features = {str(one["id"]): one for one in bridge.ask("GET", "/features")["features"]}
        rules = [alert_wire.read_rule(rule) for rule in rules_of(bridge, arguments.feature)]
    for feature in arguments.feature:
        if feature not in features:
            raise NotFound(f"feature {feature!r} is not known{suggest(feature, features)}")
    rendering = Rendering(
        uptime_threshold=arguments.uptime_threshold,
        recorded=arguments.recorded,
        environments={name: one["environments"] for name, one in features.items()},
        console_url=arguments.console,
    )
    files: dict[str, str] = {}
    left_out = [rule for rule in rules if rule.enabled and rule.kind == "logs"]
    by_feature: dict[str, list[AlertRule]] = {}
    for rule in rules:
        if rule.enabled and rule.kind != "logs":
            by_feature.setdefault(rule.feature, []).append(rule)
    for feature, of in sorted(by_feature.items()):
        groups = [group(rule, rendering) for rule in sorted(of, key=lambda rule: rule.id)]
        if arguments.format == "manifest":
            text = manifest(feature, groups, namespace=arguments.namespace, labels=labels)
            files[f"{object_name(feature)}.yml"] = text
        else:
            files[file_name(feature)] = dump(groups)
    for rule in left_out:
        print(
            f"featurewatch: {rule.feature}/{rule.name} counts lines: it is for Loki's ruler, left out", file=sys.stderr
        )
    if arguments.output is not None:
        _write(arguments.output, files)
    elif arguments.format == "manifest":
        print("---\n".join(files.values()), end="")
    elif files:
        print(HEADER + "groups:\n" + "".join(text.partition("groups:\n")[2] for text in files.values()), end="")
    if not files:
        raise BadInput("there is no enabled rule on figures to export")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from .. import alert_wire
    from ..alerts.importing import read_rule_file
    from .apply import read_file
    from .asking import Asker

    found = read_rule_file(read_file(arguments.file), name=str(arguments.file))
    with Asker(connection(arguments)) as bridge:
        _check_channels(bridge, arguments.channel)
        kept = {(rule["featureId"], rule["name"]): rule for rule in rules_of(bridge)}
        made = same = skipped = 0
        for one in found:
            rule = one.rule
            if rule is None:
                skipped += 1
                print(f"x {arguments.file}:{one.line}: {one.name}: {one.reason}")
                continue
            outcome = _make(bridge, rule, kept, arguments)
            made, same, skipped = made + (outcome == "+"), same + (outcome == "="), skipped + (outcome == "x")
            if outcome != "x":
                print(f"{outcome} {rule.feature}/{rule.name}: {condition(alert_wire.rule(rule))}")
                for note in one.notes if outcome == "+" else ():
                    print(f"    {note}")
    verb = "would be made" if arguments.dry_run else "made"
    print(f"{made} {verb}, {same} there already, {skipped} not imported")
    return 0


def _check_channels(bridge: Asker, names: Sequence[str]) -> None:
    """Refuse a channel that there is not, which a dry run would not notice otherwise."""
    from ..errors import BadInput
    from ..fields import nearest

    known = {channel["name"] for channel in bridge.ask("GET", "/channels")["channels"]} if names else set()
    for name in names:
        if name not in known:
            there = f"there are {', '.join(sorted(known)[:20])}" if known else "there is none yet"
            raise BadInput(f"--channel: {name!r} is no channel{nearest(name, known) or '; ' + there}")


def _make(bridge: Asker, rule: AlertRule, kept: Mapping[Any, Mapping[str, Any]], arguments: argparse.Namespace) -> str:
    """Make a rule unless it is there; return + made, = there already, x refused (and say why)."""
    from .. import alert_wire
    from ..errors import BadInput, Conflict, NotFound
    from .asking import segment

    body = {name: value for name, value in alert_wire.rule(rule).items() if name in (*alert_wire.RULE_FIELDS, "origin")}
    body["notification_channels"] = body["notification_channels"] or arguments.channel
    there = kept.get((rule.feature, rule.name))
    if there is not None:
        differs = [name for name in alert_wire.RULE_FIELDS if there.get(name) != body.get(name)]
        if differs == ["cooldown_minutes"] and not body["notification_channels"]:
            return "="  # nobody is reminded, and a file does not say how often
        if not differs:
            return "="
        print(f"x {rule.feature}/{rule.name}: there is another rule of this name: {', '.join(differs)} differ")
        return "x"
    if arguments.dry_run:
        return "+"
    try:
        bridge.ask("POST", f"/features/{segment(rule.feature)}/alerts/rules", body)
    except (BadInput, Conflict, NotFound) as error:
        print(f"x {rule.feature}/{rule.name}: {error.message}")
        return "x"
    return "+"


def _label(text: str) -> tuple[str, str]:
    from ..errors import BadInput

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadInput(f"--label: expected NAME=VALUE, got {text!r}")
    return name, value


def _write(folder: Path, files: Mapping[str, str]) -> None:
    from ..errors import FeaturewatchError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
            print(folder / name)
    except OSError as error:
        raise FeaturewatchError(f"{folder} cannot be written ({error.strerror or error})") from None
