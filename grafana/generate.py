"""Write the dashboards' JSON from their Python: `python grafana/generate.py`; `--check` compares instead.

Needs what the dependency group `dashboards` names; featurewatch itself does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from boards import links as to
from boards.alerts import alerts
from boards.bridge import itself
from boards.feature import feature
from boards.lines import logs
from boards.overview import overview
from boards.shape import written
from grafana_foundation_sdk.builders.dashboard import Dashboard

COMMAND: Final = "python grafana/generate.py"

DASHBOARDS: Final[dict[str, Callable[[], Dashboard]]] = {
    to.OVERVIEW: overview,
    to.FEATURE: feature,
    to.LOGS: logs,
    to.ALERTS: alerts,
    to.BRIDGE: itself,
}


def main(arguments: list[str] | None = None) -> int:
    """Write the dashboards, or say which of the written ones are not current."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    folder = Path(__file__).parent / "dashboards"
    check = parser.parse_args(arguments).check
    texts = {folder / f"{name}.json": written(make()) for name, make in DASHBOARDS.items()}
    stale = [path for path in sorted({*texts, *folder.glob("*.json")}) if _read(path) != texts.get(path)]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.relative_to(folder.parents[1])} is not current: run {COMMAND}\n")
        elif path in texts:
            folder.mkdir(exist_ok=True)
            path.write_text(texts[path], encoding="utf-8")
        else:
            path.unlink()
    return int(check and bool(stale))


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    raise SystemExit(main())
