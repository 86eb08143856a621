"""How long `featurewatch serve` takes from the start of its process to /readyz, beside a bare FastAPI app.

    python benchmarks/serve_ready.py

Each start is a fresh process on a free port; the two take turns, and the medians are printed. The first start of the
bridge makes its stores, the others open them. Goal: at most 2 s.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

BARE = """
import sys
import uvicorn
from fastapi import FastAPI

app = FastAPI()

@app.get("/readyz")
async def ready() -> dict[str, str]:
    return {"status": "ready"}

uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
"""


def seconds_to_ready(command: list[str], port: int) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment())
    try:
        while time.perf_counter() - began < 60:
            if process.poll() is not None:
                raise SystemExit(f"{command[:4]} ended: {process.communicate()[1].decode()}")
            if answers(port):
                return time.perf_counter() - began
            time.sleep(0.005)
        raise SystemExit(f"{command[:4]} was not ready within 60 s")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FEATUREWATCH_")}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bridge: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        data = str(Path(folder) / "data")
        for _ in range(options.rounds):
            port = str(free_port())
            serve = [sys.executable, "-m", "featurewatch.cli", "serve", "--port", port, "--data-dir", data]
            bridge.append(seconds_to_ready(serve, int(port)))
            port = str(free_port())
            bare.append(seconds_to_ready([sys.executable, "-c", BARE, port], int(port)))
    first, middle, peer = bridge[0], statistics.median(bridge), statistics.median(bare)
    print(f"featurewatch serve  {middle:6.2f} s   ({first:.2f} s with new stores; goal 2 s)")
    print(f"a bare FastAPI app  {peer:6.2f} s")
    print(f"ratio               {middle / peer:6.2f}")


if __name__ == "__main__":
    main()
