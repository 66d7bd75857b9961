"""Check the series of an index against the manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

from connectors.errors import IntegrityError, RunError
from connectors.flowtime.model.run import NEVER_READ_FOLDERS, Grid
from connectors.flowtime.model.series import DEFAULT_CLASS, FileDigest, SeriesId, SeriesSpec
from connectors.flowtime.model.series_table import SeriesShape, SeriesTable
from connectors.flowtime.parse.schema import NAME, IndexedSeries, clip, shown

MANIFEST_FILE = "manifest.json"
INDEX_FILE = "series/index.json"

MAX_TEXT = 512
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that no text of a run may hold."""

_HASH = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
_USUAL_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_REMEMBERED = 4096
_REMEMBERED_RUNS = 64


def all_series(
    entries: list[IndexedSeries], hashes: Mapping[str, Any], grid: Grid, sizes: Mapping[str, int]
) -> SeriesTable:
    """Return the series that the entries of an index describe, in their order.

    Args:
        entries: The entries.
        hashes: `seriesHashes` of the manifest.
        grid: The run's grid.
        sizes: Path relative to the run directory → bytes of every file that is there.

    Raises:
        RunError: An entry is not as it should be, or index and manifest name different series.
        IntegrityError: Manifest and index promise different bytes for one series.
    """
    checked = tuple(_checked(entry, grid) for entry in entries)
    promised = [
        _sha256(hashes.get(entry.id), entry.hash, one.id)
        for entry, one in zip(entries, checked, strict=True)
    ]
    paths = tuple(_found_path(one, sizes) for one in checked)
    shape = _shape(checked, paths, grid.bins)
    if hashes:
        _check_same_ids({one.id for one in checked}, hashes)
    return SeriesTable(shape, map(FileDigest, promised, map(sizes.get, paths)))


def _check_distinct(entries: Sequence[IndexEntry], paths: Sequence[str]) -> None:
    owners: dict[str, str] = {}
    ids: set[str] = set()
    for one, path in zip(entries, paths, strict=True):
        if one.id in ids:
            raise RunError("is listed twice", file=INDEX_FILE, series=one.id)
        ids.add(one.id)
        if owners.setdefault(path, one.id) != one.id:
            raise RunError(
                f"path: {path} belongs to series {owners[path]} already",
                file=INDEX_FILE,
                series=one.id,
            )


def _check_same_ids(ids: set[str], hashes: Mapping[str, Any]) -> None:
    if hashes.keys() == ids:
        return
    unlisted, unhashed = sorted(hashes.keys() - ids), sorted(ids - hashes.keys())
    odd = []
    if unlisted:
        odd.append(f"names series that {INDEX_FILE} does not list: {names_of(unlisted)}")
    if unhashed:
        odd.append(f"lacks series that {INDEX_FILE} lists: {names_of(unhashed)}")
    if odd:
        raise RunError(
            f"seriesHashes: {', and '.join(odd)}; one of the files is of another run",
            file=MANIFEST_FILE,
        )


class IndexEntry(NamedTuple):
    """What an entry of the index says that is the same in run after run.

    Attributes:
        paths: Where the file may be, the likeliest first; the last where it is nowhere.
    """

    id: str
    measure: str
    component: str | None
    class_name: str
    kind: str | None
    unit: str | None
    class_kind: str | None
    paths: tuple[str, ...]


def _checked(entry: IndexedSeries, grid: Grid) -> IndexEntry:
    found = _entry_facts(
        entry.id,
        entry.component_id,
        entry.class_name,
        entry.kind,
        entry.unit,
        entry.class_kind,
        entry.path,
    )
    if entry.points is not None and entry.points != grid.bins:
        raise RunError(
            f"points: found {entry.points}, should be the grid's {grid.bins} bins",
            file=INDEX_FILE,
            series=found.id,
        )
    return found


def _found_path(entry: IndexEntry, sizes: Mapping[str, int]) -> str:
    if entry.paths[0] in sizes:
        return entry.paths[0]
    return next((one for one in entry.paths if one in sizes), entry.paths[-1])


@lru_cache(maxsize=_REMEMBERED_RUNS)
def _shape(entries: tuple[IndexEntry, ...], paths: tuple[str, ...], bins: int) -> SeriesShape:
    """Return what the series of an index are; one object for all runs that have the same ones.

    Raises:
        RunError: Two series share an id or a file.
    """
    _check_distinct(entries, paths)
    specs = (
        SeriesSpec(
            id=one.id,
            measure=one.measure,
            component=one.component,
            class_name=one.class_name,
            kind=one.kind,
            unit=one.unit,
            class_kind=one.class_kind,
            path=path,
            points=bins,
        )
        for one, path in zip(entries, paths, strict=True)
    )
    return SeriesShape(tuple(specs))


@lru_cache(maxsize=_REMEMBERED)
def _entry_facts(
    series_id: str,
    component_id: str | None,
    class_name: str | None,
    kind: str | None,
    unit: str | None,
    class_kind: str | None,
    path: str | None,
) -> IndexEntry:
    """Return the checked parts of an entry; the runs of a sweep have the same ones."""
    name = _checked_name(series_id, "id", series_id)
    parts = SeriesId.parse(name)
    if not parts.measure:
        raise RunError("id: names no measure before its first @", file=INDEX_FILE, series=name)
    component = component_id or parts.component
    class_name = class_name or parts.class_name or DEFAULT_CLASS
    return IndexEntry(
        id=name,
        measure=intern(parts.measure),
        component=component and intern(_checked_name(component, "componentId", name)),
        class_name=intern(_checked_name(class_name, "class", name)),
        kind=_label(kind, "kind", name),
        unit=_label(unit, "unit", name),
        class_kind=_label(class_kind, "classKind", name),
        paths=_paths(f"{name}.csv" if path is None else path, name),
    )


def _checked_name(text: str, key: str, series: str) -> str:
    if len(text) > MAX_TEXT or not NAME.fullmatch(text):
        raise RunError(
            f"{key}: found {clip(text)}, should be 1 to {MAX_TEXT} of A-Z a-z 0-9 . _ - @",
            file=INDEX_FILE,
            series=shown(series),
        )
    return text


def _label(text: str | None, key: str, series: str) -> str | None:
    if not text:
        return None
    if len(text) > MAX_TEXT or CONTROL.search(text):
        raise RunError(
            f"{key}: found {clip(text)}, should be at most {MAX_TEXT} printable characters",
            file=INDEX_FILE,
            series=series,
        )
    return intern(text)


def _paths(path: str, series: str) -> tuple[str, ...]:
    segments = path.split("/")
    if len(path) > 2 * MAX_TEXT or not all(map(_is_safe_segment, segments)):
        raise RunError(
            f"path: found {clip(path)}, should stay in the run directory and consist of "
            "A-Z a-z 0-9 . _ - @ and /",
            file=INDEX_FILE,
            series=series,
        )
    if segments[0] in NEVER_READ_FOLDERS:
        raise RunError(
            f"path: found {clip(path)}, but {segments[0]}/ holds exports, not series",
            file=INDEX_FILE,
            series=series,
        )
    below = f"series/{path}"
    return (path, below, path) if segments[0] == "series" else (path, below)


def _is_safe_segment(segment: str) -> bool:
    return segment not in (".", "..") and NAME.fullmatch(segment) is not None


def _sha256(promised: object, indexed: str | None, series: str) -> str | None:
    if promised is not None and not isinstance(promised, str):
        raise RunError(
            f"seriesHashes: found {clip(promised)}, should be sha256:<64 hex digits>",
            file=MANIFEST_FILE,
            series=series,
        )
    manifest = _digest(promised)
    index = manifest if promised == indexed else _digest(indexed)
    if manifest is not None and index is not None and manifest != index:
        raise IntegrityError(
            f"manifest.json promises sha256:{manifest}, {INDEX_FILE} sha256:{index}; "
            "one of them is of another run",
            file=MANIFEST_FILE,
            series=series,
        )
    return manifest or index


def _digest(text: str | None) -> str | None:
    if not text:
        return None
    if _USUAL_HASH.fullmatch(text):
        return text[7:]
    match = _HASH.fullmatch(text)
    return match.group(1).lower() if match else None


def names_of(names: list[str]) -> str:
    """Return the first few of many foreign names, for a message."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(shown, names[:5])) + more
