"""The metric families that an app exports: the one table behind the collector, OTLP, the stores and the rules.

Every series also carries `feature` and `environment`; `labels` are the others, in the order used for keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

BUCKETS: Final[tuple[float, ...]] = tuple(0.01 * 2**n for n in range(14))
"""Upper bounds of the duration histograms, seconds: .01, .02, .04 … 81.92 (OpenTelemetry's advice for GenAI)."""

TOKEN_KINDS: Final = ("input", "output", "cache_read", "cache_write", "reasoning")
"""cache_* are subsets of input and reasoning a subset of output: they are never added to them."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family. `unit` is the OTLP unit (UCUM); the Prometheus unit is part of the name.

    A gauge has no unit "1": Prometheus's OTLP receiver would name it `…_ratio`.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    unit: str = "1"


REQUESTS: Final = Family(
    "feature_requests_total", "counter", "Calls of the feature that ended, by outcome.", ("outcome",)
)
ERRORS: Final = Family("feature_errors_total", "counter", "Calls that failed, by kind of error.", ("error_type",))
DURATION: Final = Family(
    "feature_request_duration_seconds",
    "histogram",
    "How long calls took, to the end of the stream.",
    unit="s",
)
FIRST_TOKEN: Final = Family(
    "feature_time_to_first_token_seconds",
    "histogram",
    "How long calls took to their first token.",
    unit="s",
)
IN_PROGRESS: Final = Family("feature_requests_in_progress", "gauge", "Calls that run now.", unit="{call}")
TOKENS: Final = Family("feature_tokens_total", "counter", "Tokens used, by model and kind.", ("model", "kind"))
COST: Final = Family(
    "feature_cost_usd_total",
    "counter",
    "Cost in US dollars, by model and whether it was reported or estimated.",
    ("model", "source"),
    "{USD}",
)
UNPRICED: Final = Family(
    "feature_unpriced_requests_total", "counter", "Calls whose model has no known price.", ("model",)
)
BUDGET: Final = Family("feature_budget_usd_per_day", "gauge", "Budget in US dollars a day.", unit="{USD}")
PROBE: Final = Family("feature_probe_success", "gauge", "Whether the last synthetic check succeeded.", unit="")
INFO: Final = Family("feature_info", "gauge", "What the feature is.", ("name", "owner", "version"), "")
DROPPED: Final = Family(
    "featurewatch_dropped_total",
    "counter",
    "What the exporter could not keep, by signal and reason.",
    ("signal", "reason"),
)

PRICE_TABLE: Final = Family(
    "featurewatch_price_table_info",
    "gauge",
    "The version of the price table that costs are estimated with.",
    ("version",),
    "",
)
"""Of the process, not of a feature: it carries no `feature` and no `environment`, and is none of FAMILIES."""

WAITING: Final = Family(
    "featurewatch_waiting_bytes",
    "gauge",
    "Lines that wait to be shipped, by where: memory of this process, spool of all that share it.",
    ("where",),
    "By",
)
"""Of the process, as PRICE_TABLE; on its own `/metrics` alone."""

FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        REQUESTS, ERRORS, DURATION, FIRST_TOKEN, IN_PROGRESS, TOKENS,
        COST, UNPRICED, BUDGET, PROBE, INFO, DROPPED,
    )
}  # fmt: skip
