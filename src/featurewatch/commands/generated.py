"""Files that are made from the code: `python -m featurewatch.commands.generated` writes them, `--check` compares."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

from ..bridge.app import create_app
from ..settings import load
from ..stores import recording
from . import recording as recording_command
from . import settings_page

COMMAND: Final = "python -m featurewatch.commands.generated"


def openapi_document() -> str:
    """Write the bridge's OpenAPI document, as it is with the default settings."""
    return json.dumps(create_app(load({})).openapi(), indent=2, ensure_ascii=False) + "\n"


def controls_module() -> str:
    """Write the console's style sheet of controls as the module that the kit's widgets adopt in their shadow roots."""
    css = (resources.files("featurewatch") / "console/static/css/controls.css").read_text(encoding="utf-8")
    text = css.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    return f"// Written from css/controls.css by {COMMAND}.\n\nexport const CONTROLS = `\n{text}`;\n"


FILES: Final[dict[str, Callable[[], str]]] = {
    "deploy/kubernetes/base/prometheusrule.yaml": recording_command.manifest,
    "docs/openapi.json": openapi_document,
    "docs/settings.md": settings_page.page,
    "prometheus/rules/featurewatch.yml": recording.document,
    "src/featurewatch/console/static/kit/styles/controls.js": controls_module,
}


def main(arguments: list[str] | None = None) -> int:
    """Write the generated files, or say which of the written ones are not current."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout, default the current folder")
    options = parser.parse_args(arguments)
    stale = 0
    for name, make in FILES.items():
        target, text = options.root / name, make()
        if not options.check:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        elif not target.exists() or target.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{name} is not current: run {COMMAND}\n")
            stale += 1
    return int(stale > 0)


if __name__ == "__main__":
    raise SystemExit(main())
