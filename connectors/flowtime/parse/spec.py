"""Read a run's start in time and its title from spec.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

import yaml

from connectors.errors import RunError
from connectors.flowtime.model.instant import names_offset, parse_instant
from connectors.flowtime.parse.spec_completeness import refuse_cut_off
from connectors.flowtime.parse.spec_scalars import SPEC_FILE, START_KEYS, clip_text, scalars
from connectors.flowtime.parse.time_frame import TimeDeclaration, odd_declarations

_TITLE_KEYS = ("title", "metadata.title")
_TEXT_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})
_MOST_REMEMBERED = 4096  # characters of a spec
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})

_WHOLE_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]| ?[+-][0-9]{2}:?[0-9]{2})"
)


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
        RunError: The spec may name a start, but which one is unknown: it cannot be read, or
            it was not written whole.
    """
    names_start = want_start and (b"start" in data or data[:2] in (b"\xff\xfe", b"\xfe\xff"))
    text = _decode(data, required=names_start)
    if text is None:
        if want_start:
            refuse_cut_off(data.decode("utf-8", errors="replace"))
        return Spec(notes=(f"{SPEC_FILE} is not UTF-8; it was not read",))
    return (_remembered if len(text) <= _MOST_REMEMBERED else _read)(text, want_start)


def _read(text: str, want_start: bool) -> Spec:
    found = _start(text) if want_start else Spec()
    if want_start and found.start is None:
        refuse_cut_off(text)
    return replace(found, title=_title(text) if "title" in text else None)


_remembered = lru_cache(maxsize=256)(_read)
"""Likewise, for specs that recur in run after run."""


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
    found = scalars(text, ("grid", "window"))
    declared = tuple(_declared(found))
    named = [(key, found[key]) for key in START_KEYS if key in found]
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


def _declared(found: Mapping[str, yaml.ScalarEvent]) -> Iterator[TimeDeclaration]:
    for block in ("grid", "window"):
        values = [found.get(f"{block}.{key}") for key in ("timezone", "align")]
        texts = [None if one is None or _is_null(one) else one.value for one in values]
        yield from odd_declarations(SPEC_FILE, block, *texts)


def _refuse_cut_value(text: str, key: str, scalar: yaml.ScalarEvent) -> None:
    """Refuse a start that may have gone on where the file ends."""
    ends_here = not scalar.style and text.endswith(scalar.value)
    if ends_here and not _WHOLE_INSTANT.fullmatch(scalar.value):
        raise RunError(
            f"ends in the middle of {key}, {clip_text(scalar.value)}, so it seems cut off; "
            "restore it, or set source.time_origin",
            file=SPEC_FILE,
        )


def _instant_of(key: str, scalar: yaml.ScalarEvent) -> datetime:
    instant = parse_instant(scalar.value) if scalar.tag in _TEXT_TAGS else None
    if instant is None:
        raise RunError(
            f"{key}: found {clip_text(scalar.value)}, should be an ISO 8601 instant such as "
            "2025-01-01T00:00:00Z; correct it or set source.time_origin",
            file=SPEC_FILE,
        )
    return instant


def _title(text: str) -> str | None:
    # A title is a courtesy: a spec in which it cannot be read is not refused for it.
    try:
        found = scalars(text, ("title", "metadata"))
    except RunError:
        return None
    named = (found[key] for key in _TITLE_KEYS if key in found)
    titles = (scalar.value.strip() for scalar in named if not _is_null(scalar))
    return next((title for title in titles if title), None)


def _is_null(scalar: yaml.ScalarEvent) -> bool:
    return not scalar.style and scalar.value in _NULLS
