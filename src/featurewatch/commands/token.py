"""`featurewatch token`: make, list and revoke API tokens. Needs no bridge and none of its packages."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Final

from .parser import Commands, Parser, add_command

__all__ = ["register"]

_ROLES: Final = {
    "viewer": "look",
    "operator": "also acknowledge and resolve alerts",
    "editor": "also change features, rules and channels",
    "ingest": "only write metrics and log lines",
    "admin": "everything",
}


def register(commands: Commands) -> None:
    """Add the command to the command line."""
    group = add_command(commands, "token", None, help="make, list and revoke the API tokens that callers show")
    below = group.add_subparsers(title="commands", metavar="COMMAND")
    create = add_command(
        below, "create", _create, help="make a token, print it once and keep its hash",
        examples=(
            "  featurewatch token create --role viewer --features 'sum*' --name wall-display\n"
            "  export FEATUREWATCH_TOKEN=$(featurewatch token create --role ingest --expires 90d)"
        ),
    )  # fmt: skip
    create.add_argument(
        "--role", required=True, choices=[*_ROLES], help="; ".join(f"{role}: {may}" for role, may in _ROLES.items())
    )
    create.add_argument(
        "--features", action="append", metavar="PATTERN",
        help="features it may see, such as 'sum*'; repeatable, or separated by commas (default: all)",
    )  # fmt: skip
    create.add_argument("--name", default="", help="who or what it is for; shown where its deeds are recorded")
    create.add_argument("--expires", metavar="DURATION", help="when it ends, such as 12h or 90d (default: never)")
    _add_file(create)
    listing = add_command(below, "list", _list, help="list the tokens; their secrets are not kept")
    listing.add_argument("--json", action="store_true", help="as JSON")
    _add_file(listing)
    revoke = add_command(
        below, "revoke", _revoke, help="end a token; a running bridge refuses it from its next request on",
        examples="  featurewatch token revoke k3v9x2ma",
    )  # fmt: skip
    revoke.add_argument("id", metavar="ID", help="the token's id, as 'token list' shows it")
    _add_file(revoke)


def _add_file(parser: Parser) -> None:
    parser.add_argument(
        "--file", type=Path, help="the file of tokens; FEATUREWATCH_API_TOKENS_FILE, default DATA_DIR/tokens.json"
    )


def _file(arguments: argparse.Namespace) -> Path:
    if arguments.file:
        return Path(arguments.file)
    if named := os.environ.get("FEATUREWATCH_API_TOKENS_FILE"):
        return Path(named)
    return Path(os.environ.get("FEATUREWATCH_DATA_DIR") or ".featurewatch") / "tokens.json"


def _create(arguments: argparse.Namespace) -> int:
    from .. import tokens
    from ..times import format_instant, parse_duration

    path = _file(arguments)
    given = arguments.features or ["*"]
    patterns = [pattern.strip() for text in given for pattern in text.split(",") if pattern.strip()]
    expires = (
        parse_duration(arguments.expires, name="--expires", at_most=36_500 * 86_400) if arguments.expires else None
    )
    token, text = tokens.create(path, role=arguments.role, features=patterns, name=arguments.name, expires_s=expires)
    print(text)
    until = "without end" if token.expires_ns is None else f"until {format_instant(token.expires_ns)[:16]}Z"
    _explain(
        f"{token.role} of {', '.join(token.features)}, {until}; id {token.id}, name {token.name!r}.",
        f"Keep it now: it is not shown again. Its hash is in {path}.",
    )
    if not os.environ.get("FEATUREWATCH_API_TOKENS_FILE"):
        _explain(f"The bridge asks for tokens once it has: export FEATUREWATCH_API_TOKENS_FILE={path.resolve()}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from .. import tokens
    from ..times import format_instant

    rows = [
        {
            "id": token.id,
            "name": token.name,
            "role": token.role,
            "features": list(token.features),
            "created": format_instant(token.created_ns),
            "expires": None if token.expires_ns is None else format_instant(token.expires_ns),
        }
        for token in tokens.load(_file(arguments)).values()
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    table = [("ID", "ROLE", "CREATED", "EXPIRES", "FEATURES", "NAME")]
    table += [
        (
            str(row["id"]),
            str(row["role"]),
            str(row["created"])[:10],
            str(row["expires"] or "never")[:10],
            ",".join(row["features"] or ()),
            str(row["name"]),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    from .. import tokens

    token = tokens.revoke(_file(arguments), arguments.id)
    _explain(f"revoked {token.id} ({token.role}, {token.name!r}).")
    return 0


def _explain(*sentences: str) -> None:
    for sentence in sentences:
        print(sentence, file=sys.stderr)
