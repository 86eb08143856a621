"""What a `gen_ai.*` span says of a model's call, in both generations of OpenTelemetry's semantic conventions. Pure.

Names: https://opentelemetry.io/docs/specs/semconv/registry/attributes/gen-ai/ with its deprecated ones, and those that
widespread instrumentations use beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

PREFIX: Final = "gen_ai."
FEATURE_NAMES: Final = ("featurewatch.feature", "feature")

_INPUT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_CACHE_READ: Final = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "gen_ai.usage.details.cached_tokens",
)
_CACHE_WRITE: Final = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
)
_REASONING: Final = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
)
_COST: Final = ("gen_ai.usage.cost", "operation.cost")
_FIRST_TOKEN: Final = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
_FIRST_TOKEN_EVENTS: Final = ("first_token", "first_chunk", "completion.chunk")

_LOCAL_OPERATIONS: Final = frozenset({"execute_tool"})
"""What is no model's call: a tool runs in the app."""

_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled", "GeneratorExit"})


@dataclass(frozen=True, slots=True)
class Usage:
    """What one span says it used; its tokens by kind, empty where it says nothing of them."""

    models: tuple[str, ...]
    tokens: Mapping[str, int]
    usd: float | None

    @property
    def told(self) -> bool:
        return bool(self.tokens) or self.usd is not None


def is_genai(attributes: Mapping[str, Any] | None) -> bool:
    """Tell whether the attributes are those of a span of a model, an agent or a tool."""
    return attributes is not None and any(name.startswith(PREFIX) for name in attributes)


def is_local(attributes: Mapping[str, Any]) -> bool:
    return attributes.get("gen_ai.operation.name") in _LOCAL_OPERATIONS


def named_feature(attributes: Mapping[str, Any] | None) -> str | None:
    """Return the feature that the attributes name."""
    for name in FEATURE_NAMES:
        value = (attributes or {}).get(name)
        if value:
            return str(value)
    return None


def usage(attributes: Mapping[str, Any]) -> Usage:
    """Read models (as answered, then as asked), tokens and cost.

    Cache and reasoning tokens are parts of input and output. Where a part is larger than its whole, the provider
    counts it apart (some do, whatever the convention says), and the whole is taken to lack it.
    """
    input, output = _count(attributes, _INPUT), _count(attributes, _OUTPUT)
    read, write = _count(attributes, _CACHE_READ) or 0, _count(attributes, _CACHE_WRITE) or 0
    reasoning = _count(attributes, _REASONING) or 0
    tokens: dict[str, int] = {}
    if input is not None or output is not None or read or write or reasoning:
        input, output = input or 0, output or 0
        tokens = {
            "input": input + read + write if read + write > input else input,
            "output": output + reasoning if reasoning > output else output,
            "cache_read": read,
            "cache_write": write,
            "reasoning": reasoning,
        }
    named = (attributes.get("gen_ai.response.model"), attributes.get("gen_ai.request.model"))
    return Usage(tuple(str(name) for name in named if name), tokens, _number(attributes, _COST))


def first_token_s(attributes: Mapping[str, Any], events: Sequence[Any], start_ns: int) -> float | None:
    """Return the seconds from a span's start to its first token, by attribute or by its first such event."""
    seconds = _number(attributes, _FIRST_TOKEN)
    if seconds is not None:
        return seconds
    for event in events:
        if event.name.endswith(_FIRST_TOKEN_EVENTS):
            return float(max(0, event.timestamp - start_ns)) / 1e9
    return None


def error_type(attributes: Mapping[str, Any], events: Sequence[Any]) -> str | None:
    """Name the error by `error.type`, else by the last exception recorded; modules and packages are left out."""
    named = attributes.get("error.type")
    for event in reversed(events):
        if named:
            break
        named = (event.attributes or {}).get("exception.type")
    if not named:
        return None
    return "other" if named == "_OTHER" else str(named).rpartition(".")[2] or str(named)


def is_cancellation(error_type: str | None) -> bool:
    return error_type in _CANCELLATIONS


def _count(attributes: Mapping[str, Any], names: Sequence[str]) -> int | None:
    number = _number(attributes, names)
    return None if number is None else int(number)


def _number(attributes: Mapping[str, Any], names: Sequence[str]) -> float | None:
    """Return the first attribute of these that is a number of 0 or more."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf:
            return value
    return None
