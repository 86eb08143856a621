"""What the guide to access says works as it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from featurewatch.access import ALLOWED
from featurewatch.bridge.jwts import Verifier
from featurewatch.settings import Settings, load

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
SECRET = "kP3v8mZq5tYw9xBc2nRd7gHj4sLf6aEu"
USER = {"id": "u-17", "email": "ada@example.com", "features": ["sum*"]}


def example(language: str) -> str:
    """Return the example that the guide marks as one that is run."""
    (found,) = re.findall(rf"-->\n```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return str(found)


def environment() -> dict[str, str]:
    return {**os.environ, "FEATUREWATCH_JWT_SECRET": SECRET}


def is_taken(token: str) -> None:
    """Assert that a bridge which is set as the guide says takes a JWT for what it is."""
    told = dict(re.findall(r"`FEATUREWATCH_(JWT_ISSUER|JWT_AUDIENCE)=([^`]+)`", GUIDE))
    settings = load({}, jwt_secret=SECRET, jwt_issuer=told["JWT_ISSUER"], jwt_audience=told["JWT_AUDIENCE"])
    verifier = Verifier.of(settings, clock=time.time_ns)
    assert verifier is not None
    caller = asyncio.run(verifier.principal(token))
    assert (caller.name, caller.role, caller.patterns) == ("ada@example.com", "viewer", ("sum*",))


def test_the_example_in_python_makes_a_jwt_that_is_taken(tmp_path: Path) -> None:
    script = tmp_path / "backend.py"
    call = f"featurewatch_token({USER['id']!r}, {USER['email']!r}, {USER['features']!r})"
    script.write_text(f"{example('python')}\nprint({call})\n", encoding="utf-8")
    done = subprocess.run([sys.executable, script], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    is_taken(done.stdout.strip())


def test_the_example_for_next_js_makes_a_jwt_that_is_taken(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    route = tmp_path / "app" / "api" / "featurewatch-token" / "route.mjs"
    session = tmp_path / "lib" / "session.mjs"
    for file, text in (
        (route, example("js").replace("session.js", "session.mjs")),
        (session, f"export const currentUser = async () => globalThis.nobody ? null : ({json.dumps(USER)});\n"),
    ):
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
    program = (
        f'import {{ GET }} from "{route.as_posix()}"; const one = await GET(); globalThis.nobody = true; '
        "const none = await GET(); console.log(JSON.stringify([(await one.json()).token, none.status]));"
    )
    done = subprocess.run(
        [node, "--input-type=module", "-e", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    token, status = json.loads(done.stdout)
    assert status == 401
    is_taken(token)


def test_the_table_of_roles_is_the_codes() -> None:
    actions = ("read", "act", "edit", "ingest", "administer")
    told: dict[str, set[str]] = {}
    for role, cells in re.findall(r"^\| (viewer|operator|editor|ingest|admin) \|(.*)\|$", GUIDE, re.MULTILINE):
        told[role] = {action for action, cell in zip(actions, cells.split("|"), strict=True) if "✓" in cell}
    assert told == {role: set(may) for role, may in ALLOWED.items()}


def test_every_setting_of_the_guide_exists_and_its_figures_are_the_defaults() -> None:
    named = set(re.findall(r"FEATUREWATCH_([A-Z_]+[A-Z])", GUIDE))
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    settings: Any = load({})
    assert f"{settings.ingest_rate:,.0f} writes" in GUIDE
    assert f"{settings.query_rate:.0f} other requests" in GUIDE


def test_every_answer_that_the_guide_explains_is_one_that_the_bridge_gives() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/featurewatch/bridge").rglob("*.py"))
    code = re.sub(r'"\s*f?"', "", sources)
    answers = re.findall(r"^\| (?:401|403|503) `([^`]+)`", GUIDE, re.MULTILINE)
    assert len(answers) > 6
    for answer in answers:
        for words in filter(None, map(str.strip, answer.split("…"))):
            assert words in code, answer


def test_every_command_of_the_guide_is_known() -> None:
    commands = re.findall(r"^    (?:\w+=\S+ )*featurewatch (.+)$", GUIDE, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        words = [word for word in command.split() if re.fullmatch(r"[a-z]+", word)][:2]
        words = words if words[0] == "token" else words[:1]
        done = subprocess.run(
            [sys.executable, "-m", "featurewatch.cli", *words, "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, command
        for option in re.findall(r"--[a-z-]+", command):
            assert option in done.stdout, command
