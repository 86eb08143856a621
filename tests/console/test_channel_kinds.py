"""The console's forms ask for the very settings that the bridge takes: a kind that is added there is missed here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from featurewatch.alerts.channels import KINDS

FORMS = Path(__file__).parents[2] / "src/featurewatch/console/static/channels-kinds.js"
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="node is not installed: it reads the console's modules")
def test_the_forms_ask_for_what_the_bridge_takes() -> None:
    assert NODE is not None
    code = f"import({json.dumps(FORMS.as_uri())}).then(({{ KINDS }}) => console.log(JSON.stringify(KINDS)))"
    told = subprocess.run([NODE, "-e", code], capture_output=True, text=True, timeout=60, check=True)
    forms = {
        kind: {
            setting["name"]: (setting.get("required", False), setting.get("secret", False))
            for setting in form["settings"]
        }
        for kind, form in json.loads(told.stdout).items()
    }
    assert forms == {
        name: {setting.name: (setting.required, setting.secret) for setting in kind.settings}
        for name, kind in KINDS.items()
    }
