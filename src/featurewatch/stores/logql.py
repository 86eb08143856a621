r"""Questions to Loki as LogQL. Pure. https://grafana.com/docs/loki/latest/query/

What users say reaches a query in double quotes alone, where everything but plain ASCII is escaped, and in patterns that
are made character by character: it can end neither the text nor the pattern that it stands in.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ..levels import names_of
from ..model import LEVELS, FeatureKey
from .base import LogFilter
from .logql_search import patterns
from .loki_entries import PACKED, SEPARATOR

__all__ = [
    "Question", "counting", "exact_levels", "exact_source", "having_id", "packed", "quote", "selector", "unpacked",
]  # fmt: skip

_TEXT: Final = "{{__line__}}"
_PACK: Final = "".join(f"{{{{.{name}}}}}{SEPARATOR}" for name in PACKED) + _TEXT
_DROPPED: Final = ", ".join(PACKED[1:]) + ', id=~"1[0-9a-f]{31}"'
"""Of ids those alone that `ids.new_id` makes: a label `id` stays where it is and shows that it is no line's."""
_KNOWN: Final = (*PACKED, "service_name", "feature", "environment")
_BASE: Final = ("id", "level", "source", "detected_level", "service_name", "environment")
_MORE: Final = (
    "(or (eq (len .) 7) (and (eq (len .) 8) (or .metadata .trace_id .user_id)) "
    "(and (eq (len .) 9) (or (and .metadata .trace_id) (and .metadata .user_id) (and .trace_id .user_id))) "
    "(and (eq (len .) 10) .metadata .trace_id .user_id))"
)
_OURS: Final = f"and {' '.join(f'.{name}' for name in _BASE)} {_MORE}"
"""Whether a line has the fields of one that we wrote, and none besides: the six, `feature`, and of three some."""
_ALL: Final = f"{_TEXT}{SEPARATOR}{{{{.}}}}"
"""The line and all that is known of it: names, and values that no search looks into, among it."""
_SEARCHED: Final = (
    f"{_TEXT}{SEPARATOR}{{{{if {_OURS}}}}}{{{{.source}}}}\n{{{{.metadata}}}}{{{{else}}}}{{{{.}}}}{{{{end}}}}"
)
"""The same, but of lines of ours only what a search looks into; it takes Loki half as long again."""
_WORDS: Final = (
    f"map[] {' '.join(f'{name}:' for name in _KNOWN)} {' '.join(LEVELS)} critical trace unknown featurewatch"
)
"""What stands in each line of `_ALL`, whatever was logged."""
_DEFAULT_SOURCE: Final = "app"


def quote(text: str) -> str:
    r"""Write a text as a string of LogQL, in plain ASCII.

    >>> quote('a"b\n')
    '"a\\"b\\u000a"'
    """
    return '"' + "".join(map(_escaped, text)) + '"'


def selector(features: Collection[str] = (), environments: Collection[str] = ()) -> str:
    """Select the streams of features (none: of all) in environments (none: in all).

    The environment "" is that of streams which name none.
    """
    matchers = [_one_of("feature", features) if features else 'feature=~".+"']
    if environments:
        matchers.append(_one_of("environment", environments))
    return "{" + ", ".join(matchers) + "}"


def having_id(entry_id: str) -> str:
    """Keep the lines with an id; to be put after a selector."""
    return f" | id={quote(entry_id)}"


@dataclass(frozen=True, slots=True)
class Question:
    """A query for lines; `parts` are those of a packed line (see `loki_entries.read_packed`), 0: lines as they are."""

    text: str
    parts: int = 0


def packed(selection: str, key: FeatureKey | None, filter: LogFilter) -> Question:
    """Ask for all lines of a selection that pass a filter, and for few others: the exact check is the caller's.

    A packed line has before it the fields of PACKED, and after it what a search added. Loki answers so in half the
    time: it need not make a stream of each line, as it does where an id is structured metadata.

    Args:
        key: whose lines these are; None where it is not one feature's alone.
    """
    search, more = _search(filter.search, key)
    query = f"{selection}{_levels(filter)}{exact_source(filter)}{search} | line_format {quote(_PACK)} | drop {_DROPPED}"
    return Question(query, len(PACKED) + 1 + more)


def unpacked(selection: str, filter: LogFilter) -> Question:
    """Ask for the lines as they are, whatever a filter searches for."""
    return Question(f"{selection}{_levels(filter)}{exact_source(filter)}")


def counting(selection: str, filter: LogFilter, milliseconds: int) -> str:
    """Count exactly the lines that pass a filter, which searches for nothing, in the time before an instant."""
    return f"sum(count_over_time({selection}{exact_levels(filter)}{exact_source(filter)} [{milliseconds}ms]))"


def exact_levels(filter: LogFilter) -> str:
    """Keep the lines of some levels, as `loki_entries` reads them: by the first name that says one, info else."""
    if not filter.levels or len(filter.levels) == len(LEVELS):
        return ""
    default = "info" in filter.levels
    names = [name for level in LEVELS if (level in filter.levels) != default for name in names_of(level)]
    pattern = quote(rf"(?i)\s*(?:{'|'.join(names)})[234]?\s*")
    # What is no name at all is info, too: where that is wanted, the names of the others are what is not.
    told = f"!~{pattern}" if default else f"=~{pattern}"
    nothing = quote("|unknown")
    last = f"severity!~{nothing} and severity{told}" + (f" or severity=~{nothing}" if default else "")
    detected = f"detected_level!~{nothing} and detected_level{told} or detected_level=~{nothing} and ({last})"
    return f' | level!="" and level{told} or level="" and ({detected})'


def _levels(filter: LogFilter) -> str:
    """Leave out the lines that say by a name of ours that they are of another level; others are looked at by us."""
    others = [level for level in LEVELS if level not in filter.levels]
    if not filter.levels or not others:
        return ""
    unwanted = quote("|".join(others))
    return f' | level!~{unwanted} | level!="" or detected_level!~{unwanted}'


def exact_source(filter: LogFilter) -> str:
    """Keep the lines of one source, "app" where they say none."""
    if not filter.source:
        return ""
    either = ' or source=""' if filter.source == _DEFAULT_SOURCE else ""
    return f" | source={quote(filter.source)}{either}"


def _search(search: str, key: FeatureKey | None) -> tuple[str, int]:
    """Make the stages that find a search text, and how many parts they add after the line."""
    if not search or search.casefold() in _DEFAULT_SOURCE:
        return "", 0
    found = patterns(search)
    # What is no JSON object becomes one by the name of its field (see `loki_entries.joined`).
    if not found.patterns or any(word in "metadata" for word in found.words):
        return "", 0
    everywhere = f"{_WORDS} {'' if key is None else ' '.join(key)}".casefold()
    common = all(word in everywhere or (len(word) < 3 and word.isalnum()) for word in found.words)
    format_ = _SEARCHED if common else _ALL
    stages = "".join(f" |~ {quote(pattern)}" for pattern in found.patterns)
    return f" | line_format {quote(format_)}{stages}", format_.count(SEPARATOR)


def _one_of(name: str, texts: Collection[str]) -> str:
    if len(texts) == 1 and "" not in texts:
        return f"{name}={quote(*texts)}"
    return f"{name}=~{quote('|'.join(''.join(map(_literal, text)) for text in sorted(texts)))}"


def _literal(character: str) -> str:
    return character if character.isascii() and character.isalnum() else f"\\x{{{ord(character):x}}}"


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
