"""The texts: the standard library's sources and documentation, which every Python brings along."""

from __future__ import annotations

import ast
import importlib
import os
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

_NOT_READ: Final = ("distutils", "encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "turtledemo")
"""Packages that are tables, tools or leftovers rather than something to read about; they still hold odd files."""
_FOREIGN: Final = ("site-packages", "dist-packages")
_LARGEST: Final = 64 * 1024
_ODD_PER_KIND: Final = 12
_ODD_BYTES: Final = 512 * 1024

_Definition: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class EmptyInput(ValueError):
    """The text holds nothing to work on."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the corpus: `name` is the dotted module, or for other files the path below the corpus's root."""

    name: str
    path: Path
    size: int

    def read(self) -> str:
        """Read the text as UTF-8.

        Raises:
            UnicodeDecodeError: the file is binary or in another encoding.
            EmptyInput: it holds no characters but white space.
        """
        text = self.path.read_bytes().decode("utf-8")
        if not text.strip():
            raise EmptyInput(f"{self.name} is empty")
        return text


@dataclass(frozen=True, slots=True)
class Passage:
    """One docstring: of a module, a class or a function. `name` is the full dotted name of what it documents."""

    name: str
    module: str
    kind: Literal["module", "class", "function"]
    signature: str
    text: str

    @property
    def first_sentence(self) -> str:
        paragraph = " ".join(self.text.partition("\n\n")[0].split())
        end = paragraph.find(". ")
        return (paragraph if end < 0 else paragraph[:end]).rstrip(".:")


@dataclass(frozen=True)
class Corpus:
    """What was found below `root`.

    Attributes:
        modules: the public modules of moderate size, by name; nothing of them has been read yet.
        odd: files that lie beside the modules and are none (compiled, binary, empty, plain text), or that Python
            itself keeps as examples of broken sources.
        topics: the language reference, as `help()` shows it: text by topic. Empty where it is not installed.
    """

    root: Path
    modules: Mapping[str, Source]
    odd: tuple[Source, ...]
    topics: Mapping[str, str]

    def packages(self) -> dict[str, list[Source]]:
        """Group the modules of the packages that have at least three, by the package's name."""
        groups: dict[str, list[Source]] = {}
        for module in self.modules.values():
            groups.setdefault(module.name.partition(".")[0], []).append(module)
        return {name: group for name, group in groups.items() if len(group) >= 3}


def open_corpus(root: Path | None = None) -> Corpus:
    """Find the texts below `root` (the running Python's standard library) without reading them."""
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    modules: dict[str, Source] = {}
    odd: dict[str, list[Source]] = {}
    for source in _files(root):
        kind = _oddness(source)
        if kind is None and _is_public(source) and source.size <= _LARGEST:
            name = _module_name(source.name)
            modules[name] = Source(name, source.path, source.size)
        elif kind and source.size <= _ODD_BYTES:
            odd.setdefault(kind, []).append(source)
    return Corpus(root, modules, tuple(_spread(odd)), _topics())


def passages(source: Source, text: str) -> Iterator[Passage]:
    """Find the docstrings of a module's text: its own, those of its public classes and functions and their methods.

    Raises:
        SyntaxError: the text is not Python.
    """
    yield from _walk(ast.parse(text), source.name, source.name)


def _walk(node: _Definition, name: str, module: str) -> Iterator[Passage]:
    doc = ast.get_docstring(node)
    if doc:
        kind: Literal["module", "class", "function"]
        kind = "module" if isinstance(node, ast.Module) else "class" if isinstance(node, ast.ClassDef) else "function"
        signature = f"{name}({ast.unparse(node.args)})" if not isinstance(node, ast.Module | ast.ClassDef) else name
        yield Passage(name, module, kind, signature, doc)
    if not isinstance(node, ast.Module | ast.ClassDef):
        return
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield from _walk(child, f"{name}.{child.name}", module)


def _files(root: Path) -> Iterator[Source]:
    """Walk in the order of names, so that the same Python gives the same corpus."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _FOREIGN)
        for name in sorted(names):
            path = Path(folder, name)
            try:
                size = path.stat().st_size
            except OSError:
                continue  # a dangling link, as distributions leave some
            yield Source(path.relative_to(root).as_posix(), path, size)


def _oddness(source: Source) -> str | None:
    name = source.path.name
    if source.path.suffix != ".py":
        return "compiled" if source.path.suffix in (".pyc", ".so") else "other"
    if source.size == 0:
        return "empty"
    return "broken" if name.startswith(("bad_coding", "badsyntax")) else None


def _is_public(source: Source) -> bool:
    parts = source.name.removesuffix("/__init__.py").removesuffix(".py").split("/")
    return parts[0] not in _NOT_READ and not any(part.startswith("_") or part in ("test", "tests") for part in parts)


def _module_name(path: str) -> str:
    return path.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")


def _spread(kinds: Mapping[str, list[Source]]) -> Iterator[Source]:
    """Take a few files of each kind, evenly over the tree."""
    for kind in sorted(kinds):
        found = kinds[kind]
        step = max(1, len(found) // _ODD_PER_KIND)
        yield from found[::step][:_ODD_PER_KIND]


def _topics() -> Mapping[str, str]:
    try:
        return dict(importlib.import_module("pydoc_data.topics").topics)
    except ImportError:
        return {}  # minimal installations leave it out
