"""How commands get a bridge's rules, and how they show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .parser import suggest

if TYPE_CHECKING:
    from .asking import Asker

__all__ = ["check_features", "condition", "rules_of", "state", "table"]


def rules_of(bridge: Asker, features: Sequence[str] = ()) -> list[Any]:
    """Return the rules of features (none named: of all) as the bridge shows them; NotFound where it knows none such."""
    rules = list(bridge.ask("GET", "/alerts/rules", query={"feature_id": ",".join(features)})["rules"])
    if not rules:
        check_features(bridge, features)
    return rules


def check_features(bridge: Asker, wanted: Sequence[str]) -> None:
    """Refuse features that the bridge does not know: that they have nothing would be good news of a misspelt name."""
    from ..errors import NotFound

    known = [str(one["id"]) for one in bridge.ask("GET", "/features")["features"]] if wanted else []
    for feature in wanted:
        if feature not in known:
            raise NotFound(f"feature {feature!r} is not known{suggest(feature, known)}")


def condition(rule: Mapping[str, Any]) -> str:
    """Say in short what a rule asks for."""
    from ..alerts.texts import amount, plain

    words = {"greater_than": ">", "less_than": "<", "equals": "="}
    limit = amount(rule["metric"], plain(rule["threshold"]))
    return f"{rule['metric']} {words[rule['condition']]} {limit} over {rule['window_minutes']} min"


def state(rule: Mapping[str, Any]) -> str:
    """Say how far a rule got."""
    return str(rule["deployment"]["state"]) if rule["enabled"] else "disabled"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns that are as wide as what is in them."""
    lines = [head, *rows]
    widths = [max(len(row[at]) for row in lines) for at in range(len(head))]
    for row in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
