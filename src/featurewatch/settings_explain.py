"""What is said of a wrong setting: what was expected, in the units of the settings' page, and what came."""

from __future__ import annotations

from typing import Any, Final

from pydantic.fields import FieldInfo

from .confidential import redacted

__all__ = ["SECRETS", "bounds", "explain", "shown"]

SECRETS: Final = frozenset({"jwt_secret", "jwt_secret_file"})
"""Settings of whose value nothing is shown: the path of a secret's file too, since it may be the secret by mistake."""

_LIMITS: Final = {"gt": "more than", "ge": "at least", "le": "at most", "lt": "less than"}
_KINDS: Final = {
    "bool_parsing": "expected 1 or 0",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "expected a whole number",
    "float_parsing": "expected a number",
    "string_pattern_mismatch": "expected a name of letters, digits and !#$%&'*+.^_`|~-, 200 of them at most",
}
_OUT_OF_RANGE: Final = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})


def explain(problem: Any, prefix: str, field: FieldInfo | None, written: object, *, duration: bool) -> str:
    """Tell one of pydantic's errors as part of a line.

    Args:
        field: the setting; None where the problem is of several.
        written: what came, as it was written.
        duration: whether the setting is in seconds.
    """
    said = str(problem["msg"]).removeprefix("Value error, ")
    if field is None:
        return said
    name = str(problem["loc"][0])
    if problem["type"] in _OUT_OF_RANGE:
        limits = (f"{_LIMITS[sign]} {shown(name, limit, duration=duration)}" for sign, limit in bounds(field).items())
        said = f"expected {' and '.join(limits)}"
    said = _KINDS.get(problem["type"], said).replace("Input should be", "expected")
    if problem["type"] == "int_parsing" and name.endswith("_bytes"):
        said += " of bytes"
    text = said.partition(", got ")[0]
    told = f"{prefix}{name.upper()}: {text[0].lower()}{text[1:]}"
    if name in SECRETS:
        return f"{told}, got {len(str(written))} characters, which are not shown"
    listed = problem["input"]
    came = redacted(",".join(map(str, listed)) if isinstance(listed, tuple) else str(written))
    return f"{told}, got {came if len(came) <= 60 else came[:60] + '…'!r}"


def bounds(field: FieldInfo) -> dict[str, float]:
    """Return the limits of a number, by `ge`, `gt`, `le` and `lt`."""
    return {sign: getattr(mark, sign) for mark in field.metadata for sign in _LIMITS if hasattr(mark, sign)}


def shown(name: str, value: Any, *, duration: bool) -> str:
    """Write a setting's value as people do, with its unit."""
    if duration:
        return _duration(float(value))
    if name.endswith("_bytes"):
        return _size(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _size(count: int) -> str:
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count % length == 0:
            return f"{count} ({count // length} {unit})"
    return str(count)
