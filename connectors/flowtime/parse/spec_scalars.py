"""Read single scalars off a spec.yaml without loading the model.

A spec can be megabytes of values, of which a handful of scalars matter. So the top-level blocks
that hold them are cut out as text, and only these are given to the YAML parser, event by event:
nothing is constructed, no tag is obeyed, no alias is followed, and depth and size are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import yaml

from connectors.errors import RunError

SPEC_FILE = "spec.yaml"
MAX_BLOCK_BYTES = 64 * 1024
MAX_WHOLE_BYTES = 1024 * 1024
MAX_DEPTH = 64
START_KEYS = ("grid.start", "grid.startTimeUtc", "window.start", "window.startTimeUtc")
"""What may name the start of bin 0; of several, the first one counts."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NEXT_KEY = re.compile(r"^[^\s#]", re.MULTILINE)
"""Where a top-level block begins."""
_MOST_REMEMBERED = 4096  # characters of a block

_KEY = re.compile(r"""^(["']?)(grid|window|title|metadata)\1[ \t]*:(?=[ \t\n]|\Z)""", re.MULTILINE)
_PREAMBLE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n|%[^\n]*\n|---[ \t]*(?:#[^\n]*)?\n)*")


def scalars(text: str, names: tuple[str, ...]) -> dict[str, yaml.ScalarEvent]:
    """Return the scalars `name` and `name.key` of the top-level blocks that are named."""
    if is_block_style(text):
        blocks = _blocks(text, names)
    elif len(text) <= MAX_WHOLE_BYTES:
        blocks = iter([(0, text)])
    else:
        raise RunError(
            f"is not in block style and longer than {MAX_WHOLE_BYTES} bytes, so its start cannot "
            "be read; set source.time_origin",
            file=SPEC_FILE,
        )
    found: dict[str, yaml.ScalarEvent] = {}
    for line, block in blocks:
        for key, scalar in _read_block(block, line, names):
            if key in found:
                raise RunError(
                    f"{key} is there twice; remove one or set source.time_origin",
                    file=SPEC_FILE,
                )
            found[key] = scalar
    return found


def _read_block(
    block: str, line: int, names: tuple[str, ...]
) -> Iterable[tuple[str, yaml.ScalarEvent]]:
    """Return the scalars of a block, from memory where an equal one has been read.

    The specs of a sweep differ in their values, seldom in their grid or title.
    """
    if len(block) > _MOST_REMEMBERED:
        return _walk(block, line, names)
    try:
        return _remembered(block, names)
    except RunError:
        return _walk(block, line, names)  # Fails again, now with the line of the whole file.


@lru_cache(maxsize=1024)
def _remembered(block: str, names: tuple[str, ...]) -> tuple[tuple[str, yaml.ScalarEvent], ...]:
    return tuple(_walk(block, 0, names))


def is_block_style(text: str) -> bool:
    """Return whether the top level is written as keys at the beginning of lines."""
    preamble = _PREAMBLE.match(text)
    root = text[preamble.end() if preamble else 0 :][:3]
    return root != "---" and not root.startswith((" ", "\t", "{", "[", "?", "&", "!"))


def _blocks(text: str, names: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield line and text of each block, from its key in column 0 to the next."""
    for key in _KEY.finditer(text):
        if key.group(2) not in names:
            continue
        following = NEXT_KEY.search(text, key.end())
        block = text[key.start() : following.start() if following else len(text)]
        if len(block) > MAX_BLOCK_BYTES:
            raise RunError(
                f"{key.group(2)} is longer than {MAX_BLOCK_BYTES} bytes, so it is not read; "
                "set source.time_origin",
                file=SPEC_FILE,
            )
        yield text.count("\n", 0, key.start()), block


@dataclass(slots=True)
class _Level:
    """A collection that the walk is in: its path, or None where nothing in it matters."""

    path: str | None
    is_mapping: bool
    key: str | None = None
    key_is_next: bool = True


def _walk(
    text: str, first_line: int, names: tuple[str, ...]
) -> Iterator[tuple[str, yaml.ScalarEvent]]:
    """Yield the scalars that are at most two mappings deep, with their path."""
    levels: list[_Level] = []
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.CollectionEndEvent):
                levels.pop()
            elif isinstance(event, yaml.NodeEvent):
                path = _place(levels, event)
                if isinstance(event, yaml.CollectionStartEvent):
                    _descend(levels, path, isinstance(event, yaml.MappingStartEvent))
                elif path and path.split(".")[0] in names:
                    if not isinstance(event, yaml.ScalarEvent):
                        raise RunError(f"{path} is an alias; write it out", file=SPEC_FILE)
                    yield path, event
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        raise RunError(
            f"is not YAML: {getattr(exc, 'problem', None) or exc}; correct it or set "
            "source.time_origin",
            file=SPEC_FILE,
            line=first_line + mark.line + 1 if mark is not None else None,
        ) from exc


def _place(levels: list[_Level], event: yaml.NodeEvent) -> str | None:
    """Return the path of a value; None for a key and for whatever lies too deep to matter."""
    if not levels:
        return ""
    top = levels[-1]
    if not top.is_mapping:
        return None
    if top.key_is_next:
        top.key = event.value if isinstance(event, yaml.ScalarEvent) else None
        top.key_is_next = False
        if top.key == "<<" and top.path in ("grid", "window"):
            raise RunError(
                f"{top.path} merges another block; write its keys out or set source.time_origin",
                file=SPEC_FILE,
            )
        return None
    top.key_is_next = True
    if top.path is None or top.key is None or "." in top.path or "." in top.key:
        return None
    return f"{top.path}.{top.key}" if top.path else top.key


def _descend(levels: list[_Level], path: str | None, is_mapping: bool) -> None:
    if len(levels) >= MAX_DEPTH:
        raise RunError(f"is nested deeper than {MAX_DEPTH} levels", file=SPEC_FILE)
    if path in START_KEYS:
        raise RunError(
            f"{path}: found a list or a mapping, should be an ISO 8601 instant", file=SPEC_FILE
        )
    levels.append(_Level(path, is_mapping))


def clip_text(text: str) -> str:
    """Return a text of a spec for a message."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
