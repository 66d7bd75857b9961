"""What is exported at a URL: a descriptor, a folder or a single file as a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool
from pydantic import ValidationError as Invalid
from pydantic.alias_generators import to_camel

from connectors.storage import Storage, StorageOptions, connect, join, relative
from pipeline import descriptor
from pipeline.columns import CATALOGUE
from pipeline.contents import Contents, read_contents
from pipeline.errors import IntegrityError, NotAnExportError, StorageError
from pipeline.exported.local_copy import StoredFile
from pipeline.exported.own_metadata import MAX_ROWS, FileMetadata, csv_metadata, parquet_metadata
from pipeline.metadata import constant_type
from pipeline.naming import format_of, stem
from pipeline.run_facts import DescribedRun, first_fault, read_run
from pipeline.sinks import Column
from pipeline.sinks.sink import ColumnType, refuse_pattern

Format = Literal["csv", "ndjson", "parquet"]

_MOST_PARENTS = 32
_COLUMN_TYPES = {theirs: ours for ours, theirs in descriptor.FRICTIONLESS_TYPES.items()}


@dataclass(frozen=True)
class ExportedFile:
    """One data file.

    Attributes:
        stored: Its bytes, with what is promised of them.
        path: Relative to the export's folder.
        format: Its format.
        columns: Its columns in order.
        rows: Data rows, or None where nobody says.
        non_finite: NaN and infinite values, or None where nobody says.
        has_comments: Whether comment lines come before a CSV's header row.
        partition: Columns that its folders name.
        first_row: Place of its first row among those of its partition, where it stands alone.
    """

    stored: StoredFile
    path: str
    format: Format
    columns: tuple[Column, ...]
    rows: int | None
    non_finite: int | None = None
    has_comments: bool = False
    partition: Mapping[str, str | None] | None = None
    first_row: int | None = None

    @property
    def url(self) -> str:
        """The file for people."""
        return self.stored.url

    @property
    def partition_key(self) -> tuple[tuple[str, str | None], ...]:
        """The partition as a key."""
        return tuple((self.partition or {}).items())


@dataclass(frozen=True)
class ExportedTable:
    """The files of one target, which make one table.

    Attributes:
        name: What tells it from others of the same descriptor.
        format: The format of its files.
        contents: What the rows are, or None where an earlier version wrote them.
        runs: The runs in it, in the order of the rows; None where the export does not say.
        files: Its files; those of one partition in the order of their rows.
        is_whole: Whether these are all files of the target.
    """

    name: str
    format: Format
    contents: Contents | None
    runs: tuple[DescribedRun, ...] | None
    files: tuple[ExportedFile, ...]
    is_whole: bool = True

    @property
    def url(self) -> str:
        """The table for people: its only file, else the first one."""
        more = f" and {len(self.files) - 1} more files" if len(self.files) > 1 else ""
        return f"{self.files[0].url}{more}"

    @cached_property
    def partitions(self) -> Mapping[tuple[tuple[str, str | None], ...], list[ExportedFile]]:
        """The files of each partition."""
        found: dict[tuple[tuple[str, str | None], ...], list[ExportedFile]] = {}
        for file in self.files:
            found.setdefault(file.partition_key, []).append(file)
        return found


@dataclass(frozen=True)
class Export:
    """An export as it says of itself; nothing has been compared with its bytes.

    Attributes:
        url: What was opened.
        storage: Where it is.
        folder: The folder that the files' paths are relative to.
        descriptor_url: The descriptor, or None where only the file is there.
        name: Name of the config that made it.
        tables: Its targets.
    """

    url: str
    storage: Storage
    folder: str
    descriptor_url: str | None
    name: str
    tables: tuple[ExportedTable, ...]

    @property
    def files(self) -> tuple[ExportedFile, ...]:
        """The files of all tables."""
        return tuple(file for table in self.tables for file in table.files)


def open_export(url: str, options: StorageOptions | None = None) -> Export:
    """The export at a URL.

    Args:
        url: A descriptor, a folder with one, or a data file. A file is described by the
            descriptor that names it; where there is none, by its own metadata.
        options: Of the storage.

    Raises:
        IntegrityError: It is no export of ours, or its description is forged or broken.
        NotFoundError: Nothing is there.
        StorageError: It could not be read.
    """
    storage, path = connect(url, options)
    name = path.rpartition("/")[2]
    if name == descriptor.FOLDER_NAME or name.endswith(descriptor.FILE_SUFFIX):
        return _from_descriptor(storage, path, storage.url(path))
    if storage.info(path) is None:
        return _from_descriptor(storage, _descriptor_in(storage, path), storage.url(path))
    return _from_file(storage, path)


# --------------------------------------------------------------------------- finding descriptors


def _descriptor_in(storage: Storage, folder: str) -> str:
    """The descriptor of a folder: the data set's own, else the only one of single files."""
    own = join(folder, descriptor.FOLDER_NAME)
    if storage.info(own) is not None:
        return own
    found: list[str] = []
    for place in storage.walk(folder):
        if place.path.rstrip("/") != folder.rstrip("/"):
            break
        found = [e.path for e in place.files if e.path.endswith(descriptor.FILE_SUFFIX)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.rpartition("/")[2] for path in found[:5])
        raise IntegrityError(
            f"{storage.url(folder)}: holds {len(found)} descriptors: name one of them ({names})"
        )
    raise NotAnExportError(
        f"{storage.url(folder)}: holds no descriptor, so this is not an export of ours: "
        "name a descriptor, a folder that holds one, or a data file"
    )


def _from_file(storage: Storage, path: str) -> Export:
    format_ = _format(storage, path)
    for place in _possible_descriptors(path):
        if storage.info(place) is None:
            continue
        export = _from_descriptor(storage, place, storage.url(path))
        tables = [_only(table, path) for table in export.tables]
        named = tuple(table for table in tables if table.files)
        if named:
            return Export(
                export.url, storage, export.folder, export.descriptor_url, export.name, named
            )
    return _alone(storage, path, format_)


def _format(storage: Storage, path: str) -> Format:
    found = format_of(path)
    if found is None:
        raise NotAnExportError(
            f"{storage.url(path)}: not an export of ours: its name ends neither in .csv, .ndjson, "
            ".jsonl or .parquet (with .gz or .zst) nor in that of a descriptor"
        )
    return "csv" if found == "csv" else "ndjson" if found == "ndjson" else "parquet"


def _possible_descriptors(path: str) -> Iterator[str]:
    """Beside a single file, or above the hive folders of a data set."""
    folder, _, name = path.rpartition("/")
    yield join(folder, stem(name) + descriptor.FILE_SUFFIX)
    for _ in range(_MOST_PARENTS):
        if not folder:
            return
        yield join(folder, descriptor.FOLDER_NAME)
        folder, _, name = folder.rpartition("/")
        if "=" not in name:
            return


def _only(table: ExportedTable, path: str) -> ExportedTable:
    """The part of a table that is in one file."""
    files = []
    before: dict[object, int] = {}
    for file in table.files:
        first = before.get(file.partition_key, 0)
        before[file.partition_key] = first + (file.rows or 0)
        if file.stored.path == path:
            files.append(replace(file, first_row=first))
    whole = table.is_whole and len(files) == len(table.files)
    return ExportedTable(table.name, table.format, table.contents, table.runs, tuple(files), whole)


# --------------------------------------------------------------------------- descriptors


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


class _Own(_Model):
    target: Annotated[str, Field(strict=True, max_length=4096)]
    partition: dict[str, str | None] = {}
    complete: StrictBool | None = None


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


def _from_descriptor(storage: Storage, path: str, url: str) -> Export:
    where = storage.url(path)
    entry = storage.info(path)
    if entry is not None and entry.size > descriptor.MAX_BYTES:
        raise IntegrityError(f"{where}: has {entry.size} bytes, too many for a descriptor")
    found = descriptor.load(storage.read(path, end=descriptor.MAX_BYTES), where)
    folder = path.rpartition("/")[0]
    runs = _Runs(descriptor.runs_of(found), where)
    groups: dict[str, list[tuple[int, _Resource]]] = {}
    seen: set[str] = set()
    for number, data in enumerate(found["resources"]):
        resource = _resource(data, f"{where}: resources[{number}]")
        if resource.path in seen:
            raise IntegrityError(f"{where}: resources[{number}]: {resource.path!r} is there twice")
        seen.add(resource.path)
        groups.setdefault(resource.flowtime.target, []).append((number, resource))
    tables = tuple(
        _table(storage, folder, found["resources"], group, runs) for group in groups.values()
    )
    name = found.get("name")
    return Export(url, storage, folder, where, name if isinstance(name, str) else "export", tables)


def _resource(data: Mapping[str, Any], where: str) -> _Resource:
    try:
        return _Resource.model_validate(data)
    except Invalid as error:
        raise IntegrityError(f"{where}: {first_fault(error)}") from error


@dataclass(frozen=True)
class _Runs:
    """The runs of a descriptor, read where a table refers to them."""

    entries: Sequence[object]
    where: str

    @cached_property
    def _read(self) -> dict[int, DescribedRun]:
        return {}

    def at(self, spans: object, where: str) -> tuple[DescribedRun, ...]:
        """The runs at the given places."""
        places = descriptor.places_of(spans, len(self.entries))
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
    files = []
    for place, resource in group:
        at = f"{runs.where}: resources[{place}]"
        _check_alike(own, resources[place]["flowtime"], first, resource, at)
        file = _file(storage, folder, resource, at)
        # A data set without rows has a file, but no folders.
        if contents is not None and (file.rows or file.partition):
            check_columns(contents, file.columns, file.partition or {}, at)
        files.append(file)
    return ExportedTable(first.flowtime.target, first.format, contents, described, tuple(files))


def _check_alike(
    own: Mapping[str, Any], other: Mapping[str, Any], first: _Resource, one: _Resource, at: str
) -> None:
    for key in own.keys() | other.keys():
        if key != "partition" and own.get(key) != other.get(key):
            raise IntegrityError(f"{at}.flowtime.{key}: differs between files of one target")
    same = first.format == one.format and first.schema_ == one.schema_
    if not same or first.flowtime.partition.keys() != one.flowtime.partition.keys():
        raise IntegrityError(f"{at}: format, schema or partition differ within one target")


def _file(storage: Storage, folder: str, resource: _Resource, where: str) -> ExportedFile:
    try:
        path = join(folder, resource.path)
    except StorageError as error:
        raise IntegrityError(f"{where}.path: {error}") from error
    if resource.format == "parquet" and resource.compression is not None:
        raise IntegrityError(f"{where}.compression: Parquet files are not compressed as a whole")
    stored = StoredFile(
        storage, path, resource.compression, resource.bytes, resource.hash.removeprefix("sha256:")
    )
    return ExportedFile(
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
    )


def check_columns(
    contents: Contents, columns: Sequence[Column], partition: Mapping[str, object], where: str
) -> None:
    """Compare the columns of a file with what its rows are.

    Raises:
        IntegrityError: Names, order or types differ.
    """
    expected = [name for name in contents.columns if name not in partition]
    found = [column.name for column in columns]
    if found != expected or not partition.keys() <= contents.columns.keys():
        raise IntegrityError(
            f"{where}: its columns are {', '.join(found)}; expected {', '.join(expected)}"
        )
    for column in columns:
        wanted = column_type(contents, contents.columns[column.name])
        if column.type != wanted:
            raise IntegrityError(
                f"{where}: column {column.name!r} is of type {column.type}; expected {wanted}"
            )


def column_type(contents: Contents, source: str) -> ColumnType:
    """Logical type of the column behind a shown one."""
    if source in contents.constants:
        return constant_type(contents.constants[source])
    return "number" if source in contents.measures else CATALOGUE[source].type


# --------------------------------------------------------------------------- files without one


def _alone(storage: Storage, path: str, format_: Format) -> Export:
    """A file that left its folder, as its own metadata describe it."""
    folder, _, name = path.rpartition("/")
    stored = StoredFile(storage, path, _codec(name) if format_ != "parquet" else None)
    found = _own_metadata(stored, format_)
    where = f"{stored.url}: its metadata"
    contents = None
    runs: tuple[DescribedRun, ...] | None = None
    if found.contents is not None:
        contents = read_contents(found.contents, f"{where}, contents")
        check_columns(contents, found.columns, found.partition, where)
    if contents is not None and found.runs is not None:
        runs = tuple(
            read_run(entry, f"{where}, described_runs[{place}]")
            for place, entry in enumerate(found.runs)
        )
    file = ExportedFile(
        stored=stored,
        path=relative(path, folder) or name,
        format=format_,
        columns=found.columns,
        rows=found.rows,
        has_comments=format_ == "csv",
        partition=found.partition,
        first_row=found.first_row,
    )
    is_whole = not found.partition and found.first_row is None
    table = ExportedTable(name, format_, contents, runs, (file,), is_whole)
    return Export(stored.url, storage, folder, None, found.config, (table,))


def _own_metadata(stored: StoredFile, format_: Format) -> FileMetadata:
    if format_ == "csv":
        return csv_metadata(stored)
    if format_ == "parquet":
        return parquet_metadata(stored)
    raise stored.error(
        "not an export of ours as it stands alone: NDJSON has no metadata of its own; put its "
        "descriptor (*.datapackage.json) beside it",
        NotAnExportError,
    )


def _codec(name: str) -> descriptor.Codec | None:
    return next(
        (codec for suffix, codec in descriptor.COMPRESSION.items() if name.endswith(suffix)), None
    )
