"""What a scraper accepts: the format and the encoding of the answer to its request.

https://www.rfc-editor.org/rfc/rfc9110#section-12.5
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple


class Format(NamedTuple):
    """A format of exposition: its media type, the versions by which it is asked for, the Content-Type of the answer."""

    media: str
    versions: frozenset[str]
    content_type: str


TEXT: Final = Format(
    "text/plain", frozenset({"0.0.4", "1.0.0"}), "text/plain; version=0.0.4; charset=utf-8"
)  # fmt: skip
OPENMETRICS: Final = Format(
    "application/openmetrics-text",
    frozenset({"0.0.1", "1.0.0"}),
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
)


class _Range(NamedTuple):
    """One element of an Accept header: a media type or a pattern of some, its version, its quality."""

    media: str
    version: str
    quality: float


def choose(accept: str) -> Format:
    """Choose what is liked better; the text format where nothing is said, or nothing of ours is accepted.

    A pattern such as `*/*` does not ask for OpenMetrics: browsers send it.
    """
    ranges = [
        _Range(name, parameters.get("version", "").strip('"'), _quality(parameters))
        for name, parameters in _elements(accept)
    ]
    openmetrics = max((range.quality for range in ranges if _names(range, OPENMETRICS)), default=0.0)
    named = [range.quality for range in ranges if _names(range, TEXT)]
    patterns = [range.quality for range in ranges if range.media in ("text/*", "*/*")]
    text = max(named or patterns, default=0.0)
    return OPENMETRICS if openmetrics > 0 and openmetrics >= text else TEXT


def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether the answer may be compressed; nothing said means no."""
    qualities = {name: _quality(parameters) for name, parameters in _elements(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _names(range: _Range, format: Format) -> bool:
    return range.media == format.media and (not range.version or range.version in format.versions)


def _elements(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    for element in header.lower().split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        yield name, {key.strip(): value.strip() for key, _, value in pairs}


def _quality(parameters: dict[str, str]) -> float:
    """Read the quality, 0 to 1; what is no number in that range asks for nothing."""
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
