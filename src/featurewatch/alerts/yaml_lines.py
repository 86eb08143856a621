"""YAML that people wrote, read safely, with the line of everything that it says. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from ..errors import BadInput

__all__ = ["Document", "Path", "read_yaml"]

Path: TypeAlias = tuple[str | int, ...]
"""Where something stands: keys and indexes from the top."""

MOST_BYTES: Final = 10 * 1024**2
_MOST_NODES: Final = 500_000
_DEEPEST: Final = 30
"""With aliases a small file can stand for a huge one, or for one without end."""

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Document(NamedTuple):
    """What a file says, and at which line each part of it begins."""

    value: Any
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """Return the line of a part, or of what it would be in."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_yaml(text: str, *, name: str) -> list[Document]:
    """Read the documents of a file; `name` is what messages call it. No tag makes anything but plain data.

    Raises:
        BadInput: it is no YAML, too large, or says a key twice; the message names the line.
    """
    if len(text) > MOST_BYTES:
        raise BadInput(f"{name}: expected at most {MOST_BYTES // 1024**2} MiB")
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
        found = []
        for node in nodes:
            lines = dict(_walk(node, name))
            found.append(Document(_construct(node), lines))
        return found
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}" if mark else ""
        raise BadInput(f"{name}{at}: this is no YAML: {_line(error.problem or error.context or error)}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise BadInput(f"{name}: this is no YAML: {_line(error)}") from None
    except RecursionError:
        raise BadInput(f"{name}: it is nested too deep") from None


def _construct(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _walk(root: yaml.Node, name: str) -> Iterator[tuple[Path, int]]:
    waiting: list[tuple[Path, yaml.Node, int]] = [((), root, root.start_mark.line + 1)]
    count = 0
    while waiting:
        path, node, line = waiting.pop()
        count += 1
        if count > _MOST_NODES:
            raise BadInput(f"{name}: it says more than {_MOST_NODES} things")
        if len(path) > _DEEPEST:
            raise BadInput(f"{name}:{line}: it is nested too deep")
        yield path, line
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                word, at = str(key.value) if isinstance(key, yaml.ScalarNode) else "", key.start_mark.line + 1
                if word in seen and word != "<<":
                    raise BadInput(f"{name}:{at}: {word!r} is said twice")
                seen.add(word)
                waiting.append(((*path, word), value, at))
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*path, at), one, one.start_mark.line + 1) for at, one in enumerate(node.value)]


def _line(words: Any) -> str:
    return " ".join(str(words).split())[:200]
