"""The names of all checks and what each looks at: for the report, the metrics and the guide."""

from __future__ import annotations

from typing import Final

__all__ = ["CHECKS"]

CHECKS: Final[dict[str, str]] = {
    "doctor": "A check that itself failed.",
    # this machine
    "settings": "Settings that contradict each other, or that nothing reads.",
    "data-dir": "Whether DATA_DIR can be written, and by whom it can be read.",
    "disk": "Room left where data is kept.",
    "token-file": "The file of API tokens.",
    "webhook-token": "The token that Alertmanager's webhooks show.",
    "secret-file": "Files with the credentials of upstreams.",
    "tools": "promtool and amtool, which check what is published.",
    # upstreams
    "bridge": "Whether the bridge answers, is ready, and lets this command in.",
    "publishing": "Whether rules and channels are where they should be, by the bridge's own word.",
    "reachable": "Whether an upstream answers, to the credentials that are set.",
    "version": "Whether it is new enough.",
    "clock": "How far its clock is from this machine's.",
    "database": "PostgreSQL: reachable, its version and clock.",
    "reload": "Whether Prometheus reloads when it is told, and took its last configuration.",
    "exemplars": "Whether Prometheus keeps exemplars, the way from a latency to its trace.",
    "rule-files": "Whether Prometheus loads what the bridge writes into PROMETHEUS_RULES_DIR.",
    "alerting": "Whether Prometheus sends its alerts to an Alertmanager.",
    "otlp": "Whether OTLP_FORWARD_URL takes the metrics that are passed on.",
    "mimir": "Whether Mimir's ruler answers.",
    "schema": "Whether Loki's schema is v13 on tsdb.",
    "structured-metadata": "Whether Loki takes structured metadata.",
    "out-of-order": "Whether Loki takes lines that come late.",
    "shard-streams": "Whether Loki may store a batch twice that was sent twice.",
    "retention": "Whether Loki keeps lines as long as the bridge looks for them.",
    "receiver": "Whether Alertmanager's configuration leads alerts to the bridge.",
    "webhook": "Whether a test alert arrives at the bridge through Alertmanager.",
    # exporters
    "target": "Whether Prometheus scrapes the apps.",
    "interval": "Whether it does so at least once a minute.",
    "scraped-twice": "Whether an app is scraped by two jobs, and its calls count twice.",
    "labels": "Whether series carry the app's own feature and environment.",
    "zero-series": "Whether all outcomes are exported from the start.",
    "names": "Whether metrics have the names that are read.",
    "type": "Whether counters are counters, cumulative ones.",
    "buckets": "Whether the histograms have the bounds that are read.",
    "unit": "Whether durations are seconds.",
    "workers": "Whether several workers answer a scrape, each with its own counts.",
    "resets": "Whether counters start anew too often.",
    "dropped": "What exporters could not keep.",
    "cardinality": "Whether labels or features are too many.",
    "openmetrics": "Whether an app answers in OpenMetrics, which carries exemplars.",
    # queries
    "rule": "Every alert rule: whether it is evaluated, and its query answers.",
    "recording-rule": "Every recording rule: the same.",
    "dashboard": "Every query of every dashboard.",
}
