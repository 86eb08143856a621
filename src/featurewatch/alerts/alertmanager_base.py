"""An operator's own Alertmanager configuration, read so that it can be written again meaning the same. Pure.

YAML's nodes are kept, not values: what is plain stays plain and what is quoted stays quoted, since Alertmanager reads
`17:00` or `yes` otherwise than a YAML library for Python does. Only comments and layout are lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ..errors import SettingsError

__all__ = ["NOBODY", "Base", "default_base", "read_base"]

NOBODY: Final = "featurewatch-nobody"

_DEFAULT: Final = f"""\
route:
  receiver: {NOBODY}
receivers:
  - name: {NOBODY}
"""

_STRING: Final = "tag:yaml.org,2002:str"
_HTTP_FILES: Final = frozenset(
    {"ca_file", "cert_file", "key_file", "password_file", "username_file", "credentials_file", "bearer_token_file",
     "client_secret_file", "client_certificate_key_file"}
)  # fmt: skip
"""Files within an http_config: Alertmanager finds these, and templates, beside the configuration; all others from
where it was started, which stays the same wherever the configuration lies.
https://github.com/prometheus/alertmanager/blob/main/config/config.go (resolveFilepaths)
"""


class Base:
    """A configuration that routes and receivers can be added to."""

    def __init__(self, root: MappingNode) -> None:
        self._root = root

    @property
    def receivers(self) -> frozenset[str]:
        """The names of its receivers."""
        return frozenset(_scalar(_get(receiver, "name")) for receiver in _items(_get(self._root, "receivers")))

    @property
    def http_config(self) -> dict[str, Any]:
        """Its `global.http_config` without credentials: the proxy and certificates by which the outside is reached."""
        told = _plain(_get(_get(self._root, "global"), "http_config"))
        secret = ("authorization", "basic_auth", "oauth2", "bearer_token", "bearer_token_file")
        return {name: value for name, value in told.items() if name not in secret} if isinstance(told, dict) else {}

    def option(self, name: str) -> str:
        """Return an option of its `global` section as text, "" where it is not set."""
        return _scalar(_get(_get(self._root, "global"), name))

    def add(self, *, routes: Sequence[Any], receivers: Sequence[Any], inhibit_rules: Sequence[Any], header: str) -> str:
        """Write the configuration with routes placed first under its own root, and the others after its own."""
        root = self._root
        route = _get(root, "route")
        assert isinstance(route, MappingNode)
        merged = _with(
            root,
            {
                "route": _with(route, {"routes": _joined([_node(routes), _get(route, "routes")])}),
                "receivers": _joined([_get(root, "receivers"), _node(receivers)]),
                "inhibit_rules": _joined([_get(root, "inhibit_rules"), _node(inhibit_rules)]),
            },
        )
        text: str = yaml.serialize(merged, Dumper=yaml.SafeDumper, allow_unicode=True, width=10_000)
        return header + text


def default_base() -> Base:
    """Return the configuration to which ours is added where there is no other: what is not ours reaches nobody."""
    return read_base(_DEFAULT, PurePath("/"), "the default")


def read_base(text: str, folder: PurePath, what: str) -> Base:
    """Read a configuration; paths that are relative to its own place become absolute.

    Args:
        folder: where it lies.
        what: its name in messages.

    Raises:
        SettingsError: it is none; one line says what is wrong and where.
    """
    try:
        return _read(text, folder, what)
    except RecursionError:
        raise SettingsError(f"{what} is nested too deep, or within itself; the last good one stays") from None


def _read(text: str, folder: PurePath, what: str) -> Base:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark
        place = f" at line {at.line + 1}, column {at.column + 1}" if at is not None else ""
        raise SettingsError(
            f"{what} is not valid YAML: {error.problem}{place}; the last good configuration stays"
        ) from None
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{what} is not valid YAML: {' '.join(str(error).split())}; the last good one stays"
        ) from None
    wrong = _wrong(root)
    if wrong:
        raise SettingsError(f"{what} is no configuration of Alertmanager: {wrong}; the last good one stays")
    assert isinstance(root, MappingNode)
    _make_absolute(root, folder)
    _in_blocks(root)
    return Base(root)


def _wrong(root: Node | None) -> str:
    """Say what of the shape is missing to which ours is added."""
    if not isinstance(root, MappingNode):
        return "expected a mapping with route and receivers"
    if twice := _twice(root):
        return f"{twice} is there twice"
    route = _get(root, "route")
    if not isinstance(route, MappingNode):
        return "expected route, the root of its routes"
    receiver = _scalar(_get(route, "receiver"))
    if not receiver:
        return "expected route.receiver, who is told of what no route matches"
    for name, parent in (("routes", route), ("receivers", root), ("inhibit_rules", root)):
        node = _get(parent, name)
        if node is not None and not isinstance(node, SequenceNode) and not _is_null(node):
            return f"expected {name} as a list"
    names = [_scalar(_get(each, "name")) for each in _items(_get(root, "receivers"))]
    if receiver not in names:
        return f"route.receiver is {receiver!r}, which is none of its receivers"
    if "" in names:
        return "expected each receiver with a name"
    ours = [name for name in names if name.startswith("featurewatch/")]
    return f"its receiver {ours[0]!r} has a name that we use: give it another" if ours else ""


def _twice(root: MappingNode) -> str:
    names = [_scalar(key) for key, _ in root.value]
    return next((name for name in names if names.count(name) > 1), "")


def _in_blocks(node: Node) -> None:
    """Write no collection in braces: there a plain `17:00` would have to be quoted, and with that another value."""
    if isinstance(node, MappingNode | SequenceNode) and node.flow_style:
        node.flow_style = False
    for child in node.value if isinstance(node, SequenceNode) else ():
        _in_blocks(child)
    for pair in node.value if isinstance(node, MappingNode) else ():
        _in_blocks(pair[1])


def _make_absolute(root: MappingNode, folder: PurePath) -> None:
    for template in _items(_get(root, "templates")):
        _absolute(template, folder)
    for node in _http_configs(root):
        for name, value in _walk(node):
            if name in _HTTP_FILES:
                _absolute(value, folder)


def _absolute(node: Node, folder: PurePath) -> None:
    if isinstance(node, ScalarNode) and node.value and not PurePath(node.value).is_absolute():
        node.value = str(folder / node.value)
        node.tag = _STRING


def _http_configs(root: MappingNode) -> Iterator[Node]:
    for name, value in _walk(root):
        if name == "http_config":
            yield value


def _walk(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield every pair of a mapping below a node; what an alias repeats comes as often."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield _scalar(key), value
            yield from _walk(value)
    elif isinstance(node, SequenceNode):
        for value in node.value:
            yield from _walk(value)


def _get(node: Node | None, name: str) -> Node | None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if _scalar(key) == name:
                found: Node = value
                return found
            if _scalar(key) == "<<" and (merged := _get(value, name)) is not None:
                return merged
    return None


def _items(node: Node | None) -> list[Node]:
    return list(node.value) if isinstance(node, SequenceNode) else []


def _scalar(node: Node | None) -> str:
    return str(node.value) if isinstance(node, ScalarNode) and not _is_null(node) else ""


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _plain(node: Node | None) -> Any:
    if node is None:
        return None
    return yaml.SafeLoader("").construct_document(node)


def _node(value: Any) -> Node:
    # Without aliases: each of ours is written out where it stands.
    dumper = yaml.SafeDumper(stream=_Nowhere(), sort_keys=False)
    dumper.ignore_aliases = lambda data: True  # type: ignore[method-assign]  # how PyYAML is told so
    node: Node = dumper.represent_data(value)
    return node


class _Nowhere:
    def write(self, text: str) -> None:
        raise AssertionError("a representer writes nothing")


def _joined(lists: Sequence[Node | None]) -> SequenceNode:
    return SequenceNode("tag:yaml.org,2002:seq", [item for each in lists for item in _items(each)], flow_style=False)


def _with(node: MappingNode, changes: dict[str, Node]) -> MappingNode:
    """Return a mapping with some of its values replaced, or added at its end."""
    left = dict(changes)
    pairs = [(key, left.pop(_scalar(key), value)) for key, value in node.value]
    pairs += [(ScalarNode(_STRING, name), value) for name, value in left.items()]
    return MappingNode(node.tag, pairs, flow_style=False)
