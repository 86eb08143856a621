"""docker-compose.yml as the tests read it, and its services as processes of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from prometheus import free_port

ROOT: Final = Path(__file__).parents[1]

_VARIABLE: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")


def load(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read the file; variables are those of `environ`, else their defaults."""
    given = environ or {}

    def completed(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: completed(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [completed(inner) for inner in value]
        return _VARIABLE.sub(lambda found: given.get(found[1], found[2]), value) if isinstance(value, str) else value

    told: dict[str, Any] = completed(yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    return told


def mounts(service: Mapping[str, Any]) -> dict[str, str]:
    """Return what a service mounts: the path inside to what the file calls it, a volume or `./path`."""
    return {target: source for source, target, *_ in (text.split(":") for text in service.get("volumes", ()))}


def rewritten(text: str, places: Mapping[str, str]) -> str:
    """Write each place of the containers (an address, a path) as that of this machine, the longest name first.

    >>> rewritten("http://loki:3100/ready, /loki/rules", {"loki:3100": "127.0.0.1:1", "/loki": "/tmp/loki"})
    'http://127.0.0.1:1/ready, /tmp/loki/rules'
    """
    names = "|".join(re.escape(name) for name in sorted(places, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])({names})(?![\w-])", lambda found: places[found[1]], text) if names else text


@cache
def _others_may_run_python() -> bool:
    if shutil.which("setpriv") is None:
        return False
    command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c"]
    return subprocess.run([*command, "import featurewatch, fastapi, sqlite3, ssl"], capture_output=True).returncode == 0


@dataclass
class Stack:
    """The services of the file, laid out below a folder: volumes, files with our addresses, commands.

    Attributes:
        faster: texts of configuration files that are written otherwise, such as longer intervals than a test has.
    """

    folder: Path
    faster: Mapping[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file = load()
        inside = {"bridge": 8400, "demo": 8000, "prometheus": 9090, "loki": 3100, "alertmanager": 9093, "grafana": 3000}
        for service, port in inside.items():
            self.addresses[f"{service}:{port}"] = f"127.0.0.1:{free_port()}"
        self.addresses["0.0.0.0:8000"] = self.addresses["demo:8000"]
        self.addresses["0.0.0.0"] = "127.0.0.1"
        self.addresses["127.0.0.1:9095"] = f"127.0.0.1:{free_port()}"  # Loki's parts among themselves

    def port(self, address: str) -> int:
        """Return our port of an address such as `loki:3100`."""
        return int(self.addresses[address].rpartition(":")[2])

    def url(self, address: str) -> str:
        return f"http://{self.addresses[address]}"

    def volume(self, name: str) -> Path:
        """Return the folder of a named volume."""
        path = self.folder / "volumes" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def place(self, service: str) -> dict[str, str]:
        """Lay out what a service mounts, and return its places: addresses, and paths inside to paths here."""
        places, files = dict(self.addresses), {}
        for target, source in mounts(self.file["services"][service]).items():
            if source.startswith("./"):
                here = self.folder / "files" / service / target.strip("/")
                files[ROOT / source] = here
                places[target] = str(here)
            else:
                places[target] = str(self.volume(source))
        for source, here in files.items():
            here.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, here, dirs_exist_ok=True)
            else:
                here.write_text(rewritten(source.read_text(encoding="utf-8"), {**places, **self.faster}), "utf-8")
        return places

    def command(self, service: str) -> list[str]:
        """Return a service's command with our paths and addresses; its files are laid out."""
        places = {**self.place(service), **self.faster}
        return [rewritten(text, places) for text in self.file["services"][service]["command"]]

    def environment(self, service: str) -> dict[str, str]:
        """Return a service's environment with our paths and addresses; its files are laid out."""
        places = self.place(service)
        given: dict[str, str] = self.file["services"][service]["environment"]
        return {name: rewritten(str(value), places) for name, value in given.items()}

    def as_user(self, service: str) -> list[str]:
        """Return what makes a command run as the service's user, with its groups.

        Its own data belongs to it then, as a named volume takes over the owner of the folder in the image. Nothing
        where we are not root, or where Python stands in a folder of root's, which others may not enter.
        """
        if os.geteuid() != 0 or not _others_may_run_python():
            return []
        told = self.file["services"][service]
        user, group = told["user"].split(":")
        for source in mounts(told).values():
            if source.endswith("-data"):
                os.chown(self.volume(source), int(user), int(group))
        groups = ",".join(told.get("group_add", ()))
        more = ["--groups", groups] if groups else ["--clear-groups"]
        return ["setpriv", "--reuid", user, "--regid", group, *more, "--no-new-privs"]

    def init(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the service that comes before all others: its mounts are links below one root."""
        places, root = self.place("init"), self.folder / "stack"
        for target in mounts(self.file["services"]["init"]):
            if target.startswith("/stack/"):
                link = root / target.removeprefix("/stack/")
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(places[target])
        python, *rest = self.file["services"]["init"]["entrypoint"]
        assert python == "python"
        command = [sys.executable, *(rewritten(text, places) for text in rest), "--root", str(root), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
