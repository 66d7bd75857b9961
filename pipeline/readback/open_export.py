"""Open the export at a URL: a descriptor, a folder or a single file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from connectors.storage import Storage, StorageOptions, connect, join, relative
from pipeline.config.path_template import format_of, stem
from pipeline.datapackage import descriptor
from pipeline.datapackage.run_record import DescribedRun, read_run
from pipeline.datapackage.table_spec import read_contents
from pipeline.errors import IntegrityError, NotAnExportError
from pipeline.readback.from_descriptor import read_descriptor
from pipeline.readback.from_file_metadata import FileMetadata, csv_metadata, parquet_metadata
from pipeline.readback.local_copy import ExportFile
from pipeline.readback.tables import Export, ExportedTable, TableFile, check_columns
from pipeline.sinks.formats import Format

_MOST_PARENTS = 32
_OF_REPORT = f".html{descriptor.FILE_SUFFIX}"


def open_export(
    url: str, options: StorageOptions | None = None, *, with_reports: bool = False
) -> Export:
    """Return the export at a URL.

    Args:
        url: A descriptor, a folder with one, or a data file. A file is described by the
            descriptor that names it; where there is none, by its own metadata.
        options: Of the storage.
        with_reports: Whether it may be the report of a comparison, which has no table.

    Raises:
        IntegrityError: It is no export of ours, or its description is forged or broken.
        NotFoundError: Nothing is there.
        StorageError: It could not be read.
    """
    export = _opened(url, options)
    if not export.tables and not with_reports:
        raise IntegrityError(
            f"{export.url}: is the report of a comparison, which holds no rows of runs: "
            "name an export"
        )
    return export


def _opened(url: str, options: StorageOptions | None) -> Export:
    storage, path = connect(url, options)
    name = path.rpartition("/")[2]
    if name == descriptor.FOLDER_NAME or name.endswith(descriptor.FILE_SUFFIX):
        return read_descriptor(storage, path, storage.url(path))
    if storage.info(path) is None:
        return read_descriptor(storage, _descriptor_in(storage, path), storage.url(path))
    return _from_file(storage, path)


# --------------------------------------------------------------------------- finding descriptors


def _descriptor_in(storage: Storage, folder: str) -> str:
    """Return the descriptor of a folder: the data set's own, else the only one of single files."""
    own = join(folder, descriptor.FOLDER_NAME)
    if storage.info(own) is not None:
        return own
    found: list[str] = []
    for place in storage.walk(folder):
        if place.path.rstrip("/") != folder.rstrip("/"):
            break
        found = [e.path for e in place.files if e.path.endswith(descriptor.FILE_SUFFIX)]
    # Reports of comparisons may lie beside an export.
    found = [one for one in found if not one.endswith(_OF_REPORT)] or found
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.rpartition("/")[2] for path in found[:5])
        raise IntegrityError(
            f"{storage.url(folder)}: holds {len(found)} descriptors: name one of them ({names})"
        )
    raise NotAnExportError(
        f"{storage.url(folder)}: holds no descriptor, so this is not an export of flowtime-export: "
        "name a descriptor, a folder that holds one, or a data file"
    )


def several_descriptors(url: str, options: StorageOptions | None = None) -> list[str]:
    """Return the URLs of all descriptors at or below a folder; none where `open_export` finds one.

    Args:
        url: A folder of several exports, such as one file for each run; else nothing is returned.
        options: Of the storage.

    Raises:
        NotFoundError: Nothing is there.
        StorageError: It could not be listed.
    """
    storage, path = connect(url, options)
    if storage.info(path) is not None or storage.info(join(path, descriptor.FOLDER_NAME)):
        return []
    found = [
        entry.path
        for place in storage.walk(path)
        for entry in place.files
        if entry.path.endswith((descriptor.FILE_SUFFIX, f"/{descriptor.FOLDER_NAME}"))
    ]
    is_alone = len(found) == 1 and found[0].rpartition("/")[0] == path.rstrip("/")
    return [] if is_alone else [storage.url(one) for one in sorted(found)]


def _from_file(storage: Storage, path: str) -> Export:
    format_ = _format(storage, path)
    for place in _possible_descriptors(path):
        if storage.info(place) is None:
            continue
        export = read_descriptor(storage, place, storage.url(path))
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
            f"{storage.url(path)}: not an export of flowtime-export: its name does not end in "
            ".csv, .tsv, .ndjson, .jsonl or .parquet (with .gz or .zst), nor in datapackage.json"
        )
    return found


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
    """Return the part of a table that is in one file."""
    files = []
    before: dict[object, int] = {}
    for file in table.files:
        first = before.get(file.partition_key, 0)
        before[file.partition_key] = first + (file.rows or 0)
        if file.stored.path == path:
            files.append(replace(file, first_row=first))
    whole = table.is_whole and len(files) == len(table.files)
    return replace(table, files=tuple(files), is_whole=whole)


# --------------------------------------------------------------------------- files without one


def _alone(storage: Storage, path: str, format_: Format) -> Export:
    """Return a file that left its folder, as its own metadata describe it."""
    folder, _, name = path.rpartition("/")
    stored = ExportFile(storage, path, _codec(name) if format_ != "parquet" else None)
    found = _own_metadata(stored, format_)
    where = f"{stored.url}: its metadata"
    contents = None
    runs: tuple[DescribedRun, ...] | None = None
    if found.contents is not None:
        contents = read_contents(found.contents, f"{where}, contents")
        # Files of lake tables hold the columns of their partition, too.
        in_folders = found.partition.keys() - {column.name for column in found.columns}
        check_columns(contents, found.columns, in_folders, where)
    if contents is not None and found.runs is not None:
        runs = tuple(
            read_run(entry, f"{where}, described_runs[{place}]")
            for place, entry in enumerate(found.runs)
        )
    file = TableFile(
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


def _own_metadata(stored: ExportFile, format_: Format) -> FileMetadata:
    if format_ == "csv":
        return csv_metadata(stored)
    if format_ == "parquet":
        return parquet_metadata(stored)
    raise stored.error(
        "not an export of flowtime-export by itself: NDJSON has no metadata of its own; put its "
        "descriptor (*.datapackage.json) beside it",
        NotAnExportError,
    )


def _codec(name: str) -> descriptor.Codec | None:
    return next(
        (codec for suffix, codec in descriptor.COMPRESSION.items() if name.endswith(suffix)), None
    )
