"""Data files of Iceberg tables: what a version holds, and what a commit adds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from pipeline.lake_tables.contract import AddedFile, TableVersion
from pipeline.lake_tables.iceberg_storage import path_below, plain
from pipeline.lake_tables.statistics import column_bounds, with_values

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.metadata import TableMetadata


def refuse_outside(table: Table) -> None:
    """Refuse a table whose snapshot is described in files that are not below its folder.

    Raises:
        ValueError: It is.
    """
    current = table.current_snapshot()
    if current is None:
        return
    _refuse_outside(current.manifest_list, table.location())
    for manifest in current.manifests(table.io):
        _refuse_outside(manifest.manifest_path, table.location())


def _refuse_outside(uri: str, root: str) -> None:
    if path_below(root, uri) is None:
        raise ValueError(f"{uri} is not below the table")


def version_of(table: Table) -> TableVersion:
    """Return the newest version of a table."""
    current = table.current_snapshot()
    root = f"{plain(table.location())}/"
    reference = {
        "format": "iceberg",
        "table": ".".join(table.name()),
        "metadata": table.metadata_location,
        "snapshot": None if current is None else current.snapshot_id,
    }
    files = {
        plain(one.file_path).removeprefix(root): one.file_size_in_bytes for one in _live(table)
    }
    return TableVersion(reference, files)


def data_files(table: Table | None, uris: Collection[str]) -> Iterator[DataFile]:
    """Yield the files of the newest version that are named."""
    if table is not None and uris:
        wanted = {plain(uri) for uri in uris}
        yield from (one for one in _live(table) if plain(one.file_path) in wanted)


def _live(table: Table) -> Iterator[DataFile]:
    current = table.current_snapshot()
    if current is not None:
        for manifest in current.manifests(table.io):
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                yield entry.data_file


def data_file(file: AddedFile, uri: str, metadata: TableMetadata) -> DataFile:
    """Return a file as a manifest names it.

    Args:
        file: The file.
        uri: Where it is.
        metadata: The table, with the columns and partitions that the file has.
    """
    from pyiceberg.conversions import to_bytes  # noqa: PLC0415 an extra
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat  # noqa: PLC0415

    ids = {one.name: (one.field_id, one.field_type) for one in metadata.schema().fields}
    bounds = column_bounds(file)
    bounded = [(*ids[name], low, high) for name, low, high in with_values(bounds)]
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=uri,
        file_format=FileFormat.PARQUET,
        partition=_partition(file, metadata),
        file_size_in_bytes=file.size,
        record_count=file.footer.num_rows,
        spec_id=metadata.default_spec_id,
        value_counts={ids[name][0]: file.footer.num_rows for name in bounds},
        null_value_counts={ids[name][0]: one.nulls for name, one in bounds.items()},
        lower_bounds={
            number: to_bytes(type_, low)  # type: ignore[arg-type]
            for number, type_, low, _ in bounded
        },
        upper_bounds={
            number: to_bytes(type_, high)  # type: ignore[arg-type]
            for number, type_, _, high in bounded
        },
    )


def _partition(file: AddedFile, metadata: TableMetadata) -> Any:
    from pyiceberg.typedef import Record  # noqa: PLC0415 an extra

    schema = metadata.schema()
    return Record(
        *(
            _value(file.partition[one.name], str(schema.find_type(one.source_id)))
            for one in metadata.spec().fields
        )
    )


def _value(text: str | None, type_: str) -> object:
    if text is None or type_ == "string":
        return text
    return text == "true" if type_ == "boolean" else int(text)
