"""Packages of npm that tests look at pages with: fetched once, kept in the system's folder for passing things."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

AXE = ("axe-core", "4.10.3")
CACHE = Path(tempfile.gettempdir()) / f"featurewatch-npm-{os.getuid()}"


def package(name: str, version: str) -> Path:
    """Return the folder of a package, or skip the test where npm cannot fetch it."""
    kept = CACHE / f"{name.replace('/', '+')}-{version}"
    if not kept.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(f"npm is not installed: {name} cannot be fetched")
        CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=CACHE))
        command = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        try:
            subprocess.run([*command, f"{name}@{version}"], check=True, capture_output=True, timeout=90)
            with contextlib.suppress(OSError):  # another run was faster: its copy is as good
                folder.rename(kept)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"npm could not fetch {name} {version}: {error}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return kept / "node_modules" / name
