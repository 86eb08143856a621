"""The recording rules for Prometheus: `python -m featurewatch.commands.recording` prints them.

As a rule file, or as an object for clusters where the Prometheus Operator loads rules:
https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule
"""

from __future__ import annotations

import argparse
import sys

from ..stores import recording


def manifest(threshold: float = 50.0) -> str:
    """Write the recording rules as a PrometheusRule."""
    head, _, groups = recording.document(threshold).partition("groups:\n")
    spec = "".join(f"  {line}\n" for line in ("groups:\n" + groups).splitlines())
    return (
        f"{head}apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n"
        "  name: featurewatch-recording\n"
        "  labels: { release: kube-prometheus-stack } # what your Prometheus selects by (ruleSelector)\n"
        f"spec:\n{spec}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the recording rules; `prometheus/rules/featurewatch.yml` holds them for the default threshold."""
    parser = argparse.ArgumentParser(prog="python -m featurewatch.commands.recording", description=main.__doc__)
    parser.add_argument(
        "--uptime-threshold",
        type=_percent,
        default=50.0,
        metavar="PERCENT",
        help="as FEATUREWATCH_UPTIME_THRESHOLD: a minute is down from this percentage of failed calls on, default 50",
    )
    parser.add_argument(
        "--format", choices=["file", "manifest"], default="file", help="a rule file, or a PrometheusRule"
    )
    options = parser.parse_args(arguments)
    write = manifest if options.format == "manifest" else recording.document
    sys.stdout.write(write(options.uptime_threshold))
    return 0


def _percent(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"expected a percentage above 0 and up to 100, got {text}")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
