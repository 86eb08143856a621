"""What `import featurewatch` costs over bare Python, beside `import prometheus_client` in the same run.

    python benchmarks/import_time.py

Each is a fresh interpreter; they take turns, and the medians of their wall time are printed. Goal: at most 100 ms
over bare Python.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from time import perf_counter

STATEMENTS = {
    "bare Python": "pass",
    "import featurewatch": "import featurewatch",
    "import prometheus_client": "import prometheus_client",
    "import opentelemetry.sdk.metrics": "import opentelemetry.sdk.metrics",
}


def milliseconds(statement: str) -> float:
    started = perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return (perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for statement in STATEMENTS.values():
        milliseconds(statement)
    for _ in range(options.rounds):
        for name, statement in STATEMENTS.items():
            taken[name].append(milliseconds(statement))
    bare = statistics.median(taken["bare Python"])
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:36} {median:7.1f} ms {median - bare:+7.1f} ms over bare Python")


if __name__ == "__main__":
    main()
