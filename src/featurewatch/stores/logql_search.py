r"""A search text as patterns that Loki can look for. Pure.

A search finds a plain substring of a line's message, source or metadata text, both folded (`str.casefold`). Loki can
fold by simple rules only, and holds the metadata of other shippers as fields, not as JSON text. So it is asked for
patterns that every line has in which the search finds something, and for few others; the exact check is ours.

- A text of JSON differs from the fields that it is made of by its syntax and its escapes: the search text is cut there.
- Some characters fold to two or three (ß to ss, ﬁ to fi): where the search text has such a row, any of the characters
  that may stand there are looked for. Others are folded by `casefold` alone (ſ to s, ς to σ): they are listed.
- The characters that differ in nothing but the case of ASCII are left to Loki, which is fastest at that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Final

__all__ = ["Patterns", "patterns"]

_CUT: Final = re.compile(r'(?:\\+(?:u[0-9a-f]{0,4}|[btnfr])?|["{}:,\x00-\x1f])+')
"""JSON's syntax, control characters (which it escapes), and escapes with what belongs to them."""
_TAIL: Final = re.compile(r"(?:u?00|0)?[01][0-9a-f]|[0-9a-fbtnr]")
r"""What may be the end of an escape (`\n`, `\u001f`) where the text begins in the middle of one."""
_LITERAL: Final = 4
"""Characters that make it worth while to look for a run of plain ones first, or for it alone."""
_NO_CHARACTER: Final = "\U0010ffff"
_HIGHEST_CASED: Final = 0x20000
"""Beyond it no character has a case."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """RE2 patterns, all of which a line has that the search finds; `words` are the pieces of text behind them, folded.

    Without patterns nothing can be said beforehand.
    """

    patterns: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@lru_cache(256)
def patterns(search: str) -> Patterns:
    """Make the patterns of a search text."""
    folded = search.casefold()
    tail = _TAIL.match(folded)
    begin = 0 if tail is None else tail.end()
    words = tuple(word for word in _CUT.split(folded[begin:]) if word)
    return Patterns(tuple(dict.fromkeys(made for word in words for made in _of_word(word))), words)


def _of_word(word: str) -> Iterator[str]:
    """Yield the patterns of a text that has no JSON syntax: the longest plain run, and all of it where that is more."""
    elements = list(_elements(word))
    plain = [element.plain for element in elements]
    runs = [(end - start, start, end) for start, end in _runs(plain)]
    longest = max(runs, default=(0, 0, 0))
    inner = [element for element in elements if not element.edge]
    literal_inside = all(element.plain for element in inner) and len(inner) >= _LITERAL
    if longest[0] >= _LITERAL or (longest[0] and longest[0] == len(elements)):
        yield "(?i)" + "".join(_escaped(element.characters) for element in elements[longest[1] : longest[2]])
    if not literal_inside and longest[0] < len(elements):
        yield "".join(element.pattern for element in elements)


@dataclass(slots=True)
class _Element:
    """One or more places of a folded text: any of `characters`, `least` to `most` of them.

    Attributes:
        plain: one character of ASCII, and no other folds to it but its capital.
        edge: the text begins or ends here, perhaps within what a character folds to.
    """

    characters: str
    least: int = 1
    most: int = 1
    plain: bool = False
    edge: bool = False

    @property
    def pattern(self) -> str:
        characters = self.characters + self.characters.upper() if self.plain else self.characters
        if len(set(characters)) == 1:
            return _escaped(self.characters)
        one = "[" + _escaped(characters) + "]"
        return one if self.most == 1 else f"{one}{{{self.least},{self.most}}}"


def _elements(word: str) -> Iterator[_Element]:
    folds = _folds()
    place = 0
    for start, end, others in _rows(word):
        yield from (_single(character, folds) for character in word[place:start])
        characters = "".join(map(_class, word[start:end])) + others
        yield _Element(
            "".join(dict.fromkeys(characters)),
            -(-(end - start) // 3),
            end - start,
            edge=start == 0 or end == len(word),
        )
        place = end
    yield from (_single(character, folds) for character in word[place:])


def _single(character: str, folds: _Folds) -> _Element:
    others = folds.singles.get(character, "")
    if character.isascii() and others in ("", character.upper()):
        return _Element(character, plain=True)
    if len(others) == 1:
        # Of a pair in both cases RE2 makes one letter that ignores case, for which Loki does not look byte for byte.
        others += _NO_CHARACTER
    return _Element(character + others)


def _class(character: str) -> str:
    return character + _folds().singles.get(character, "")


def _rows(word: str) -> Iterator[tuple[int, int, str]]:
    """Yield the places of a text that one character may stand for, with the characters; places that touch as one."""
    folds, size = _folds(), len(word)
    found: list[tuple[int, int, str]] = []
    for start in range(size):
        for end in range(start + 1, min(start + 3, size) + 1):
            row = word[start:end]
            characters = folds.whole.get(row, "")
            if start == 0:
                characters += folds.ends.get(row, "")
            if end == size:
                characters += folds.begins.get(row, "")
            if start == 0 and end == size:
                characters += folds.middles.get(row, "")
            if characters:
                found.append((start, end, characters))
    current: tuple[int, int, str] | None = None
    for start, end, characters in found:
        if current is not None and start < current[1]:
            current = (current[0], max(current[1], end), current[2] + characters)
        else:
            if current is not None:
                yield current
            current = (start, end, characters)
    if current is not None:
        yield current


def _runs(plain: list[bool]) -> Iterator[tuple[int, int]]:
    start = 0
    for place, one in enumerate([*plain, False]):
        if not one:
            if place > start:
                yield start, place
            start = place + 1


@dataclass(frozen=True, slots=True)
class _Folds:
    """Which characters fold to which text.

    Attributes:
        singles: by a folded character, the others that fold to it.
        whole: by a text of two or three, the characters that fold to it; `begins`, `ends`, `middles`: to more, of
            which it is the beginning, the end, or neither.
    """

    singles: dict[str, str] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    begins: dict[str, str] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    middles: dict[str, str] = field(default_factory=dict)


@cache
def _folds() -> _Folds:
    folds = _Folds()
    for character in map(chr, range(ord("A"), _HIGHEST_CASED)):
        folded = character.casefold()
        if folded == character:
            continue
        if len(folded) == 1:
            folds.singles[folded] = folds.singles.get(folded, "") + character
            continue
        folds.whole[folded] = folds.whole.get(folded, "") + character
        for cut in range(1, len(folded)):
            folds.begins[folded[:cut]] = folds.begins.get(folded[:cut], "") + character
            folds.ends[folded[cut:]] = folds.ends.get(folded[cut:], "") + character
        for middle in folded[1:-1]:
            folds.middles[middle] = folds.middles.get(middle, "") + character
    return folds


def _escaped(text: str) -> str:
    return "".join(
        character
        if character.isascii() and (character.isalnum() or character in " _")
        else f"\\x{{{ord(character):x}}}"
        for character in text
    )
