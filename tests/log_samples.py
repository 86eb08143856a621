"""Log entries for tests, and hypothesis strategies that make awkward ones."""

from __future__ import annotations

import itertools
import json
from typing import Final

from hypothesis import strategies as st

from featurewatch.model import LEVELS, FeatureKey, LogEntry

CHAT: Final = FeatureKey("chat", "production")
STAGED: Final = FeatureKey("chat", "staging")
SEARCH: Final = FeatureKey("search", "production")

BASE_NS: Final = 1_700_000_000 * 10**9

_numbers = itertools.count(1)


def line(message: str = "", *, key: FeatureKey = CHAT, at: int | None = None, **fields: object) -> LogEntry:
    """Make an entry with an id of its own; `at` is nanoseconds after BASE_NS, by default later than the last one."""
    number = next(_numbers)
    timestamp_ns = BASE_NS + (number * 1000 if at is None else at)
    entry = LogEntry(f"{timestamp_ns:016x}{number:016x}", *key, timestamp_ns, "info", message or f"line {number}")
    return entry._replace(**fields)  # type: ignore[arg-type]  # the fields' types differ


# Letters whose case is more than one character, or changes with folding: ß→ss, ſ→s, K (Kelvin)→k, İ→i̇, ﬁ→fi, Σ/ς→σ.
# What LIKE, GLOB and the escape would take for something else, NUL, the characters that SQLite's own decoder conflates.
_ALPHABET: Final = 'aAbBsSkKiIfF%_\\*?[]"\0 éÉßẞſKİıﬁΣσςжЖ\ufffd\ufffe\uffff🙂'

texts = st.text(alphabet=_ALPHABET, max_size=8)
searches = st.text(alphabet=_ALPHABET, min_size=1, max_size=3)
levels = st.sampled_from(LEVELS)
objects = st.builds(
    lambda value, escaped: json.dumps(value, ensure_ascii=escaped),
    st.dictionaries(texts, st.one_of(texts, st.integers(0, 99), st.lists(texts, max_size=2)), max_size=2),
    st.booleans(),
)
"""Texts of JSON objects, with what is beyond ASCII as it is or escaped."""

entries = st.builds(
    line,
    texts,
    at=st.integers(0, 20),
    level=levels,
    source=st.one_of(st.just("app"), searches),
    metadata=st.one_of(st.none(), objects),
    trace_id=st.one_of(st.none(), searches),
)
