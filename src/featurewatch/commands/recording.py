"""The recording rules for Prometheus: `python -m featurewatch.commands.recording` prints them."""

from __future__ import annotations

import argparse
import sys

from ..stores import recording


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
    sys.stdout.write(recording.document(parser.parse_args(arguments).uptime_threshold))
    return 0


def _percent(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"expected a percentage above 0 and up to 100, got {text}")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
