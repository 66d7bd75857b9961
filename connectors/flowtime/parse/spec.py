"""What spec.yaml says of a run's start in time, read without loading the model.

A spec can be megabytes of values, of which a handful of scalars matter. So the top-level blocks
that hold them are cut out as text, and only these are given to the YAML parser, event by event:
nothing is constructed, no tag is obeyed, no alias is followed, and depth and size are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

import yaml

from connectors.errors import RunError
from connectors.flowtime.model.instant import names_offset, parse_instant
from connectors.flowtime.parse.time_frame import TimeDeclaration, odd_declarations

SPEC_FILE = "spec.yaml"
MAX_BLOCK_BYTES = 64 * 1024
MAX_WHOLE_BYTES = 1024 * 1024
MAX_DEPTH = 64
START_KEYS = ("grid.start", "grid.startTimeUtc", "window.start", "window.startTimeUtc")
"""What may name the start of bin 0; of several, the first one counts."""
_MOST_REMEMBERED = 4096  # characters of a block

_TITLE_KEYS = ("title", "metadata.title")
_TEXT_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_KEY = re.compile(r"""^(["']?)(grid|window|title|metadata)\1[ \t]*:(?=[ \t\n]|\Z)""", re.MULTILINE)
_MODEL_KEY = re.compile(r"""^(["']?)(grid|nodes)\1[ \t]*:(?=[ \t\n]|\Z)""", re.MULTILINE)
_FLOW_KEY = re.compile(r"""(["']?)\b(grid|nodes)\1\s*:""")
_WHOLE_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]| ?[+-][0-9]{2}:?[0-9]{2})"
)
_NEXT_KEY = re.compile(r"^[^\s#]", re.MULTILINE)
_PREAMBLE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n|%[^\n]*\n|---[ \t]*(?:#[^\n]*)?\n)*")


@dataclass(frozen=True, slots=True)
class Spec:
    """The few facts of a spec.yaml that an export needs.

    Attributes:
        start: Start of bin 0, UTC, or None where the spec names none.
        start_key: The key that named it, e.g. `grid.start`.
        start_is_utc: Whether that says its offset from UTC.
        declared: Time zones other than UTC, and alignments other than left.
        title: The model's title, or None.
        notes: What a reader of the report should know.
    """

    start: datetime | None = None
    start_key: str | None = None
    start_is_utc: bool = False
    declared: tuple[TimeDeclaration, ...] = ()
    title: str | None = None
    notes: tuple[str, ...] = ()


def read_spec(data: bytes, *, want_start: bool = True) -> Spec:
    """Read the start in time and the title off a spec.

    Args:
        data: The file's bytes.
        want_start: False where the start is known otherwise; then no start is refused.

    Raises:
        RunError: The spec may name a start, but which one cannot be told: it cannot be read, or
            it was not written whole.
    """
    names_start = want_start and (b"start" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"))
    text = _decode(data, required=names_start)
    if text is None:
        if want_start:
            refuse_cut_off(data.decode("utf-8", errors="replace"))
        return Spec(notes=(f"{SPEC_FILE} is not UTF-8; it was not read",))
    found = _start(text) if want_start else Spec()
    if want_start and found.start is None:
        refuse_cut_off(text)
    return replace(found, title=_title(text) if "title" in text else None)


def _decode(data: bytes, *, required: bool) -> str | None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        if required:
            raise RunError(
                "is not UTF-8, so its start in time cannot be read; "
                "save it as UTF-8 or set source.time_origin",
                file=SPEC_FILE,
            ) from exc
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _start(text: str) -> Spec:
    if not any(word in text for word in ("start", "timezone", "align")):
        return Spec()
    scalars = _scalars(text, ("grid", "window"))
    declared = tuple(_declared(scalars))
    named = [(key, scalars[key]) for key in START_KEYS if key in scalars]
    known = [(key, scalar) for key, scalar in named if not _is_null(scalar)]
    for key, scalar in known:
        _refuse_cut_value(text, key, scalar)
    starts = [(key, _instant_of(key, scalar)) for key, scalar in known]
    if not starts:
        return Spec(declared=declared)
    key, start = starts[0]
    notes = [
        f"{SPEC_FILE}: {other} ({value.isoformat()}) differs from {key}, which is used"
        for other, value in starts[1:]
        if value != start
    ]
    is_utc = key.endswith("Utc") or names_offset(known[0][1].value)
    return Spec(start, key, is_utc, declared, notes=tuple(notes))


def _declared(scalars: Mapping[str, yaml.ScalarEvent]) -> Iterator[TimeDeclaration]:
    for block in ("grid", "window"):
        values = [scalars.get(f"{block}.{key}") for key in ("timezone", "align")]
        texts = [None if one is None or _is_null(one) else one.value for one in values]
        yield from odd_declarations(SPEC_FILE, block, *texts)


def _refuse_cut_value(text: str, key: str, scalar: yaml.ScalarEvent) -> None:
    """Refuse a start that may have gone on where the file ends."""
    ends_here = not scalar.style and text.endswith(scalar.value)
    if ends_here and not _WHOLE_INSTANT.fullmatch(scalar.value):
        raise RunError(
            f"ends in the middle of {key}, {_clip(scalar.value)}, so it seems cut off; restore it, "
            "or set source.time_origin",
            file=SPEC_FILE,
        )


def refuse_cut_off(text: str) -> None:
    """Refuse a spec without a start that was not written whole: the start may be missing from it.

    A model has a grid and nodes, and ends where its YAML may end.

    Raises:
        RunError: It lacks one of these, or breaks off.
    """
    is_block_style = _is_block_style(text)
    found = {match[2] for match in (_MODEL_KEY if is_block_style else _FLOW_KEY).finditer(text)}
    missing = [key for key in ("grid", "nodes") if key not in found]
    if not text.strip():
        reason = "is empty"
    elif missing:
        reason = f"has no {' and no '.join(missing)}, which every model has"
    elif _breaks_off(text, is_block_style=is_block_style):
        reason = "breaks off"
    elif is_block_style and _ends_in_a_beginning_of_grid(text):
        reason = "ends in its grid before the number of bins"
    else:
        return
    raise RunError(
        f"{reason}, so it was not written whole, and the start in time may be missing; restore it, "
        "or set source.time_origin",
        file=SPEC_FILE,
    )


def _breaks_off(text: str, *, is_block_style: bool) -> bool:
    """Whether the last block, and the whole with it, is no YAML."""
    parts = [text]
    if is_block_style:
        keys = [match.start() for match in _NEXT_KEY.finditer(text)]
        last = text[keys[-1] :] if keys else text
        parts = [last, text] if len(last) <= MAX_BLOCK_BYTES else []
    # A block that begins with what belongs to the one before it is no YAML on its own.
    return bool(parts) and not any(_is_yaml(part) for part in parts)


def _ends_in_a_beginning_of_grid(text: str) -> bool:
    *_, last = _NEXT_KEY.finditer(text)
    block = text[last.start() :]
    begins = _MODEL_KEY.match(block)
    is_grid = begins is not None and begins[2] == "grid"
    return is_grid and "grid.bins" not in _scalars(block, ("grid",))


def _is_yaml(text: str) -> bool:
    if len(text) > MAX_WHOLE_BYTES:
        return True
    try:
        for _ in yaml.parse(text, Loader=_LOADER):
            pass
    except yaml.YAMLError:
        return False
    return True


def _instant_of(key: str, scalar: yaml.ScalarEvent) -> datetime:
    instant = parse_instant(scalar.value) if scalar.tag in _TEXT_TAGS else None
    if instant is None:
        raise RunError(
            f"{key}: found {_clip(scalar.value)}, should be an ISO 8601 instant such as "
            "2025-01-01T00:00:00Z; mend it or set source.time_origin",
            file=SPEC_FILE,
        )
    return instant


def _title(text: str) -> str | None:
    # A title is a courtesy: a spec in which it cannot be read is not refused for it.
    try:
        scalars = _scalars(text, ("title", "metadata"))
    except RunError:
        return None
    titles = (scalars[key].value.strip() for key in _TITLE_KEYS if key in scalars)
    return next((title for title in titles if title and title not in _NULLS), None)


def _is_null(scalar: yaml.ScalarEvent) -> bool:
    return not scalar.style and scalar.value in _NULLS


def _scalars(text: str, names: tuple[str, ...]) -> dict[str, yaml.ScalarEvent]:
    """The scalars `name` and `name.key` of the top-level blocks that are named."""
    if _is_block_style(text):
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
    """The scalars of a block, from memory where an equal one has been read.

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


def _is_block_style(text: str) -> bool:
    preamble = _PREAMBLE.match(text)
    root = text[preamble.end() if preamble else 0 :][:3]
    return root != "---" and not root.startswith((" ", "\t", "{", "[", "?", "&", "!"))


def _blocks(text: str, names: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and text of each block, from its key in column 0 to the next."""
    for key in _KEY.finditer(text):
        if key.group(2) not in names:
            continue
        following = _NEXT_KEY.search(text, key.end())
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
    """Yield the scalars that stand at most two mappings deep, with their path."""
    levels: list[_Level] = []
    try:
        for event in yaml.parse(text, Loader=_LOADER):
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
            f"is not YAML: {getattr(exc, 'problem', None) or exc}; mend it or set "
            "source.time_origin",
            file=SPEC_FILE,
            line=first_line + mark.line + 1 if mark is not None else None,
        ) from exc


def _place(levels: list[_Level], event: yaml.NodeEvent) -> str | None:
    """The path of a value; None for a key and for whatever lies too deep to matter."""
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


def _clip(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
