"""What a stack needs before its first start: `python -m featurewatch.commands.stack_init` makes it, once.

The compose file runs it as a service before all others. Each server gets its credentials in a volume of its own, so
that none can read those of another; the folders that the bridge shares with Prometheus and Alertmanager get the right
owners; and Alertmanager's first configuration is put where the bridge writes the next ones. What is there stays.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from .. import tokens
from ..errors import FeaturewatchError
from ..model import Role

__all__ = ["CREDENTIALS", "Credential", "main", "prepare"]

BRIDGE: Final = (8400, 8400)
NOBODY: Final = (65534, 65534)
"""As whom Prometheus's and Alertmanager's images run."""
ROOT: Final = (0, 0)

ALERTMANAGER_CONFIG: Final = "alertmanager.yml"


@dataclass(frozen=True, slots=True)
class Credential:
    """One file: the credential `name` in `folder` for who runs as `owner` (user, group).

    Attributes:
        role: of the API token that it holds; None: a password.
        same: the file of people's that holds the same one.
    """

    folder: str
    name: str
    owner: tuple[int, int]
    role: Role | None = None
    same: str = ""


CREDENTIALS: Final = (
    Credential("people", "console-token", ROOT, "admin"),
    Credential("people", "grafana-password", ROOT),
    Credential("grafana", "admin-password", (472, 0), same="grafana-password"),
    Credential("prometheus", "bridge-token", NOBODY, "viewer"),
    Credential("demo", "bridge-token", BRIDGE, "ingest"),
    Credential("collector", "bridge-token", (10001, 10001), "ingest"),
    Credential("people", "postgres-password", ROOT),
    Credential("postgres", "password", (70, 70), same="postgres-password"),
    Credential("bridge", "pgpass", BRIDGE, same="postgres-password"),
)
"""All of them; a password that two share is made in people's folder first."""

TOKENS: Final = "bridge/tokens.json"
"""The hashes of the API tokens, which are all that the bridge has of them."""

SHARED: Final = ("rules.d", "alertmanager")
"""Folders that the bridge writes, and Prometheus and Alertmanager read as its group."""


def prepare(root: Path, base: Path) -> list[str]:
    """Make what is missing below `root`, and return the names of the credentials that were made.

    Args:
        root: where the volumes are: credentials/<who>, rules.d, alertmanager.
        base: Alertmanager's base configuration, with which it starts.

    Raises:
        FeaturewatchError: the file of API tokens is broken. OSError: something cannot be written.
    """
    made = []
    for one in CREDENTIALS:
        path = root / "credentials" / one.folder / one.name
        if not _valid(root, one):
            _write(path, _content(root, one))
            made.append(f"{one.folder}/{one.name}")
        _give(path, one.owner, 0o400)
        _give(path.parent, one.owner, 0o500)
    _give(root / "credentials" / TOKENS, BRIDGE, 0o400)
    for name in SHARED:
        (root / name).mkdir(parents=True, exist_ok=True)
    config = root / "alertmanager" / ALERTMANAGER_CONFIG
    if not config.exists():
        shutil.copyfile(base, config)
        _give(config, (BRIDGE[0], NOBODY[1]), 0o640)
    for name in SHARED:
        _give(root / name, (BRIDGE[0], NOBODY[1]), 0o2750)
    return made


def _valid(root: Path, one: Credential) -> bool:
    """Whether a credential is there and still opens what it is for."""
    folder = root / "credentials"
    path = folder / one.folder / one.name
    if not path.exists():
        return False
    text = path.read_text(encoding="ascii")
    if one.role is not None:
        known = folder / TOKENS
        return known.exists() and tokens.find(tokens.load(known), text, time.time_ns()) is not None
    return text == _content(root, one) if one.same else bool(text)


def _content(root: Path, one: Credential) -> str:
    folder = root / "credentials"
    if one.role is not None:
        path, name = folder / TOKENS, f"{one.folder}-{one.name}"
        if path.exists():
            for old in [token for token in tokens.load(path).values() if token.name == name]:
                tokens.revoke(path, old.id)
        return tokens.create(path, role=one.role, name=name)[1]
    if not one.same:
        return secrets.token_urlsafe(24)
    shared = (folder / "people" / one.same).read_text(encoding="ascii")
    # https://www.postgresql.org/docs/current/libpq-pgpass.html
    return f"*:*:*:*:{shared}\n" if one.name == "pgpass" else shared


def _write(path: Path, text: str) -> None:
    """Write a credential whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def _give(path: Path, owner: tuple[int, int], mode: int) -> None:
    """Hand a path to its owner; somebody who is not root can only set the mode, and keeps it."""
    if os.geteuid() == 0:
        os.chown(path, *owner)
        path.chmod(mode)
    else:
        path.chmod(mode | 0o600 | (0o100 if path.is_dir() else 0))


def _token(root: Path, name: str, role: Role) -> str:
    path = root / "credentials" / TOKENS
    text = tokens.create(path, role=role, name=name)[1]
    _give(path, BRIDGE, 0o400)
    return text


def shown(root: Path) -> str:
    """Write what people sign in with."""
    people = root / "credentials" / "people"
    return (
        f"console   token      {(people / 'console-token').read_text(encoding='ascii')}\n"
        f"Grafana   admin      {(people / 'grafana-password').read_text(encoding='ascii')}\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Make what a stack needs before its first start: credentials, shared folders, Alertmanager's configuration."""
    parser = argparse.ArgumentParser(prog="python -m featurewatch.commands.stack_init", description=main.__doc__)
    parser.add_argument("--root", type=Path, default=Path("/stack"), help="where the volumes are, default /stack")
    parser.add_argument("--base", type=Path, required=True, help="Alertmanager's base configuration")
    names = [f"{one.folder}/{one.name}" for one in CREDENTIALS]
    parser.add_argument("--show", action="store_true", help="print what people sign in with")
    parser.add_argument("--token", metavar="NAME", help="make an API token for an app of yours, and print it once")
    parser.add_argument("--role", default="ingest", choices=get_args(Role), help="of that token, default ingest")
    parser.add_argument(
        "--renew", choices=names, metavar="FOLDER/NAME", help="make a credential anew: restart who has it"
    )
    options = parser.parse_args(arguments)
    try:
        if options.renew:
            (options.root / "credentials" / options.renew).unlink(missing_ok=True)
        made = prepare(options.root, options.base)
        if options.token:
            sys.stdout.write(f"{_token(options.root, options.token, options.role)}\n")
        elif options.show:
            sys.stdout.write(shown(options.root))
        else:
            sys.stdout.write(f"made: {', '.join(made) or 'nothing, all was there'}\n")
    except (FeaturewatchError, OSError) as error:
        sys.stderr.write(f"featurewatch: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
