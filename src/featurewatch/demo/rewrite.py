"""Rewrite documentation as Markdown: headings, code blocks and references in the form that web pages want."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from .corpus import EmptyInput, Passage

_ROLE: Final = re.compile(r":[a-z:]+:`~?!?([^`]+)`")
_QUOTED: Final = re.compile(r"(?<!`)`([^`'\n]+)'|``([^`]+)``")
_UNDERLINE: Final = re.compile(r"[=\-~*^]{3,}")
_OPTION: Final = re.compile(r"^(\w+) -- ", re.MULTILINE)


def rewrite(passages: Iterable[Passage]) -> str:
    """Make one Markdown page of a module's docstrings: a heading for each, prose and examples in their own forms.

    Raises:
        EmptyInput: there is nothing to rewrite.
    """
    sections = [f"{_heading(passage)}\n\n{to_markdown(passage.text)}" for passage in passages]
    if not sections:
        raise EmptyInput("the module documents nothing")
    return "\n\n".join(sections) + "\n"


def to_markdown(text: str) -> str:
    """Turn one docstring into Markdown."""
    return "\n\n".join(_block(block) for block in _blocks(text))


def _heading(passage: Passage) -> str:
    mark = "#" if passage.kind == "module" else "##" if passage.kind == "class" else "###"
    shown = passage.name if passage.kind == "module" else f"`{passage.signature}`"
    return f"{mark} {shown}"


def _blocks(text: str) -> Iterator[list[str]]:
    """Split at empty lines; an underlined title stands alone even where no empty line follows it."""
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        if _UNDERLINE.fullmatch(line.strip()) and len(block) == 1:
            yield [block[0], line]
            block = []
        elif line.strip():
            block.append(line.rstrip())
        elif block:
            yield block
            block = []


def _block(lines: list[str]) -> str:
    if len(lines) == 2 and _UNDERLINE.fullmatch(lines[1].strip()):
        return f"#### {lines[0].strip()}"
    if lines[0].lstrip().startswith(">>>") or all(line.startswith("    ") for line in lines):
        margin = min(len(line) - len(line.lstrip()) for line in lines)
        return "\n".join(["```python", *(line[margin:] for line in lines), "```"])
    prose = "\n".join(_items(lines))
    prose = _ROLE.sub(r"`\1`", prose)
    prose = _QUOTED.sub(lambda match: f"`{match[1] or match[2]}`", prose)
    prose = _OPTION.sub(r"- **\1**: ", prose)
    return re.sub(r"::$", ":", prose)


def _items(lines: list[str]) -> Iterator[str]:
    """Make an item of each line that deeper lines follow, with those as its text; one ending in a colon leads in."""
    depths = [len(line) - len(line.lstrip()) for line in lines]
    item: int | None = None
    for line, depth, following in zip(lines, depths, [*depths[1:], 0], strict=True):
        text = line.strip()
        if item is not None and depth > item:
            yield f"  {text}"
        elif following > depth and not text.endswith(":"):
            item = depth
            yield f"- **{text}**"
        else:
            item = None
            yield f"{text}\n" if following > depth else text
