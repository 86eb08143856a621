"""Which names the metrics of apps have, and which family a name of another form stands for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ..families import FAMILIES, Family

__all__ = ["family_meant", "shown"]


def _series_names() -> Iterator[str]:
    for family in FAMILIES.values():
        suffixes = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        for suffix in suffixes:
            yield family.name + suffix
        yield family.name.removesuffix("_total") + "_created"


_EXPECTED: Final = frozenset(_series_names())
_STEMS: Final[Mapping[str, Family]] = {
    family.name.removesuffix("_total").removesuffix("_seconds").removesuffix("_usd"): family
    for family in FAMILIES.values()
    if family.name.startswith("feature_") and family.name != "feature_info"
}


def family_meant(name: str) -> Family | None:
    """Find the family that a name of another form stands for; None where it is one that is read, or somebody else's."""
    if name in _EXPECTED:
        return None
    stems = [stem for stem in _STEMS if name == stem or name.startswith(f"{stem}_")]
    if not stems:
        return None
    stem = max(stems, key=len)
    rest = name.removeprefix(stem)
    known = (
        "total",
        "ratio",
        "milliseconds",
        "ms",
        "seconds",
        "usd",
        "USD",
        "bucket",
        "sum",
        "count",
        "requests",
        "tokens",
        "call",
        "calls",
        "request",
        "errors",
        "1",
        "token",
        "duration",
        "created",
        "gauge",
        "delta",
        "day",
        "per",
    )
    return _STEMS[stem] if all(part in known for part in rest.split("_") if part) else None


def shown(family: Family) -> str:
    return f"{family.name}_bucket, _sum and _count" if family.kind == "histogram" else family.name
