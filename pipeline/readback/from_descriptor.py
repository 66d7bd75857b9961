"""Build the model of an export from its descriptor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt
from pydantic import ValidationError as Invalid
from pydantic.alias_generators import to_camel

from connectors.flowtime.parse.schema import clip
from connectors.storage import Storage, join
from pipeline.datapackage import descriptor
from pipeline.datapackage.run_list import places_of
from pipeline.datapackage.run_record import DescribedRun, first_fault, read_run
from pipeline.datapackage.table_spec import TableSpec, read_contents
from pipeline.errors import IntegrityError, StorageError
from pipeline.readback.local_copy import ExportFile
from pipeline.readback.tables import MAX_ROWS, Export, ExportedTable, TableFile, check_columns
from pipeline.rows.column import Column, refuse_pattern
from pipeline.sinks.formats import Format

_OF_RUNS = {"target", "state", "runs", "complete", "reasons"}
"""What differs between the runs of a lake table."""

_COLUMN_TYPES = {theirs: ours for ours, theirs in descriptor.FRICTIONLESS_TYPES.items()}


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class _Field(_Model):
    name: Annotated[str, Field(strict=True, max_length=65_536), AfterValidator(refuse_pattern)]
    type: Literal["datetime", "number", "integer", "string", "boolean"]
    unit: str | None = None


class _Schema(_Model):
    fields: Annotated[list[_Field], Field(max_length=10_000)]


class _Dialect(_Model):
    comment_char: str | None = None
    header_rows: Annotated[list[StrictInt], Field(max_length=1)] = []


class _Own(_Model):
    target: Annotated[str, Field(strict=True, max_length=65_536)]
    table: Annotated[str, Field(strict=True, max_length=64)] | None = None
    partition: dict[str, str | None] = {}
    complete: StrictBool | None = None
    comparison: dict[str, Any] | None = None


class _Document(_Model):
    path: Annotated[str, Field(strict=True, min_length=1, max_length=8192)]
    bytes: Annotated[int, Field(strict=True, ge=0, le=MAX_ROWS)]
    hash: Annotated[str, Field(strict=True, pattern=r"^sha256:[0-9a-f]{64}$")]


class _Resource(_Model):
    path: Annotated[str, Field(strict=True, min_length=1, max_length=8192)]
    format: Format
    compression: descriptor.Codec | None = None
    bytes: Annotated[int, Field(strict=True, ge=0, le=MAX_ROWS)]
    hash: Annotated[str, Field(strict=True, pattern=r"^sha256:[0-9a-f]{64}$")]
    row_count: Annotated[int, Field(strict=True, ge=0, le=MAX_ROWS)]
    non_finite_count: Annotated[int, Field(strict=True, ge=0, le=MAX_ROWS)] | None = None
    schema_: Annotated[_Schema, Field(alias="schema")]
    dialect: _Dialect = _Dialect()
    flowtime: _Own


def read_descriptor(storage: Storage, path: str, url: str) -> Export:
    """Return the export that a descriptor describes.

    Args:
        storage: Where it is.
        path: The descriptor.
        url: What was opened.

    Raises:
        IntegrityError: The descriptor is none of ours, forged or broken.
        StorageError: It could not be read.
    """
    where = storage.url(path)
    entry = storage.info(path)
    if entry is not None and entry.size > descriptor.MAX_BYTES:
        raise IntegrityError(f"{where}: has {entry.size} bytes, too many for a descriptor")
    found = descriptor.load(storage.read(path, end=descriptor.MAX_BYTES), where)
    folder = path.rpartition("/")[0]
    runs = _Runs(descriptor.runs_of(found), where)
    groups: dict[str, list[tuple[int, _Resource]]] = {}
    seen: set[str] = set()
    others: list[str] = []
    documents: list[ExportFile] = []
    for number, data in enumerate(found["resources"]):
        if "flowtime" not in data:
            others.append(clip(data["name"]))
            continue
        if descriptor.is_document(data):
            documents.append(_document(storage, folder, data, f"{where}: resources[{number}]"))
            continue
        resource = _resource(data, f"{where}: resources[{number}]")
        if resource.path in seen:
            raise IntegrityError(f"{where}: resources[{number}]: {resource.path!r} is there twice")
        seen.add(resource.path)
        groups.setdefault(_name(resource), []).append((number, resource))
    if not groups and not documents:
        raise IntegrityError(f"{where}: resources: none of them is of an export: export again")
    tables = tuple(
        _table(storage, folder, found["resources"], group, runs) for group in groups.values()
    )
    name = found.get("name")
    shown = name if isinstance(name, str) else "export"
    lake = found["flowtime"].get("table")
    reference = lake if isinstance(lake, dict) else None
    return Export(
        url, storage, folder, where, shown, tables, tuple(others), reference, tuple(documents)
    )


def _name(resource: _Resource) -> str:
    """Return the name of the table that a resource belongs to: its target, or all of a lake's."""
    own = resource.flowtime
    return own.target if own.table is None else descriptor.data_set_target(own.table)


def _resource(data: Mapping[str, Any], where: str) -> _Resource:
    try:
        return _Resource.model_validate(data)
    except Invalid as error:
        raise IntegrityError(f"{where}: {first_fault(error)}") from error


def _document(storage: Storage, folder: str, data: Mapping[str, Any], where: str) -> ExportFile:
    try:
        found = _Document.model_validate(data)
        path = join(folder, found.path)
    except Invalid as error:
        raise IntegrityError(f"{where}: {first_fault(error)}") from error
    except StorageError as error:
        raise IntegrityError(f"{where}.path: {error}") from error
    return ExportFile(storage, path, None, found.bytes, found.hash.removeprefix("sha256:"))


@dataclass(frozen=True)
class _Runs:
    """The runs of a descriptor, read where a table refers to them."""

    entries: Sequence[object]
    where: str

    @cached_property
    def _read(self) -> dict[int, DescribedRun]:
        return {}

    def at(self, spans: object, where: str) -> tuple[DescribedRun, ...]:
        """Return the runs at the given places."""
        places = places_of(spans, len(self.entries))
        if places is None:
            raise IntegrityError(f"{where}.runs: are no places in the list of runs")
        for place in places:
            if place not in self._read:
                self._read[place] = read_run(
                    self.entries[place], f"{self.where}: flowtime.runs[{place}]"
                )
        return tuple(self._read[place] for place in places)


def _table(
    storage: Storage,
    folder: str,
    resources: Sequence[Mapping[str, Any]],
    group: Sequence[tuple[int, _Resource]],
    runs: _Runs,
) -> ExportedTable:
    number, first = group[0]
    own = resources[number]["flowtime"]
    where = f"{runs.where}: resources[{number}].flowtime"
    contents = None if "columns" not in own else read_contents(own, where)
    described = None if contents is None else runs.at(own.get("runs"), where)
    if contents is not None and first.flowtime.table is not None:
        contents, described = _of_all_runs(contents, resources, group, runs)
    files = []
    statements: Mapping[str, Any] = {}
    for place, resource in group:
        at = f"{runs.where}: resources[{place}]"
        _check_alike(own, resources[place]["flowtime"], first, resource, at)
        said = descriptor.statements_of(resources[place])
        statements = said if said != statements else statements
        file = _file(storage, folder, resource, statements, at)
        if contents is not None:
            is_in_table = resource.flowtime.table is not None
            in_folders = _in_folders(file, contents, is_in_table=is_in_table)
            check_columns(contents, file.columns, in_folders, at)
        files.append(file)
    return ExportedTable(
        _name(first),
        first.format,
        contents,
        described,
        tuple(files),
        is_comparison=first.flowtime.comparison is not None,
    )


def _of_all_runs(
    contents: TableSpec,
    resources: Sequence[Mapping[str, Any]],
    group: Sequence[tuple[int, _Resource]],
    runs: _Runs,
) -> tuple[TableSpec, tuple[DescribedRun, ...]]:
    """Return what the rows of a lake table are, and its runs: each has files of its own."""
    described: dict[str, tuple[DescribedRun, ...]] = {}
    reasons: dict[str, None] = {}
    for place, resource in group:
        if resource.flowtime.target in described:
            continue
        own = resources[place]["flowtime"]
        where = f"{runs.where}: resources[{place}].flowtime"
        described[resource.flowtime.target] = runs.at(own.get("runs"), where)
        reasons |= dict.fromkeys(read_contents(own, where).reasons)
    whole = contents.model_copy(update={"reasons": tuple(reasons)})
    return whole, tuple(run for of_target in described.values() for run in of_target)


def _in_folders(file: TableFile, contents: TableSpec, *, is_in_table: bool) -> Collection[str]:
    """Return the columns that the folders name; a data set without rows has no folders."""
    if is_in_table:
        return ()
    if file.rows or file.partition:
        return (file.partition or {}).keys()
    return contents.columns.keys() - {column.name for column in file.columns}


def _check_alike(
    own: Mapping[str, Any], other: Mapping[str, Any], first: _Resource, one: _Resource, at: str
) -> None:
    differing = {"partition"} if first.flowtime.table is None else {"partition", *_OF_RUNS}
    for key in (own.keys() | other.keys()) - differing:
        if own.get(key) != other.get(key):
            raise IntegrityError(f"{at}.flowtime.{key}: differs between files of one target")
    same = first.format == one.format and first.schema_ == one.schema_
    is_empty = first.flowtime.table is not None and 0 in (first.row_count, one.row_count)
    alike = first.flowtime.partition.keys() == one.flowtime.partition.keys()
    if not same or not (alike or is_empty):
        raise IntegrityError(f"{at}: format, schema or partition differ within one target")


def _codec(resource: _Resource) -> descriptor.Codec | None:
    """Return how a file is compressed; zstd is named by the path alone."""
    if resource.compression is not None or resource.format == "parquet":
        return resource.compression
    return descriptor.COMPRESSION.get(PurePosixPath(resource.path).suffix)


def _file(
    storage: Storage, folder: str, resource: _Resource, statements: Mapping[str, Any], where: str
) -> TableFile:
    try:
        path = join(folder, resource.path)
    except StorageError as error:
        raise IntegrityError(f"{where}.path: {error}") from error
    if resource.format == "parquet" and resource.compression is not None:
        raise IntegrityError(f"{where}.compression: Parquet files are not compressed as a whole")
    stored = ExportFile(
        storage, path, _codec(resource), resource.bytes, resource.hash.removeprefix("sha256:")
    )
    return TableFile(
        stored=stored,
        path=resource.path,
        format=resource.format,
        columns=tuple(
            Column(f.name, _COLUMN_TYPES[f.type], f.unit) for f in resource.schema_.fields
        ),
        rows=resource.row_count,
        non_finite=resource.non_finite_count,
        has_comments=resource.dialect.comment_char is not None,
        partition=resource.flowtime.partition,
        header_row=next(iter(resource.dialect.header_rows), None),
        statements=statements,
    )
