"""Rule files as PrometheusRule manifests, for clusters where the Prometheus Operator loads rules. Pure.

https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from .rule_files import Group, dump, quote

__all__ = ["manifest", "object_name"]

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MANAGED: Final = {"app.kubernetes.io/managed-by": "featurewatch"}


def object_name(feature: str) -> str:
    """Name the object of a feature's rules: for different features different names, as RFC 1123 wants them.

    >>> object_name("chat")
    'featurewatch-chat'
    """
    if _NAME.fullmatch(feature) and "--" not in feature:
        return f"featurewatch-{feature}"
    plain = re.sub("[^a-z0-9]+", "-", feature.lower()).strip("-")
    return f"featurewatch-{plain}--{blake2b(feature.encode(), digest_size=4).hexdigest()}"


def manifest(
    feature: str, groups: Iterable[Group], *, namespace: str = "", labels: Mapping[str, str] | None = None
) -> str:
    """Write one manifest.

    Args:
        namespace: where it goes; "" leaves that to whoever applies it.
        labels: by which the operator's ruleSelector finds it.
    """
    told = {**_MANAGED, **(labels or {})}
    lines = ["apiVersion: monitoring.coreos.com/v1\n", "kind: PrometheusRule\n", "metadata:\n"]
    lines.append(f"  name: {quote(object_name(feature))}\n")
    if namespace:
        lines.append(f"  namespace: {quote(namespace)}\n")
    lines.append("  labels:\n")
    lines += [f"    {quote(name)}: {quote(value)}\n" for name, value in told.items()]
    lines.append("spec:\n")
    lines += [f"  {line}\n" for line in dump(groups, header="").removesuffix("\n").split("\n")]
    return "".join(lines)
