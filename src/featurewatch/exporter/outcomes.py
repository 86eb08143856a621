"""What an exception that ended a call says of it. Pure."""

from __future__ import annotations

from typing import Final

from ..model import Outcome

_CANCELLATIONS: Final = frozenset(
    {
        ("asyncio.exceptions", "CancelledError"),
        ("concurrent.futures._base", "CancelledError"),
        ("trio", "Cancelled"),
        ("trio._core._exceptions", "Cancelled"),
    }
)
"""Named rather than imported: asyncio alone would double what `import featurewatch` costs."""


def judged(error: BaseException) -> tuple[Outcome, str | None]:
    """Judge an exception that ended a call: the outcome, and the error's type."""
    return ("cancelled", None) if is_cancellation(error) else ("error", type(error).__name__)


def is_cancellation(error: BaseException) -> bool:
    """Tell whether someone ended the call, rather than something failed in it."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_cancellation(one) for one in error.exceptions)
    return isinstance(error, GeneratorExit) or any(
        (kind.__module__, kind.__name__) in _CANCELLATIONS for kind in type(error).__mro__
    )
