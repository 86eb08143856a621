"""The compose file with PostgreSQL: the address of postgres.env, the password that init made, its options."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from compose import ROOT, Stack, load, rewritten
from prometheus import free_port, wait_for
from running import bridge

pytestmark = pytest.mark.stack


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Stack, int]]:
    """PostgreSQL as the service starts it, on a free port of the loopback, for the stack whose `init` ran."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    stack, port = Stack(tmp_path), free_port()
    assert stack.init().returncode == 0
    service = stack.file["services"]["postgres"]["environment"]
    as_user = {"user": "nobody", "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="fw-pg-"))  # initdb refuses root, and nobody cannot look into tmp_path
    try:
        password = shutil.copy(stack.volume("credentials-postgres") / "password", folder / "password")
        if as_user:
            shutil.chown(folder, "nobody")
            shutil.chown(password, "nobody")
        options = [*shlex.split(service["POSTGRES_INITDB_ARGS"]), f"--username={service['POSTGRES_USER']}"]
        made = subprocess.run(
            [programs[-1] / "initdb", "-D", folder / "data", *options, f"--pwfile={password}", "--no-sync"],
            cwd=folder, capture_output=True, text=True, check=False, **as_user,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs[-1] / "postgres", "-D", folder / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                 "-k", folder, "-c", "fsync=off"],
                cwd=folder, stdout=log, stderr=log, **as_user,
            )  # fmt: skip
        try:
            wait_for(lambda: "ready to accept" in (folder / "log").read_text(), what="PostgreSQL")
            with psycopg.connect(
                f"{url(stack, port).replace('/featurewatch?', '/postgres?')}", autocommit=True
            ) as admin:
                admin.execute(f"CREATE DATABASE {service['POSTGRES_DB']}")
            yield stack, port
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def url(stack: Stack, port: int) -> str:
    """Return the bridge's DATABASE_URL with our address and paths."""
    lines = (ROOT / "deploy/compose/postgres.env").read_text(encoding="utf-8").splitlines()
    env = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    told = load(env)["services"]["bridge"]["environment"]["FEATUREWATCH_DATABASE_URL"]
    return rewritten(told, {**stack.place("bridge"), "postgres": f"127.0.0.1:{port}"})


def test_the_bridge_keeps_its_state_there_and_nobody_gets_in_by_another_password(cluster: tuple[Stack, int]) -> None:
    stack, port = cluster
    address = url(stack, port)
    token = stack.init("--show").stdout.split()[2]
    env = {
        "FEATUREWATCH_DATABASE_URL": address,
        "FEATUREWATCH_API_TOKENS_FILE": stack.environment("bridge")["FEATUREWATCH_API_TOKENS_FILE"],
    }
    headers = {"Authorization": f"Bearer {token}"}
    with bridge(stack.volume("bridge-data"), env=env) as running:
        feature = f"{running.url}/api/v1/features/kept"
        assert httpx.put(feature, json={"name": "Kept"}, headers=headers, timeout=30).status_code in (200, 201)
        with psycopg.connect(address) as connection:
            (row,) = connection.execute("SELECT row_to_json(kept)::text FROM featurewatch_features kept").fetchall()
        assert '"Kept"' in row[0]
    assert not list(stack.volume("bridge-data").glob("state.db*"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address.partition("?")[0], password="featurewatch")
