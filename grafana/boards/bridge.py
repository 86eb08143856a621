"""featurewatch itself: streams and their clients, what was dropped, waits, and how rules and queries do."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from featurewatch.families import DROPPED, WAITING

from . import kit, variables
from . import links as to
from .bridge_now import now
from .bridge_queries import SCOPE, counted, of, own, quantile, rate
from .queries import RANGE, RATE, or_zero
from .shape import dashboard, with_rows

_BAD: Final[kit.Steps] = ((None, kit.GREEN), (0.001, kit.YELLOW))
_STATE_COLORS: Final = {
    "saved": kit.BLUE, "written": kit.BLUE, "loaded": kit.YELLOW, "evaluated": kit.GREEN, "failed": kit.RED,
}  # fmt: skip


def itself() -> Dashboard:
    """Make the dashboard."""
    made = dashboard(
        to.BRIDGE,
        "featurewatch itself",
        "The bridge: streams, clients, drops, gaps, what waits, queries upstream, and whether rules are live.",
        [variables.prometheus(), *variables.processes(), variables.console()],
    )
    return with_rows(
        made,
        {
            "Now": now(),
            "Streams": _streams(),
            "What comes in": _intake(),
            "What waits and what is lost": _waiting(),
            "Queries": _queries(),
            "Rules": _rules(),
            "Process": _process(),
        },
        folded=("Streams", "What comes in", "What waits and what is lost", "Queries", "Rules", "Process"),
    )


def _streams() -> list[kit.Built]:
    return [
        kit.graph(
            "Clients", "Open streams by transport.",
            [kit.query(or_zero(of("featurewatch_streams_open", "transport"), "transport"), "{{transport}}")],
            unit="short", stacked=True,
        ),
        kit.graph(
            "Messages", "Messages a second to all clients.",
            [kit.query(rate("featurewatch_streams_messages_total"), "messages")], unit="mps",
        ),
        kit.graph(
            "Lines dropped", "Lines a minute that clients did not get, by reason; each client is told by a gap.",
            [counted("featurewatch_streams_dropped_lines_total", "reason")],
            unit="short", width=8, steps=_BAD, no_data="Nothing was dropped",
        ),
        kit.graph(
            "Gaps told", "Gaps a minute that clients were told of, by reason.",
            [counted("featurewatch_streams_gaps_total", "reason")],
            unit="short", width=8, steps=_BAD, no_data="No gap was told",
        ),
        kit.graph(
            "Closed by the bridge", "Streams a minute that the bridge closed; 1013: a client that does not read.",
            [counted("featurewatch_streams_closed_total", "code")],
            unit="short", width=8, no_data="None was closed",
        ),
    ]  # fmt: skip


def _intake() -> list[kit.Built]:
    taken = rate("featurewatch_ingested_total", "signal, protocol")
    refused = rate("featurewatch_refused_total", "signal, code", a=60)
    slow = quantile(0.95, "featurewatch_http_request_duration_seconds", "route")
    return [
        kit.graph(
            "Taken in", "What was taken in and is safe, a second, by signal and protocol.",
            [kit.query(or_zero(taken, "signal"), "{{signal}} · {{protocol}}")],
            unit="cps", stacked=True, no_data="Nothing came",
        ),
        kit.graph(
            "Refused", "What was refused a minute, by signal and code, and requests over their limit.",
            [
                kit.query(or_zero(refused, "code"), "{{signal}} · {{code}}", "A"),
                kit.query(rate("featurewatch_rate_limited_total", "limit", a=60), "limit of {{limit}}", "B"),
            ],
            unit="short", steps=_BAD,
        ),
        kit.graph(
            "Answers", "Requests a second by status; streams are left out.",
            [kit.query(rate("featurewatch_http_request_duration_seconds_count", "status"), "{{status}}")],
            unit="reqps", stacked=True,
        )
        .override_by_regexp("/^2/", _shade(kit.GREEN))
        .override_by_regexp("/^4/", _shade(kit.YELLOW))
        .override_by_regexp("/^5/", _shade(kit.RED)),
        kit.graph(
            "Slowest routes", "The 95th percentile of the ten slowest routes.",
            [kit.query(f"topk(10, {slow})", "{{route}}")],
            unit="s",
        ),
    ]  # fmt: skip


def _shade(color: str) -> list[DynamicConfigValue]:
    return [DynamicConfigValue("color", {"mode": "shades", "fixedColor": color})]


def _waiting() -> list[kit.Built]:
    dropped = f"sum by (signal, reason) (rate({DROPPED.name}[{RATE}])) * 60"
    dropped += f" and sum by (signal, reason) (increase({DROPPED.name}[{RANGE}])) > 0"
    waits = f"max by (job, instance, where) ({WAITING.name})"
    samples = rate("featurewatch_metric_store_dropped_samples_total", a=60)
    queues = {
        "A": ("lines, embedded store", of("featurewatch_log_store_queued_bytes")),
        "B": ("lines, journal of Loki's tail", of("featurewatch_loki_queued_bytes")),
    }
    return [
        kit.graph(
            "Spools of apps", "Lines that wait in apps to be shipped, in memory and on disk: where it only grows, "
            "their destination is away. Each process of one machine tells of the spool that they share.",
            [kit.query(or_zero(waits, "where"), "{{job}} · {{instance}} · {{where}}")],
            unit="bytes", width=8, no_data="No app ships lines",
        ),
        kit.graph(
            "Bytes that wait", "Lines that wait for the bridge's disk.",
            [kit.query(or_zero(expr), legend, ref) for ref, (legend, expr) in queues.items()], unit="bytes", width=8,
        ),
        kit.graph(
            "Behind Loki", "How far back the last comparison with Loki's counts lies: lines older than that are sure.",
            [kit.query(or_zero(of("featurewatch_loki_lag_seconds", how="max")), "lag")],
            unit="s", width=8, steps=((None, kit.GREEN), (120, kit.YELLOW), (600, kit.RED)), no_data="There is no Loki",
        ),
        kit.graph(
            "Lines into Loki", "Lines a second that the bridge pushed, and pushes a minute that failed.",
            [
                kit.query(or_zero(rate("featurewatch_loki_pushed_lines_total")), "lines a second", "A"),
                kit.query(or_zero(rate("featurewatch_loki_push_failures_total", a=60)), "failed a minute", "B"),
            ],
            unit="short", width=8, no_data="There is no Loki",
        ),
        kit.graph(
            "Dropped by apps", "What exporters could not keep, a minute, by signal and reason.",
            [kit.query(or_zero(dropped, "reason"), "{{signal}} · {{reason}}")],
            unit="short", width=8, steps=_BAD, no_data="Nothing was dropped",
        ),
        kit.graph(
            "Samples and series left out", "Samples that the embedded store dropped; series whose names are none.",
            [
                kit.query(or_zero(samples), "samples a minute", "A"),
                kit.query(or_zero(of("featurewatch_metric_store_skipped_series", how="max")), "series", "B"),
            ],
            unit="short", width=8, steps=_BAD,
        ),
    ]  # fmt: skip


def _queries() -> list[kit.Built]:
    upstream = "featurewatch_upstream_request_duration_seconds"
    return [
        kit.graph(
            "How long upstreams take", "The 95th percentile of their answers.",
            [kit.query(or_zero(quantile(0.95, upstream, "upstream"), "upstream"), "{{upstream}}")],
            unit="s", width=8, steps=((None, kit.GREEN), (1, kit.YELLOW), (5, kit.RED)), shown=True,
            no_data="All stores are embedded",
        ),
        kit.graph(
            "Questions upstream", "Requests a second to each upstream: it does not grow with clients.",
            [kit.query(or_zero(rate(f"{upstream}_count", "upstream"), "upstream"), "{{upstream}}")],
            unit="reqps", width=8, no_data="All stores are embedded",
        ),
        kit.graph(
            "Failures upstream", "Requests a minute that failed, by upstream and reason.",
            [
                kit.query(
                    or_zero(rate("featurewatch_upstream_failures_total", "upstream, reason", a=60), "reason"),
                    "{{upstream}} · {{reason}}",
                )
            ],
            unit="short", width=8, steps=_BAD, no_data="None failed",
        ),
    ]  # fmt: skip


def _rules() -> list[kit.Built]:
    waiting, failures = of("featurewatch_publisher_waiting"), rate("featurewatch_publisher_failures_total", a=60)
    return [
        kit.coloured(
            kit.graph(
                "Rules by how far they have come",
                "Saved, written, loaded, evaluated: only an evaluated rule can fire. The console says why one failed.",
                [kit.query(or_zero(of("featurewatch_publisher_deployments", "state"), "state"), "{{state}}")],
                unit="short", stacked=True, no_data="The bridge evaluates all rules itself",
            ),
            _STATE_COLORS,
        ),
        kit.graph(
            "Publications",
            "Publications a minute that failed, or were not proven at once; waiting is 1 while what was published is "
            "not proven to be live.",
            [
                kit.query(or_zero(failures), "failed", "A"),
                kit.query(or_zero(waiting), "waiting", "B"),
            ],
            unit="short", no_data="The bridge evaluates all rules itself",
        ),
        kit.graph(
            "Evaluation by the bridge", "Rules that the bridge evaluates itself, and rounds a minute that failed.",
            [
                kit.query(of("featurewatch_evaluator_rules"), "rules", "A"),
                kit.query(rate("featurewatch_evaluator_failures_total", a=60), "failed a minute", "B"),
            ],
            unit="short",
        ),
        kit.graph(
            "Looks at Alertmanager", "Polls a minute, those that failed, and alerts that no webhook had told.",
            [
                kit.query(or_zero(rate("featurewatch_alertmanager_polls_total", a=60)), "polls", "A"),
                kit.query(or_zero(rate("featurewatch_alertmanager_poll_failures_total", a=60)), "failed", "B"),
                kit.query(or_zero(rate("featurewatch_alertmanager_poll_found_total", a=60)), "found by a poll", "C"),
            ],
            unit="short", no_data="There is no Alertmanager",
        ),
    ]  # fmt: skip


def _process() -> list[kit.Built]:
    return [
        kit.graph(
            "Memory", "Memory that the process holds.",
            [kit.query(own("process_resident_memory_bytes"), "{{instance}}")], unit="bytes", width=8,
        ),
        kit.graph(
            "Processor", "Processor time: 1 is one core that does nothing else.",
            [kit.query(own(f"rate(process_cpu_seconds_total{{{SCOPE}}}[{RATE}])"), "{{instance}}")],
            unit="none", width=8,
        ),
        kit.graph(
            "Open files", "Open files and sockets, in percent of those that are allowed.",
            [kit.query(f"100 * {own('process_open_fds')} / {own('process_max_fds')}", "{{instance}}")],
            unit="percent", width=8, steps=((None, kit.GREEN), (80, kit.RED)),
        ),
    ]  # fmt: skip
