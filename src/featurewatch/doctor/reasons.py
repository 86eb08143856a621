"""What to do about what exporters dropped, by signal and reason of featurewatch_dropped_total."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["BY_DESIGN", "TODO_OF_DROPS"]

BY_DESIGN: Final = frozenset({("logs", "no_feature")})
"""What is left out in any app: lines that belong to no feature."""

TODO_OF_DROPS: Final[Mapping[tuple[str, str], str]] = {
    ("", "label_limit"): "pass few and stable models and error types (50 of each are told apart, further ones count as "
    "'other'): no ids, no messages; see classify= of Feature",
    ("", "feature_limit"): "do not make feature names from requests; or raise FEATUREWATCH_MAX_FEATURES of the app",
    ("", "invalid_feature"): "use names of letters, digits, '.', '_' and '-', 64 at most",
    ("", "invalid_value"): "pass finite numbers from 0 on as tokens, cost and duration; the app's log names the first",
    ("", "classifier_failed"): "correct the function given as classify=; the app's log has its exception",
    ("", "queue_full"): "the receiver is slow or away: see endpoint= and its log; a spool_dir keeps more",
    ("", "rejected"): "the receiver refused it: the app's log repeats its words",
    ("", "undeliverable"): "the process ended before it was sent: call featurewatch.shutdown(), or set spool_dir",
    ("", "span_limit"): "too many spans are open at once: end them, or raise the limit of SpanProcessor",
    (
        "costs",
        "estimate_failed",
    ): "tell the cost yourself with call.cost(usd=…); the app's log says why it is not known",
    ("metrics", "push_failed"): "see that otlp_endpoint or endpoint= of the app is right and can be reached",
    ("logs", "unreadable"): "correct the log call whose arguments do not fit its text",
    ("logs", "too_old"): "lines waited longer than Loki takes them: see why they could not be delivered",
    ("logs", "too_large"): "write shorter lines, or raise max_line_size of Loki and FEATUREWATCH_MAX_LINE_BYTES",
    ("logs", "torn"): "the spool's disk was full or the machine lost power; nothing else is lost",
}
