"""What an app says of a feature when it declares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Classifier = Callable[[BaseException], "str | None"]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `Feature(...)` was told."""

    id: str
    name: str
    owner: str = ""
    version: str = ""
    models: tuple[str, ...] = ()
    classify: Classifier | None = None
    budget_usd_per_day: float | None = None


def text(value: object) -> str:
    """Make text of what the app gave as a label; what cannot be written goes by its type."""
    try:
        return str(value)
    except Exception:
        return type(value).__name__
