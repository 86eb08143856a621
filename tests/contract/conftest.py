"""A real PostgreSQL of its own for the stores that can use one."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Start a throwaway cluster on a Unix socket and give its URL; it is stopped by its own pid at the end."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    if not programs and found is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    program = programs[-1] if programs else Path(str(found)).parent
    # initdb refuses root; a short path, since a socket's is at most 107 bytes.
    as_user = {"user": "nobody", "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="fw-pg-"))
    if as_user:
        shutil.chown(folder, "nobody")
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)}
    try:
        made = subprocess.run(
            [program / "initdb", "-D", data, "-U", "featurewatch", "-A", "trust", "-E", "UTF8", "--no-sync"],
            cwd=folder, env=environment, capture_output=True, text=True, **as_user,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"PostgreSQL's initdb failed: {made.stderr.strip().splitlines()[-1]}")
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [program / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
                cwd=folder, env=environment, stdout=log, stderr=log, **as_user,
            )  # fmt: skip
        try:
            url = f"postgresql://featurewatch@/postgres?host={folder}"
            _wait_until_ready(url, server, folder / "log")
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"PostgreSQL was not ready within 30 s: {log.read_text()}")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database: a file, or a schema of its own in the one PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/state.db"
        return
    server: str = request.getfixturevalue("postgresql")
    schema = f"test_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{server}&options=-csearch_path%3D{schema}"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
