"""Apply settings of the command line over those of the document."""

from __future__ import annotations

import re

from pipeline.config.document import (
    MAX_DEPTH,
    DocumentPosition,
    KeyPath,
    Node,
    read_value,
    show_path,
)
from pipeline.errors import ConfigError
from pipeline.sinks.sink import STDOUT

_SEGMENT = re.compile(r"(?:^|\.)([^.\[\]=]+)|\[([0-9]+)\]")
_TEMPLATE = re.compile(r"\{[a-z_]+\}")


def apply_override(
    root: Node, override: str, *, option: str = "--set", below: KeyPath = ()
) -> None:
    """Lay one `key.path=value` over a document, the value being YAML.

    Args:
        root: The document, which is changed.
        override: The path with its value.
        option: Command line option that it was given by.
        below: Where the path begins.

    Raises:
        ConfigError: The path leads nowhere, or the value is no YAML.
    """
    name, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"{option}: expected KEY=VALUE, found no '='")
    label = DocumentPosition(f"{option} {name.strip()[:200]}")
    path = (*below, *_parse_path(name.strip(), label))
    # `{run_url}/gold` is a path to fill in, not a mapping; `-` is standard output, not a list.
    if _TEMPLATE.match(text) or text.strip() == STDOUT:
        node: Node | None = Node(text.strip(), label)
    else:
        node = read_value(text, label.label)
    value = node or Node(None, label)
    value.key_place = label
    _put(root, path, value, label)


def _parse_path(name: str, label: DocumentPosition) -> KeyPath:
    parts: list[str | int] = []
    end = 0
    for match in _SEGMENT.finditer(name):
        if match.start() != end:
            break
        end = match.end()
        word = match[1] or match[2]
        parts.append(int(word) if word.isdecimal() and len(word) < 7 else word)
    if not parts or end != len(name) or isinstance(parts[0], int):
        raise ConfigError(f"{label}: expected a path such as sinks.0.path before '='")
    if len(parts) > MAX_DEPTH:
        raise ConfigError(f"{label}: the path has {len(parts)} parts, at most {MAX_DEPTH}")
    return tuple(parts)


def _put(root: Node, path: KeyPath, value: Node, label: DocumentPosition) -> None:
    node = root
    for depth, part in enumerate(path[:-1]):
        child = node.child(part)
        if child is None or child.value is None:
            child = Node({}, label, label)
            _assign(node, part, child, path[:depth], label)
        node = child
    _assign(node, path[-1], value, path[:-1], label)


def _assign(
    node: Node, part: str | int, child: Node, parent: KeyPath, label: DocumentPosition
) -> None:
    if isinstance(node.value, dict):
        node.value[str(part)] = child
    elif not isinstance(node.value, list):
        raise ConfigError(f"{label}: {show_path(parent)} is a single value, with nothing below it")
    elif not isinstance(part, int):
        raise ConfigError(f"{label}: {show_path(parent)} is a list: expected a number, not a key")
    elif part >= len(node.value):
        entries = f"it has {len(node.value)}, counted from 0"
        raise ConfigError(f"{label}: {show_path(parent)} has no entry {part}; {entries}")
    else:
        node.value[part] = child
