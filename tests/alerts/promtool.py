"""Traffic of features as promtool replays it and as `formulas.evaluate` reads it: one story, two readers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from featurewatch import families
from featurewatch.families import BUCKETS
from featurewatch.formulas import Histogram, Window, bucket_of, evaluate
from featurewatch.model import OUTCOMES

PROMTOOL: Final = shutil.which("promtool")
needs_promtool: Final = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install prometheus)"
)

MODEL: Final = "gpt-5-mini"


@dataclass(frozen=True)
class Minute:
    """What a feature did within one minute."""

    success: int = 0
    error: int = 0
    cancelled: int = 0
    durations: tuple[float, ...] = ()
    first_tokens: tuple[float, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    cost: float = 0.0


IDLE: Final = Minute()


@dataclass(frozen=True)
class Traffic:
    """A feature's minutes. Its series exist from minute 0 on, with 0; `minutes[0]` ends at minute 1.

    Attributes:
        resets: minutes after which the process starts again from 0.
    """

    feature: str
    minutes: Sequence[Minute]
    environment: str = "production"
    resets: frozenset[int] = frozenset()

    def window(self, end: int, length: int) -> Window:
        """Count what was gained in the `length` minutes up to minute `end`."""
        told = self.minutes[max(0, end - length) : end]
        requests = {
            (name,): float(sum(getattr(one, name) for one in told)) for name in ("success", "error", "cancelled")
        }
        tokens = {(MODEL, kind): float(sum(one.tokens.get(kind, 0) for one in told)) for kind in families.TOKEN_KINDS}
        return Window(
            length * 60,
            {
                families.REQUESTS.name: requests,
                families.TOKENS.name: tokens,
                families.COST.name: {(MODEL, "reported"): sum(one.cost for one in told)},
            },
            {
                families.DURATION.name: _histogram(value for one in told for value in one.durations),
                families.FIRST_TOKEN.name: _histogram(value for one in told for value in one.first_tokens),
            },
            self._uptime(told),
        )

    def figures(self, end: int, length: int) -> dict[str, float | None]:
        return evaluate(self.window(end, length))

    def _uptime(self, told: Sequence[Minute]) -> float | None:
        decided = [one for one in told if one.success + one.error]
        up = sum(one.error * 2 < one.success + one.error for one in decided)
        return 100 * up / len(decided) if decided else None

    def series(self) -> list[dict[str, str]]:
        """Return the series as promtool takes them."""
        found: dict[str, list[float]] = {}
        totals: dict[str, float] = {}

        def keep(name: str, labels: Mapping[str, str], gained: float) -> None:
            told = ",".join(f'{key}="{value}"' for key, value in {**labels, **mine}.items())
            key = f"{name}{{{told}}}"
            totals[key] = totals.get(key, 0.0) + gained
            found.setdefault(key, []).append(totals[key])

        mine = {"feature": self.feature, "environment": self.environment, "instance": "app:1", "job": "app"}
        for at, minute in enumerate([IDLE, *self.minutes]):
            if at in self.resets:
                totals.clear()
            for outcome in OUTCOMES:
                keep("feature_requests_total", {"outcome": outcome}, getattr(minute, outcome))
            for kind in families.TOKEN_KINDS:
                keep("feature_tokens_total", {"model": MODEL, "kind": kind}, minute.tokens.get(kind, 0))
            keep("feature_cost_usd_total", {"model": MODEL, "source": "reported"}, minute.cost)
            for family, values in ((families.DURATION, minute.durations), (families.FIRST_TOKEN, minute.first_tokens)):
                for bound in BUCKETS:
                    keep(f"{family.name}_bucket", {"le": f"{bound:g}"}, sum(value <= bound for value in values))
                keep(f"{family.name}_bucket", {"le": "+Inf"}, len(values))
                keep(f"{family.name}_count", {}, len(values))
                keep(f"{family.name}_sum", {}, sum(values))
        return [{"series": key, "values": " ".join(map(repr, values))} for key, values in found.items()]


def firing(rule_ids: Sequence[str], feature: str, at: int, *, state: str = "firing") -> dict[str, Any]:
    """Say which rules of a feature fire at a minute: just these."""
    return {
        "expr": f'count by (rule_id) (ALERTS{{feature="{feature}",alertstate="{state}"}})',
        "eval_time": f"{at}m",
        "exp_samples": [{"labels": f'{{rule_id="{rule_id}"}}', "value": 1} for rule_id in sorted(rule_ids)],
    }


def run(folder: Path, suites: Sequence[Mapping[str, Any]]) -> None:
    """Run promtool once over suites: `files` by name, `tests`, and `every`, the minutes between two evaluations."""
    names = []
    for number, suite in enumerate(suites):
        files = {f"{number}-{name}": text for name, text in suite["files"].items()}
        write(folder, files)
        told = {
            "rule_files": sorted(files),
            "evaluation_interval": f"{suite.get('every', 1)}m",
            "tests": [{"interval": "1m", **test} for test in suite["tests"]],
        }
        names.append(f"suite-{number}.json")
        (folder / names[-1]).write_text(json.dumps(told), encoding="utf-8")
    promtool(folder, "test", "rules", *names)


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def promtool(folder: Path, *arguments: str) -> str:
    """Run promtool where its files are, and return what it says; it has to be content."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, _differences(done.stdout + done.stderr)
    return done.stdout


def _differences(text: str) -> str:
    """Shorten what promtool says: of two long lists what is only in one."""
    shown = []
    lines = text.splitlines()
    for one, other in zip(lines, [*lines[1:], ""], strict=True):
        if one.lstrip().startswith("exp: {rule_id") and other.lstrip().startswith("got: {rule_id"):
            exp, got = ({part.strip() for part in line.split(":", 1)[1].split(", ")} for line in (one, other))
            shown += [f"silent: {sorted(exp - got)}", f"fires: {sorted(got - exp)}"]
        elif not one.lstrip().startswith("got: {rule_id"):
            shown.append(one)
    return "\n".join(shown)[-6000:]


def _histogram(values: Any) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.counts[bucket_of(value)] += 1
        histogram.total += value
    return histogram
