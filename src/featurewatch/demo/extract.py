"""Pull facts out of a source: signatures, classes, constants, addresses, notes that its authors left."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Final

_URL: Final = re.compile(r"https?://[^\s\"'<>)\]}]+")
_NOTE: Final = re.compile(r"#\s*(?:XXX|TODO|FIXME|BUG|HACK)\b[ :]*(.+)")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a module says of itself.

    Attributes:
        functions: signatures of the functions and methods, each with its qualified name.
        constants: names in capitals with the literal values assigned to them, shown as Python.
        notes: what follows the marks XXX, FIXME and the like in comments.
    """

    functions: tuple[str, ...]
    classes: tuple[str, ...]
    constants: dict[str, str]
    urls: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in (self.functions, self.classes, self.constants, self.urls, self.notes))


def extract(text: str) -> Facts:
    """Extract the facts of a Python source.

    Raises:
        SyntaxError: the text is not Python.
    """
    tree = ast.parse(text)
    functions: list[str] = []
    classes: list[str] = []
    _definitions(tree, "", functions, classes)
    return Facts(
        tuple(functions),
        tuple(classes),
        dict(_constants(tree)),
        tuple(dict.fromkeys(url.rstrip(".,;:") for url in _URL.findall(text))),
        tuple(note.strip() for note in _NOTE.findall(text)),
    )


def _definitions(node: ast.Module | ast.ClassDef, prefix: str, functions: list[str], classes: list[str]) -> None:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            classes.append(prefix + child.name)
            _definitions(child, f"{prefix}{child.name}.", functions, classes)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            returns = f" -> {ast.unparse(child.returns)}" if child.returns else ""
            functions.append(f"{prefix}{child.name}({ast.unparse(child.args)}){returns}")


def _constants(tree: ast.Module) -> list[tuple[str, str]]:
    return [
        (target.id, ast.unparse(node.value))
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.isupper()
    ]
