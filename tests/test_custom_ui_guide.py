"""The stream of the guide to UIs, run by Node against a real bridge that restarts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import httpx
import pytest

from featurewatch import tokens
from prometheus import free_port, wait_for
from running import bridge, environment

GUIDE: Final = Path(__file__).parents[1] / "docs/custom-ui.md"

HARNESS: Final = """
import { follow } from "./follow.js";
const [base, token] = process.argv.slice(2);
const stopping = new AbortController();
const say = (told) => console.log(JSON.stringify(told));
process.stdin.on("end", () => stopping.abort()).resume();
await follow(base, {
  token: async () => token,
  query: "featureId=chat&logs=true&environment=production",
  onMessage: ({ type, data }) => say({ type, texts: [data].flat().map((one) => one?.message).filter(Boolean) }),
  onState: (state) => say({ state }),
  signal: stopping.signal,
});
process.exit(0);
"""


@pytest.fixture
def node(tmp_path: Path) -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node to run the example (Debian: apt-get install nodejs)")
    example = re.search(r"```js\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "follow.js").write_text(example[1], encoding="utf-8")
    (tmp_path / "harness.js").write_text(HARNESS, encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return found


def refused(node: str, folder: Path, url: str) -> str:
    """Return what is said to somebody who shows a wrong token."""
    command = [node, str(folder / "harness.js"), url, "fw_wrong"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.wait(60) == 0
        assert process.stdout is not None
        return process.stdout.read()
    finally:
        process.kill()
        process.communicate()


def test_the_stream_is_followed_and_resumed_through_a_restart(node: str, tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "tokens.json"
    viewer = tokens.create(file, role="viewer")[1]
    bearer = {"Authorization": f"Bearer {tokens.create(file, role='ingest')[1]}"}
    env = {"FEATUREWATCH_API_TOKENS_FILE": str(file)}
    url = f"http://127.0.0.1:{port}"

    def log(text: str) -> None:
        line = {"featureId": "chat", "message": text, "environment": "production"}
        assert httpx.post(f"{url}/api/v1/logs", json=line, headers=bearer, timeout=30).status_code == 200

    told = tmp_path / "told"
    with told.open("w") as output:
        process = None
        try:
            with bridge(tmp_path / "data", port=port, env=env):
                log("first")
                process = subprocess.Popen(
                    [node, str(tmp_path / "harness.js"), url, viewer], stdin=subprocess.PIPE, stdout=output,
                    env=environment(),
                )  # fmt: skip
                wait_for(lambda: "log_history" in told.read_text(), what="the last lines")
                log("second")
                wait_for(lambda: '"second"' in told.read_text(), what="a line, live")
                assert refused(node, tmp_path, url) == '{"state":"refused"}\n', "told once, and not tried again"
            wait_for(lambda: '"lost"' in told.read_text(), what="the end of the stream")
            with bridge(tmp_path / "data", port=port, env=env):
                log("third")
                wait_for(lambda: '"third"' in told.read_text(), what="what came meanwhile")
                assert process.stdin is not None
                process.stdin.close()
                assert process.wait(30) == 0
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
    messages = [json.loads(line) for line in told.read_text().splitlines()]
    assert [message["state"] for message in messages if "state" in message][:1] == ["live"]
    lines = [text for message in messages for text in message.get("texts", ())]
    assert lines == ["first", "second", "third"], "each once, through the restart"
