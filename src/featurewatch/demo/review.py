"""Review a package: how much of what it offers is documented, and what is missing most."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from .corpus import Source
from .deadline import Deadline
from .tokens import count_tokens

_Definition: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Review:
    """What a review found.

    Attributes:
        documented: how many of the `public` definitions have a docstring.
        longest_undocumented: the longest definition without one, and its lines; None where all have one.
        tokens_read: tokens of all sources read.
    """

    modules: int
    public: int
    documented: int
    longest_undocumented: tuple[str, int] | None
    tokens_read: int

    @property
    def coverage(self) -> float:
        """The documented share of the public definitions, in percent."""
        return 100 * self.documented / self.public if self.public else 100.0


def review(sources: Iterable[Source], deadline: Deadline) -> Review:
    """Read the sources of a package, one after the other, and judge its public classes, functions and methods.

    Raises:
        UnicodeDecodeError, SyntaxError, EmptyInput: a source cannot be read.
        TimeoutError: the deadline passed.
    """
    modules = public = documented = tokens = 0
    undocumented: list[tuple[int, str]] = []
    for source in sources:
        deadline.check()
        text = source.read()
        modules += 1
        tokens += count_tokens(text)
        for name, node in _public(ast.parse(text), source.name):
            public += 1
            if ast.get_docstring(node, clean=False):
                documented += 1
            else:
                undocumented.append(((node.end_lineno or node.lineno) - node.lineno + 1, name))
    lines, name = max(undocumented, default=(0, ""))
    return Review(modules, public, documented, (name, lines) if name else None, tokens)


def _public(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, _Definition]]:
    for child in node.body:
        if isinstance(child, _Definition) and not child.name.startswith("_"):
            name = f"{prefix}.{child.name}"
            yield name, child
            if isinstance(child, ast.ClassDef):
                yield from _public(child, name)
