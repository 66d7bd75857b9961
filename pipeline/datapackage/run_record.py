"""Describe a run in a descriptor, and read the run back from its description."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    TypeAdapter,
)
from pydantic import ValidationError as Invalid
from pydantic.alias_generators import to_camel

from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.model.run import NEVER_READ_FOLDERS, Grid, Run, RunFacts
from connectors.flowtime.model.series import FileDigest, SeriesId, SeriesSpec
from connectors.flowtime.model.series_table import SeriesShape, SeriesTable
from connectors.flowtime.parse.dialects import MAX_RUN_ID, MAX_TEXT
from connectors.flowtime.parse.schema import MAX_BIN_MINUTES, MAX_BINS, MAX_SERIES, clip, wish
from pipeline.errors import IntegrityError

SERIES_COLUMNS = (
    "id",
    "component",
    "class",
    "kind",
    "unit",
    "classKind",
    "path",
    "points",
    "sha256",
    "layout",
)
"""Columns of a described run's table of series; `path` is null for `series/<id>.csv`."""

_REMEMBERED_RUNS = 64
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")
_LAST_INSTANT = datetime.max.replace(tzinfo=UTC)


def _read_instant(value: object) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError("should be an instant such as 2025-01-02T03:04:05Z")
    return datetime.fromisoformat(value)


Instant = Annotated[datetime, BeforeValidator(_read_instant)]
_Name = Annotated[str, StringConstraints(max_length=MAX_TEXT, pattern=r"^[A-Za-z0-9._@-]+$")]
_Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT, pattern=_PRINTABLE)]
_Path = Annotated[
    str,
    StringConstraints(max_length=2 * MAX_TEXT, pattern=r"^[A-Za-z0-9._@-]+(/[A-Za-z0-9._@-]+)*$"),
]
_Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
_Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Layout = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_.+ -]+$")]
_Bins = Annotated[int, Field(ge=1, le=MAX_BINS)]
_Count = Annotated[int, Field(ge=0, le=MAX_SERIES)]


@cache
def _facts() -> TypeAdapter[RunFacts]:
    """Return the validator; made when it is needed, as workers do without."""
    return TypeAdapter(RunFacts)


_SeriesRow = tuple[
    _Name,
    _Name | None,
    _Name,
    _Label | None,
    _Label | None,
    _Label | None,
    _Path | None,
    _Bins,
    _Hex | None,
    _Layout | None,
]
_Row = tuple[
    str,
    str | None,
    str,
    str | None,
    str | None,
    str | None,
    str | None,
    int,
    str | None,
]
"""The same without the sha256: what is mostly the same in run after run."""


class _SeriesTable(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)

    columns: list[str]
    rows: Annotated[
        list[Annotated[_SeriesRow, Field(strict=False)]], FailFast(), Field(max_length=MAX_SERIES)
    ]


class _RunEntry(BaseModel):
    """A run in a descriptor, its facts apart; unknown keys are those of a later version."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, frozen=True, defer_build=True)

    id: Annotated[str, Field(min_length=1, max_length=MAX_RUN_ID)]
    name: Annotated[str, Field(min_length=1, max_length=1024, pattern=_PRINTABLE)]
    url: Annotated[str, Field(max_length=8192)] = ""
    listing: str = ""
    fingerprint: _Digest
    series_count: _Count
    series_left_out: _Count
    bins: _Bins
    bin_minutes: Annotated[int, Field(ge=1, le=MAX_BIN_MINUTES)]
    time_origin: Instant
    time_origin_from: str
    created: Instant | None
    warnings: list[str]
    notes: list[str]
    extra: dict[str, Any]
    is_bundle: bool = False
    series: _SeriesTable


@dataclass(frozen=True)
class DescribedRun:
    """A run as a descriptor names it.

    Attributes:
        run: The run; no file of it is at hand, so `path` is its URL as the exporter saw it,
            and its series have no size.
        layouts: For each series, how its file was laid out, where that is known.
    """

    run: Run
    layouts: tuple[str | None, ...]


def describe_run(
    run: Run, *, with_place: bool = True, layouts: Sequence[str | None] | None = None
) -> dict[str, Any]:
    """Return a run as a descriptor names it; `read_run` reads it back.

    Args:
        run: The run, with the series that are exported.
        with_place: Say where it is; False where equal runs must give equal bytes anywhere.
        layouts: How the file of each series is laid out, where that is known.
    """
    return {
        "id": run.run_id,
        "name": run.name,
        **({"url": run.url, "listing": f"sha256:{run.listing}"} if with_place else {}),
        "fingerprint": f"sha256:{run.fingerprint}",
        "seriesCount": len(run.series),
        "seriesLeftOut": run.series_left_out,
        "bins": run.grid.bins,
        "binMinutes": run.grid.bin_minutes,
        "timeOrigin": instant_text(run.time_origin),
        "timeOriginFrom": run.origin_source,
        "created": None if run.created is None else instant_text(run.created),
        **run.facts_as_json(),
        "warnings": list(run.warnings),
        "notes": list(run.notes),
        "extra": {key: _json_value(value) for key, value in run.extra.items()},
        **({"isBundle": True} if run.is_bundle else {}),
        "series": _series_table(run, layouts or [None] * len(run.series)),
    }


def _series_table(run: Run, layouts: Sequence[str | None]) -> dict[str, Any]:
    rows = [
        [
            one.id,
            one.component,
            one.class_name,
            one.kind,
            one.unit,
            one.class_kind,
            None if one.path == f"series/{one.id}.csv" else one.path,
            one.points,
            # A bundle's files have columns of their own; no series file has their bytes.
            None if run.is_bundle else digest.sha256,
            layout,
        ]
        for one, digest, layout in zip(run.series, run.series.digests(), layouts, strict=True)
    ]
    return {"columns": list(SERIES_COLUMNS), "rows": rows}


def _json_value(value: object) -> object:
    """Return the value with non-finite numbers as text, as JSON has none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    return [_json_value(item) for item in value] if isinstance(value, list) else value


def read_run(entry: object, where: str) -> DescribedRun:
    """Return the run that a description is of.

    Args:
        entry: What `describe_run` made, after a journey through JSON.
        where: The descriptor and the place in it, for errors.

    Raises:
        IntegrityError: The entry is not as `describe_run` makes it; the message names the place.
    """
    if isinstance(entry, Mapping) and "series" not in entry:
        raise IntegrityError(
            f"{where}: series: is missing, as an earlier version wrote this export: export again"
        )
    try:
        found = _RunEntry.model_validate(entry)
        facts = _facts().validate_python(entry)
    except Invalid as error:
        raise IntegrityError(f"{where}: {first_fault(error)}") from error
    _check(found, where)
    try:
        shape = _shape(tuple((*row[:8], row[9]) for row in found.series.rows), found.bins)
    except ValueError as error:
        raise IntegrityError(f"{where}: {error}") from error
    digests = (FileDigest(row[8]) for row in found.series.rows)
    run = Run(
        url=found.url,
        path=found.url,
        name=found.name,
        run_id=found.id,
        grid=Grid(found.bins, found.bin_minutes),
        series=SeriesTable(shape, digests),
        created=found.created,
        time_origin=found.time_origin,
        origin_source=found.time_origin_from,
        fingerprint=found.fingerprint.removeprefix("sha256:"),
        listing=found.listing.removeprefix("sha256:"),
        notes=tuple(found.notes),
        warnings=tuple(found.warnings),
        **facts.facts(),
        extra=found.extra,
        is_bundle=found.is_bundle,
        series_left_out=found.series_left_out,
    )
    return DescribedRun(run, tuple(row[9] for row in found.series.rows))


def first_fault(error: Invalid) -> str:
    """Return the first fault of an untrusted JSON value: where, what, and what is right."""
    fault = error.errors(include_url=False)[0]
    path = "".join(
        f"[{part}]" if isinstance(part, int) else f".{clip(part)[1:-1]}" for part in fault["loc"]
    ).lstrip(".")
    if fault["type"] == "missing":
        return f"{path}: is missing"
    return f"{path or 'it'}: found {clip(fault['input'])}, {wish(fault)}"


@lru_cache(maxsize=_REMEMBERED_RUNS)
def _shape(rows: tuple[_Row, ...], bins: int) -> SeriesShape:
    """Return what the series of a table are; one object for all runs with the same.

    Raises:
        ValueError: A row is not as `describe_run` makes it; the message names it.
    """
    for number, row in enumerate(rows):
        if fault := _fault_of(row, bins):
            raise ValueError(f"series.rows[{number}]: {fault}")
    specs = tuple(_spec(row) for row in rows)
    _check_unique(specs)
    return SeriesShape(specs)


def _spec(row: _Row) -> SeriesSpec:
    name, component, class_name, kind, unit, class_kind, path, points, _ = row
    return SeriesSpec(
        id=name,
        measure=SeriesId.parse(name).measure,
        component=component,
        class_name=class_name,
        kind=kind,
        unit=unit,
        class_kind=class_kind,
        path=path or f"series/{name}.csv",
        points=points,
    )


def _check(found: _RunEntry, where: str) -> None:
    if tuple(found.series.columns) != SERIES_COLUMNS:
        raise IntegrityError(f"{where}: series.columns: should be {', '.join(SERIES_COLUMNS)}")
    if found.series_count != len(found.series.rows):
        raise IntegrityError(
            f"{where}: seriesCount is {found.series_count}, but series.rows has "
            f"{len(found.series.rows)} rows"
        )
    for key, text in (("id", found.id), ("name", found.name)):
        if not text.isprintable() or set("/\\") & set(text) or text in (".", ".."):
            raise IntegrityError(f"{where}: {key}: found {clip(text)}, which cannot name a folder")
    try:
        end = found.time_origin + timedelta(minutes=found.bins * found.bin_minutes)
    except OverflowError:
        end = None
    if end is None or end > _LAST_INSTANT:
        raise IntegrityError(f"{where}: bins: {found.bins} bins end after the year 9999")


def _fault_of(row: _Row, bins: int) -> str | None:
    name, _, _, _, _, _, path, points, layout = row
    if points != bins:
        return f"points is {points}, should be the grid's {bins}"
    if name.startswith("@"):
        return f"id: {name} names no measure before its first @"
    if layout is not None:
        # Imported when needed: few descriptors name layouts, and NumPy is large.
        from connectors.flowtime.restore.layout import SeriesLayout  # noqa: PLC0415

        try:
            SeriesLayout.parse(layout)
        except ValueError as error:
            return f"layout: {error}"
    segments = (path or f"series/{name}.csv").split("/")
    if {".", ".."} & set(segments) or segments[0] in NEVER_READ_FOLDERS:
        return f"path: {clip(path)} is no place of a series file"
    return None


def _check_unique(series: Iterable[SeriesSpec]) -> None:
    ids: set[str] = set()
    paths: set[str] = set()
    for number, one in enumerate(series):
        if one.id in ids or one.path in paths:
            raise ValueError(f"series.rows[{number}]: {one.id} is there twice")
        ids.add(one.id)
        paths.add(one.path)
