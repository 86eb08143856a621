"""What is wrong with the apps, judged by what Prometheus knows of their series. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from ..families import BUCKETS, DROPPED, REQUESTS
from ..model import OUTCOMES
from .findings import Finding, broken, doubtful, fine, left_out
from .names import family_meant, shown
from .reasons import BY_DESIGN, TODO_OF_DROPS
from .targets import OWN_BOUNDS, RESETS_OVER, ExporterFacts, Place, Scraped

__all__ = ["exporters_of", "judge", "slowest_scrape_s"]

SLOWEST_SCRAPE_S: Final = 60.0
MANY_RESETS: Final = 5
MANY_SERIES: Final = 50_000
MANY_FEATURES: Final = 200
_MILLISECONDS_FROM: Final = 1000.0
"""A histogram whose highest bound is this or more measures milliseconds."""


def exporters_of(facts: ExporterFacts) -> list[Scraped]:
    """Return the targets that are apps of ours: those that show features, or did within the last hour."""
    return [target for target in facts.targets if target.place in facts.known]


def slowest_scrape_s(facts: ExporterFacts) -> float:
    """Return how often the slowest of the apps and bridges is scraped, seconds; 0 where Prometheus does not tell."""
    return max((target.interval_s for target in _read(facts)), default=0.0)


def judge(facts: ExporterFacts) -> list[Finding]:
    """Judge all apps; each place gets a finding for each check that found something, else one that says all is well."""
    if facts.failures:
        why = facts.failures[0]
        return [left_out("target", "apps", f"Prometheus could not be asked of them: {why}")]
    if not facts.known and not facts.strange:
        return [*_silent_jobs(facts), *_nobody(facts)]
    return [
        *_silent_jobs(facts),
        *_targets(facts),
        *_twice(facts),
        *_labels(facts),
        *_zero(facts),
        *_names(facts),
        *_kinds(facts),
        *_buckets(facts),
        *_units(facts),
        *_resets(facts),
        *_dropped(facts),
        *_cardinality(facts),
    ]


def _nobody(facts: ExporterFacts) -> list[Finding]:
    live = sum(target.up for target in facts.targets)
    return [
        doubtful(
            "target",
            "apps",
            f"none of the {live} targets that Prometheus scrapes shows a feature",
            "add a job for the app's /metrics (featurewatch.metrics_route) to scrape_configs, or let it push OTLP",
        )
    ]


def _silent_jobs(facts: ExporterFacts) -> Iterator[Finding]:
    """Tell of jobs of which nothing was ever seen: whether they are apps of ours cannot be known."""
    jobs = {place.job for place in facts.known}
    up = {target.pool for target in facts.targets if target.up}
    for target in facts.targets:
        if not target.up and target.place.job not in jobs and target.pool not in up:
            yield left_out(
                "target",
                target.shown,
                f"down, as all of its job; whether it is an app of yours is not known: {target.error}",
            )


def _targets(facts: ExporterFacts) -> Iterator[Finding]:
    jobs = {place.job for place in facts.known}
    down = [target for target in facts.targets if not target.up and target.place.job in jobs]
    for target in down:
        yield broken(
            "target",
            target.shown,
            f"down: {target.error}",
            "see that the app runs and answers there, from where Prometheus is; credentials stand in its scrape job",
        )
    ours = exporters_of(facts)
    if not down and ours:
        yield fine("target", "apps", f"all {len(ours)} targets with features are up")
    slow = [target for target in _read(facts) if target.interval_s > SLOWEST_SCRAPE_S]
    for target in slow:
        yield doubtful(
            "interval",
            target.shown,
            f"scraped every {target.interval_s:g} s: figures over 5 minutes rest on a few points, "
            "and minutes of uptime have gaps",
            "set scrape_interval of the job to 1m or less (15s is usual)",
        )
    if not slow and ours:
        yield fine("interval", "apps", "scraped at least once a minute")


def _read(facts: ExporterFacts) -> list[Scraped]:
    """Return the targets whose series are read here: apps, and bridges."""
    return [target for target in facts.targets if target.place in facts.known | facts.bridges]


def _twice(facts: ExporterFacts) -> Iterator[Finding]:
    by_address: defaultdict[tuple[str, str], list[Scraped]] = defaultdict(list)
    for target in exporters_of(facts):
        by_address[target.address].append(target)
    again = {address: targets for address, targets in by_address.items() if len(targets) > 1}
    for targets in again.values():
        pools = ", ".join(sorted({str(target.pool) for target in targets}))
        yield broken(
            "scraped-twice",
            targets[0].shown,
            f"scraped {len(targets)} times, by {pools}: each of its calls counts {len(targets)} times",
            "remove it from all jobs but one",
        )
    if by_address and not again:
        yield fine("scraped-twice", "apps", "each is scraped once")


def _labels(facts: ExporterFacts) -> Iterator[Finding]:
    for place, names in facts.renamed.items():
        yield broken(
            "labels",
            str(place),
            f"Prometheus renamed the app's labels to {', '.join(sorted(names))}: a label of the target "
            "took their place",
            "set honor_labels: true on its job, or drop that label from the target",
        )
    for place, keys in facts.outcomes.items():
        if any(not feature or not environment for feature, environment in keys) and place not in facts.renamed:
            yield broken(
                "labels",
                str(place),
                f"{REQUESTS.name} has series without feature or environment, which are left out",
                "export it by featurewatch, or with both labels on each series; see metric_relabel_configs of the job",
            )


def _zero(facts: ExporterFacts) -> Iterator[Finding]:
    wrong = False
    for place, keys in sorted(facts.outcomes.items()):
        for (feature, _), outcomes in sorted(keys.items()):
            missing = set(OUTCOMES) - outcomes
            if missing:
                wrong = True
                others = len([key for key, told in keys.items() if not told.issuperset(OUTCOMES)]) - 1
                yield doubtful(
                    "zero-series",
                    str(place),
                    f"{feature or 'a feature'} exports no outcome "
                    f"{', '.join(sorted(missing))}"
                    + (f" (as {others} more features)" if others else "")
                    + ": its first such call will not be seen",
                    "export all outcomes at 0 from the start: featurewatch.Feature does so once it is declared",
                )
                break
    if facts.outcomes and not wrong:
        yield fine("zero-series", "apps", "every feature exports all its outcomes")


def _names(facts: ExporterFacts) -> Iterator[Finding]:
    wrong = False
    for place, names in sorted(facts.strange.items()):
        for name in sorted(names):
            family = family_meant(name)
            if family is None:
                continue
            wrong = True
            milliseconds = "millisecond" in name or name.endswith(("_ms", "_ms_bucket", "_ms_sum", "_ms_count"))
            yield broken(
                "unit" if milliseconds else "names",
                str(place),
                f"exports {name}, and {shown(family)} is what is read",
                "record seconds, under the family's own name (unit s)"
                if milliseconds
                else "in the app use featurewatch's exporter; in an OpenTelemetry pipeline keep its names: no "
                "add_metric_suffixes, no unit that is appended, cumulative monotonic sums",
            )
            break
    if facts.names and not wrong:
        yield fine("names", "apps", "metrics have the names that are read")


def _kinds(facts: ExporterFacts) -> Iterator[Finding]:
    wrong = {place: kind for (place, _), kind in facts.kinds.items() if kind not in ("counter", "", "unknown")}
    for place, kind in wrong.items():
        yield broken(
            "type",
            str(place),
            f"exports {REQUESTS.name} as a {kind}: totals that go up and down, as delta temporality leaves them",
            "export cumulative counters: OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative, or "
            "the processor deltatocumulative in the collector",
        )
    if facts.kinds and not wrong:
        yield fine("type", "apps", "counters are counters")


def _buckets(facts: ExporterFacts) -> Iterator[Finding]:
    wrong = False
    for (place, name), bounds in sorted(facts.bounds.items()):
        if bounds == OWN_BOUNDS:
            continue
        wrong = True
        finite = sorted(bound for bound in bounds if bound != float("inf"))
        shown = ", ".join(f"{bound:g}" for bound in finite[:6]) + (", …" if len(finite) > 6 else "")
        highest = finite[-1] if finite else 0.0
        if highest >= _MILLISECONDS_FROM:
            yield broken(
                "unit",
                str(place),
                f"{name} has bounds up to {highest:g}: milliseconds in a metric of seconds",
                "record seconds, with the bounds 0.01 · 2ⁿ up to 81.92 (featurewatch's exporter does both)",
            )
        else:
            yield doubtful(
                "buckets",
                str(place),
                f"{name} has the bounds {shown} instead of 0.01, 0.02, 0.04 … 81.92: percentiles "
                "over it and other apps are wrong",
                "use featurewatch's exporter, or a view with these bounds (explicit buckets) in OpenTelemetry",
            )
    if facts.histograms and not wrong:
        yield fine("buckets", "apps", "all histograms have the same bounds")


def _units(facts: ExporterFacts) -> Iterator[Finding]:
    wrong = False
    for (place, feature), (mean, above) in sorted(facts.durations.items()):
        if mean > BUCKETS[-1] and above > 0.5:
            wrong = True
            yield doubtful(
                "unit",
                str(place),
                f"calls of {feature} take {mean:,.0f} s on average, and most of them more than "
                "81.92 s: these look like milliseconds",
                "record seconds; if calls do take minutes, all is well but the percentiles end at 81.92 s",
            )
    if facts.durations and not wrong:
        yield fine("unit", "apps", "durations are plausible as seconds")


def _resets(facts: ExporterFacts) -> Iterator[Finding]:
    often = {place: count for place, count in facts.resets.items() if count >= MANY_RESETS}
    for place, count in sorted(often.items()):
        yield doubtful(
            "resets",
            str(place),
            f"its counters started anew {count:.0f} times in {RESETS_OVER}: it restarts all the time, "
            "or several workers answer in turn",
            "see its log for restarts; with several workers set FEATUREWATCH_MULTIPROCESS_DIR",
        )
    if facts.resets and not often:
        yield fine("resets", "apps", "counters do not start anew")


def _dropped(facts: ExporterFacts) -> Iterator[Finding]:
    wrong = False
    for place, counts in sorted(facts.dropped.items()):
        for (signal, reason), count in sorted(counts.items()):
            if (signal, reason) in BY_DESIGN:
                continue
            wrong = True
            check = "cardinality" if reason in ("label_limit", "feature_limit") else "dropped"
            yield doubtful(
                check,
                str(place),
                f"{count:,.0f} × {signal}/{reason} within the last hour ({DROPPED.name})",
                TODO_OF_DROPS.get((signal, reason))
                or TODO_OF_DROPS.get(("", reason))
                or "read the app's log: it told once",
            )
    if facts.names and not wrong:
        yield fine("dropped", "apps", "nothing was dropped within the last hour")


def _cardinality(facts: ExporterFacts) -> Iterator[Finding]:
    wrong = False
    for place, names in sorted(facts.overflown.items()):
        if any(reason == "label_limit" for _, reason in facts.dropped.get(place, {})):
            continue  # told already, with the count
        wrong = True
        yield doubtful(
            "cardinality",
            str(place),
            f"{', '.join(sorted(names))} counts under the label 'other'",
            "pass few and stable names as model= and error types: no ids, no messages; see classify= of Feature",
        )
    for place, (series, features) in sorted(facts.totals.items()):
        if series > MANY_SERIES:
            wrong = True
            yield doubtful(
                "cardinality",
                str(place),
                f"{series:,.0f} samples a scrape, of {features:,.0f} features",
                "pass fewer models and error types, and see that feature names are not made from requests",
            )
    total = Counter({place: features for place, (_, features) in facts.totals.items()})
    most, many = (total.most_common(1) or [(Place("", ""), 0)])[0]
    if many > MANY_FEATURES and not facts.recorded:
        wrong = True
        yield doubtful(
            "cardinality",
            str(most),
            f"{many:,.0f} features, and no recording rules: each look computes all of them",
            "add prometheus/rules/featurewatch.yml to rule_files of Prometheus",
        )
    if facts.totals and not wrong:
        yield fine("cardinality", "apps", f"{sum(total.values()):,.0f} features in all, each app's counted")
