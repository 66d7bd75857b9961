"""What a model's text says of itself for people: title, description, tags.

A spec may be megabytes of values. Only the short top-level blocks that hold these texts are given
to the YAML parser, event by event: nothing is constructed and no alias is followed. A spec that
cannot be read has no summary; a run is never refused for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import yaml

MAX_TITLE = 200
MAX_DESCRIPTION = 2000
MAX_TAGS = 50
MAX_TAG = 100
RESTORED_COMMENT = "Grid and start of the run; the model itself is not part of an export."
"""First line of the spec of a restored run, which is no title."""

_MAX_HEAD_BYTES = 256 * 1024
_MAX_BLOCK_CHARACTERS = 16 * 1024
_MAX_DEPTH = 8
_MOST_NODES = 3
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BLOCK = re.compile(
    r"""^(?:metadata|title|description)[ \t]*:(?=[ \t\n]|\Z).*?(?=^[^\s#]|\Z)""",
    re.MULTILINE | re.DOTALL,
)
_NODES = re.compile(r"^nodes[ \t]*:[ \t]*\n(.*?)(?=^[^\s#-]|\Z)", re.MULTILINE | re.DOTALL)
_NODE_ID = re.compile(
    r"""^[ \t]*-[ \t]+id[ \t]*:[ \t]*["']?([A-Za-z0-9._-]{1,100})""", re.MULTILINE
)
_COMMENT = re.compile(r"\A(?:---[ \t]*\n|[ \t]*\n)*#+[ \t]*([^\n]*)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(slots=True)
class _Level:
    """A collection that the walk is in."""

    path: str
    is_mapping: bool
    key: str | None = None


@dataclass(frozen=True, slots=True)
class SpecSummary:
    """What a spec says of its model for people.

    Attributes:
        title: The title, or what FlowTime shows in its place: a description, the first comment,
            the first nodes. None where there is nothing of that.
        description: The description.
        tags: Tags of the model, each once.
    """

    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()


def summarise_spec(data: bytes) -> SpecSummary:
    """Return what a spec says of its model for people.

    Args:
        data: The bytes of spec.yaml; only the first 256 KiB are looked at.
    """
    text = data[:_MAX_HEAD_BYTES].decode("utf-8-sig", "replace").replace("\r\n", "\n")
    blocks = tuple(
        block for found in _BLOCK.finditer(text) if len(block := found[0]) <= _MAX_BLOCK_CHARACTERS
    )
    scalars = _scalars(blocks)
    title = scalars.get("metadata.title") or scalars.get("title")
    description = scalars.get("metadata.description") or scalars.get("description")
    named = (
        scalars.get("metadata.title")
        or scalars.get("metadata.description")
        or title
        or description
        or _first_comment(text)
        or _first_nodes(text)
    )
    return SpecSummary(
        title=None if named is None else named[:MAX_TITLE],
        description=None if description is None else description[:MAX_DESCRIPTION],
        tags=tuple(dict.fromkeys(_tags(blocks))),
    )


def _scalars(blocks: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, value in _values(blocks):
        text = _plain(value)
        if text not in _NULLS:
            found.setdefault(path, text)
    return found


def _tags(blocks: tuple[str, ...]) -> Iterator[str]:
    tags = (_plain(value)[:MAX_TAG] for path, value in _values(blocks) if path == "metadata.tags[]")
    for number, tag in enumerate(tag for tag in tags if tag not in _NULLS):
        if number == MAX_TAGS:
            return
        yield tag


def _values(blocks: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for block in blocks:
        yield from _parsed(block)


@lru_cache(maxsize=1024)
def _parsed(block: str) -> tuple[tuple[str, str], ...]:
    """Return the scalars of a block with their paths; the specs of a sweep share most blocks."""
    found: list[tuple[str, str]] = []
    with suppress(yaml.YAMLError):  # what was read before the fault is good
        found.extend(_walk(block))
    return tuple(found)


def _walk(block: str) -> Iterator[tuple[str, str]]:
    """Yield `a.b` and `a.b[]` paths with their scalars."""
    levels: list[_Level] = []
    for event in yaml.parse(block, Loader=_LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            levels.pop()
        elif isinstance(event, yaml.NodeEvent):
            path = _path(levels, event)
            if isinstance(event, yaml.CollectionStartEvent):
                if len(levels) >= _MAX_DEPTH:
                    return
                levels.append(_Level(path or "", isinstance(event, yaml.MappingStartEvent)))
            elif path is not None and isinstance(event, yaml.ScalarEvent):
                yield path, event.value


def _path(levels: list[_Level], event: yaml.NodeEvent) -> str | None:
    """Return the path of a value; None for a key."""
    if not levels:
        return ""
    top = levels[-1]
    if not top.is_mapping:
        return f"{top.path}[]"
    if top.key is None:
        top.key = event.value if isinstance(event, yaml.ScalarEvent) else "?"
        return None
    key, top.key = top.key, None
    return f"{top.path}.{key}" if top.path else key


def _first_comment(text: str) -> str | None:
    found = _COMMENT.match(text)
    comment = "" if found is None else _plain(found[1])
    return None if comment in ("", RESTORED_COMMENT) else comment


def _first_nodes(text: str) -> str | None:
    block = _NODES.search(text)
    if block is None:
        return None
    names = []
    for found in _NODE_ID.finditer(block[1]):
        names.append(found[1])
        if len(names) == _MOST_NODES:
            break
    return f"Model with {', '.join(names)}" if names else None


def _plain(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()
