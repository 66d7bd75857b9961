"""YAML text as a tree of plain values that know where they were written.

Nothing is constructed: parser events are read one by one, scalars follow the core schema of YAML
1.2, and depth, aliases and size are bounded before they can cost anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from pipeline.errors import ConfigError

MAX_DEPTH = 50
MAX_ALIASES = 100
MAX_NODES = 100_000
MAX_DIGITS = 64

Scalar = str | int | float | bool | None
KeyPath = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # YAML 1.2, c-printable
)
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True, slots=True)
class DocumentPosition:
    """Where something was written.

    Attributes:
        label: A file's name, or the option it was given by.
        line: Counted from 1; 0 where the label says it all.
        column: Likewise.
    """

    label: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.label}:{self.line}:{self.column}" if self.line else self.label


@dataclass(slots=True)
class Node:
    """A value of the document.

    Attributes:
        value: A scalar, or the nodes below.
        place: Where the value begins.
        key_place: Where its key begins, for a value of a mapping.
        size: Number of nodes, this one included.
        height: Number of levels, this one included.
    """

    value: Scalar | dict[str, Node] | list[Node]
    place: DocumentPosition
    key_place: DocumentPosition | None = None
    size: int = 1
    height: int = 1

    def children(self) -> Sequence[Node]:
        """Return the nodes directly below."""
        if isinstance(self.value, dict):
            return list(self.value.values())
        return self.value if isinstance(self.value, list) else ()

    def find(self, path: KeyPath) -> Node | None:
        """Return the node at a path below this one."""
        node: Node | None = self
        for part in path:
            node = node.child(part) if node is not None else None
        return node

    def child(self, part: str | int) -> Node | None:
        """Return the node under a key or an index."""
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            return self.value[part]
        return None

    def copied(self, place: DocumentPosition) -> Node:
        """Return a copy of the whole tree that begins at another place."""
        value = self.value
        if isinstance(value, dict):
            value = {key: _copied_child(child) for key, child in value.items()}
        elif isinstance(value, list):
            value = [_copied_child(child) for child in value]
        return Node(value, place, None, self.size, self.height)


def _copied_child(child: Node) -> Node:
    copy = child.copied(child.place)
    copy.key_place = child.key_place
    return copy


def node_of(value: Scalar | dict[str, Any] | list[Any], label: str) -> Node:
    """Return a document made of plain values instead of text."""
    place = DocumentPosition(label)
    if isinstance(value, dict):
        return Node({key: node_of(child, label) for key, child in value.items()}, place, place)
    if isinstance(value, list):
        return Node([node_of(child, label) for child in value], place, place)
    return Node(value, place, place)


def read_document(text: str, filename: str) -> Node:
    """Read the only document of a YAML text; its root is a mapping.

    Raises:
        ConfigError: The text is no YAML, or more than a config may use of it.
    """
    root = _compose(text, _Builder(filename))
    if root is None:
        raise ConfigError(f"{DocumentPosition(filename, 1, 1)}: the config is empty")
    if not isinstance(root.value, dict):
        raise ConfigError(f"{root.place}: expected a block of keys, e.g. version: 1")
    return root


def read_value(text: str, label: str) -> Node | None:
    """Read a YAML value that no file holds; None where there is nothing.

    Raises:
        ConfigError: The text is no YAML, or more than a config may use of it.
    """
    return _compose(text, _Builder(label, by_line=False))


def show_path(path: KeyPath) -> str:
    """Return a path for people.

    >>> show_path(("sinks", 0, "path"))
    'sinks[0].path'
    """
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            plain = part if re.fullmatch(r"[\w.@$<-]{1,60}", part) else repr(part[:60])
            shown += f".{plain}" if shown else plain
    return shown


def _compose(text: str, builder: _Builder) -> Node | None:
    bad = _FORBIDDEN.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        place = builder.place(line, column)
        raise ConfigError(f"{place}: character U+{ord(bad[0]):04X} is not allowed in YAML")
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        mistake = _syntax_error(error, text, builder)
    else:
        return builder.root
    raise mistake  # out here it takes no parser error along, which may hold the text


def _syntax_error(error: yaml.YAMLError, text: str, builder: _Builder) -> ConfigError:
    """Return what the parser says, without the excerpt it would add: that may be a secret."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = builder.place(1, 1) if mark is None else builder.place(mark.line + 1, mark.column + 1)
    problem = getattr(error, "problem", None) or "the text cannot be read"
    hint = ""
    if mark is not None and _begins_with_tab(text, mark):
        problem, hint = "a tab where only spaces may indent", "; replace tabs by spaces"
    elif mark is not None and "${" in "\n".join(text.splitlines()[: mark.line + 1][-2:]):
        hint = "; between { } or [ ], put ${...} in quotes"
    return ConfigError(f"{place}: not YAML: {problem}{hint}")


def _begins_with_tab(text: str, mark: yaml.Mark) -> bool:
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    return line[mark.column : mark.column + 1] == "\t" and not line[: mark.column].strip()


def _scalar(text: str, place: DocumentPosition) -> Scalar:
    """Return a plain scalar by the core schema of YAML 1.2: `no`, times and dates stay text."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ConfigError(f"{place}: a number of {len(text)} digits; put text in quotes")
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


@dataclass(slots=True)
class _Frame:
    """A collection that is still open."""

    node: Node
    anchor: str | None
    key: tuple[str, DocumentPosition] | None = None


@dataclass(slots=True)
class _Builder:
    """Builds the tree from parser events, within bounds."""

    label: str
    by_line: bool = True
    root: Node | None = None
    documents: int = 0
    count: int = 0
    aliases: int = 0
    anchors: dict[str, Node] = field(default_factory=dict)
    stack: list[_Frame] = field(default_factory=list)

    def place(self, line: int, column: int) -> DocumentPosition:
        return (
            DocumentPosition(self.label, line, column)
            if self.by_line
            else DocumentPosition(self.label)
        )

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        mark = event.start_mark
        place = self.place(mark.line + 1, mark.column + 1) if mark else self.place(1, 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise ConfigError(f"{place}: a second document begins; expected one only")
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._add_alias(event.anchor or "", place)
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            self._take_node(event, place)

    def _take_node(
        self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, place: DocumentPosition
    ) -> None:
        if event.tag is not None:
            raise ConfigError(
                f"{place}: tags are not allowed; put text that begins with ! in quotes"
            )
        self._count(1, place)
        if isinstance(event, yaml.ScalarEvent):
            self._take_scalar(event, place)
            return
        self._refuse_as_key(place)
        if len(self.stack) >= MAX_DEPTH:
            raise ConfigError(f"{place}: nested more than {MAX_DEPTH} levels deep")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        self.anchors.pop(event.anchor or "", None)
        self.stack.append(_Frame(Node({} if is_mapping else [], place), event.anchor))

    def _take_scalar(self, event: yaml.ScalarEvent, place: DocumentPosition) -> None:
        plain = event.implicit[0]
        if self._awaits_key():
            self._open_key(event.value, plain, place)
            return
        node = Node(_scalar(event.value, place) if plain else event.value, place)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        self._add(node)

    def _awaits_key(self) -> bool:
        top = self.stack[-1] if self.stack else None
        return top is not None and isinstance(top.node.value, dict) and top.key is None

    def _open_key(self, key: str, plain: bool, place: DocumentPosition) -> None:
        frame = self.stack[-1]
        assert isinstance(frame.node.value, dict)
        if plain and key == "<<":
            raise ConfigError(f"{place}: merge keys (<<) are not supported; write the keys out")
        if key in frame.node.value:
            raise ConfigError(f"{place}: {show_path((key,))}: this key occurs here twice")
        frame.key = (key, place)

    def _refuse_as_key(self, place: DocumentPosition) -> None:
        if self._awaits_key():
            raise ConfigError(f"{place}: expected a plain key, found a list, a block or an alias")

    def _add_alias(self, anchor: str, place: DocumentPosition) -> None:
        self._refuse_as_key(place)
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise ConfigError(f"{place}: more than {MAX_ALIASES} aliases")
        node = self.anchors.get(anchor)
        if node is None:
            inside = any(frame.anchor == anchor for frame in self.stack)
            # The name is not shown: an unquoted password may begin with an asterisk.
            reason = "refers to what contains it" if inside else "names no anchor before it"
            raise ConfigError(f"{place}: the alias {reason}; put text that begins with * in quotes")
        if len(self.stack) + node.height > MAX_DEPTH + 1:
            raise ConfigError(f"{place}: nested more than {MAX_DEPTH} levels deep")
        self._count(node.size, place)
        self._add(node.copied(place))

    def _count(self, nodes: int, place: DocumentPosition) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            raise ConfigError(f"{place}: more than {MAX_NODES} values, aliases written out")

    def _close(self) -> None:
        frame = self.stack.pop()
        node = frame.node
        children = node.children()
        node.size = 1 + sum(child.size for child in children)
        node.height = 1 + max((child.height for child in children), default=0)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = node
        self._add(node)

    def _add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        if isinstance(frame.node.value, list):
            frame.node.value.append(node)
        elif isinstance(frame.node.value, dict) and frame.key is not None:
            key, node.key_place = frame.key
            frame.node.value[key] = node
            frame.key = None
