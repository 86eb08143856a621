"""The house's rules that a reader would otherwise have to trust: who imports whom, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import featurewatch

ROOT: Final = Path(featurewatch.__file__).parent
MODULES: Final = sorted(ROOT.rglob("*.py"))

ORDER: Final = {
    "exporter": 1, "stores": 1, "directory": 1, "tokens": 1, "fields": 1, "alerts": 2, "snapshots": 2, "streams": 3,
    "dashboard_queries": 1, "doctor": 3, "bridge": 4, "commands": 5, "cli": 5,
}  # fmt: skip
"""Stations by how far down the data's way they are; a module imports from stations above or its own alone."""

SHARED: Final = {
    "model", "alert_model", "alert_wire", "episode_model", "errors", "times", "ids", "families", "formulas", "health",
    "access", "wire", "settings", "settings_alerting", "settings_explain", "settings_hosts", "levels", "confidential",
}  # fmt: skip
"""What all stations share; these import nothing but each other."""

HEAVY: Final = {
    "pydantic", "orjson", "fastapi", "starlette", "uvicorn", "sqlalchemy", "opentelemetry", "prometheus_client",
    "httpx", "genai_prices", "websockets", "loguru", "asyncio", "rich", "cramjam", "google", "jwt",
    "cryptography",
}  # fmt: skip


def station(path: Path) -> str:
    """Name what a module belongs to: the folder, or for a module at the top its own name."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield what a module imports as an absolute name, the line, and whether it happens when the module is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_typing_only(node)
        for inner in ast.walk(node)
    }
    package = ("featurewatch", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno, node not in late
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            for name in node.names:
                yield f"{module}.{name.name}", node.lineno, node not in late


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def own(name: str) -> str | None:
    """Name the station that an import leads to, None where it is none of ours."""
    parts = name.split(".")
    return parts[1] if parts[0] == "featurewatch" and len(parts) > 1 else None


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    here = station(path)
    for name, line, _ in imports(path):
        there = own(name)
        if there is None:
            continue
        where = f"{path.relative_to(ROOT)}:{line} imports {name}"
        if here in SHARED:
            assert there in SHARED, where
        if here in ORDER and there in ORDER:
            assert ORDER[there] <= ORDER[here], where


@pytest.mark.parametrize("path", sorted((ROOT / "exporter").rglob("*.py")), ids=lambda path: path.name)
def test_the_exporter_stands_alone(path: Path) -> None:
    light = SHARED - {"wire", "settings", "settings_alerting", "settings_explain"}
    for name, line, _ in imports(path):
        there = own(name)
        assert there is None or there in light | {"exporter"}, f"{path.relative_to(ROOT)}:{line} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "client").rglob("*.py")), ids=lambda path: path.name)
def test_the_client_knows_nothing_of_the_bridge_but_what_travels(path: Path) -> None:
    for name, line, _ in imports(path):
        there = own(name)
        assert there is None or there in SHARED - {"wire", "settings"} | {"client"}, (
            f"{path.relative_to(ROOT)}:{line} imports {name}"
        )


def test_what_the_exporter_shares_is_the_standard_library_alone() -> None:
    for name in sorted(SHARED - {"wire", "settings", "settings_alerting", "settings_explain"}):
        for imported, line, _ in imports(ROOT / f"{name}.py"):
            top = imported.split(".")[0]
            assert top in sys.stdlib_module_names | {"featurewatch"}, f"{name}.py:{line} imports {imported}"


def test_importing_featurewatch_loads_nothing_heavy() -> None:
    code = "import sys, featurewatch; print('\\n'.join(sorted({name.split('.')[0] for name in sys.modules})))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(ran.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_has_one_subject(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, "look for the second subject"
