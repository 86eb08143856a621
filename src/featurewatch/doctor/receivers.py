"""Where the bridge passes things on: the receiver of OTLP metrics, and Mimir's ruler."""

from __future__ import annotations

from ..stores.upstream import Upstream
from .asking import get
from .findings import Finding, broken, fine
from .upstreams import said_of

__all__ = ["examine_mimir", "examine_otlp"]


async def examine_otlp(upstream: Upstream) -> Finding:
    """Send a request that holds no metric, which a receiver of OTLP takes."""
    got = await get(upstream, "", method="POST", content=b"", headers={"Content-Type": "application/x-protobuf"})
    subject = f"OTLP_FORWARD_URL {upstream.target.bare}"
    if got:
        return fine("otlp", subject, "takes metrics")
    if got.status == 404:
        return broken(
            "otlp",
            subject,
            "there is no receiver of OTLP at this path: what apps push is refused",
            "start Prometheus (2.47 or later) with --web.enable-otlp-receiver (before 3.0: "
            "--enable-feature=otlp-write-receiver), and end the URL in /api/v1/otlp/v1/metrics",
        )
    return broken(
        "otlp", subject, said_of(subject, got), f"set {upstream.target.named_by} to a receiver of OTLP over HTTP"
    )


async def examine_mimir(upstream: Upstream) -> Finding:
    """Ask Mimir's ruler for the rules of the tenant."""
    subject = upstream.target.shown
    got = await get(upstream, "/prometheus/api/v1/rules")
    if got:
        return fine("mimir", subject, "its ruler answers")
    return broken(
        "mimir",
        subject,
        said_of(subject, got),
        "start it with its ruler, or set FEATUREWATCH_MIMIR_URL and FEATUREWATCH_MIMIR_TENANT",
    )
