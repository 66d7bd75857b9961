"""Model an export: its tables, their files and columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from connectors.storage import Storage
from pipeline.datapackage.descriptor import data_set_target
from pipeline.datapackage.run_record import DescribedRun
from pipeline.datapackage.table_spec import TableSpec
from pipeline.errors import IntegrityError
from pipeline.readback.local_copy import ExportFile
from pipeline.rows.catalogue import CATALOGUE
from pipeline.rows.column import Column, ColumnType
from pipeline.rows.metadata_tables import constant_type
from pipeline.sinks.formats import TABLE_FORMATS, Format

MAX_ROWS = 10**15


@dataclass(frozen=True)
class TableFile:
    """One data file.

    Attributes:
        stored: Its bytes, with what is promised of them.
        path: Relative to the export's folder.
        format: Its format.
        columns: Its columns in order.
        rows: Data rows, or None where not recorded.
        non_finite: NaN and infinite values, or None where not recorded.
        has_comments: Whether comment lines come before a CSV's header row.
        partition: Columns that its folders name.
        first_row: Place of its first row among those of its partition, where it is read alone.
        header_row: Line of a CSV's header row, or None where not recorded.
        statements: What a descriptor says of its format, schema and dialect; one object for all
            files of which it says the same, and None where it is read alone.
    """

    stored: ExportFile
    path: str
    format: Format
    columns: tuple[Column, ...]
    rows: int | None
    non_finite: int | None = None
    has_comments: bool = False
    partition: Mapping[str, str | None] | None = None
    first_row: int | None = None
    header_row: int | None = None
    statements: Mapping[str, Any] | None = None

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
        name: What distinguishes it from others of the same descriptor.
        format: The format of its files.
        contents: What the rows are, or None where an earlier version wrote them.
        runs: The runs in it, in the order of the rows; None where the export does not say.
        files: Its files; those of one partition in the order of their rows.
        is_whole: Whether these are all files of the target.
        is_comparison: Whether its rows are those of a comparison, which are of no run.
    """

    name: str
    format: Format
    contents: TableSpec | None
    runs: tuple[DescribedRun, ...] | None
    files: tuple[TableFile, ...]
    is_whole: bool = True
    is_comparison: bool = False

    @property
    def label(self) -> str:
        """The table's name for people."""
        if self.name == data_set_target(self.format):
            return f"the {self.format} data set"
        form = next((one for one in TABLE_FORMATS if self.name == data_set_target(one)), None)
        return self.name if form is None else f"the {form} table"

    @property
    def url(self) -> str:
        """The table for people: its only file, else the first one."""
        more = f" and {len(self.files) - 1} more files" if len(self.files) > 1 else ""
        return f"{self.files[0].url}{more}"

    @cached_property
    def partitions(self) -> Mapping[tuple[tuple[str, str | None], ...], list[TableFile]]:
        """The files of each partition."""
        found: dict[tuple[tuple[str, str | None], ...], list[TableFile]] = {}
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
        others: Names, as messages show them, of what other tools have put beside them.
        lake_table: The version of the lake table that the files are; None for other exports.
        documents: Files without rows, such as the report of a comparison.
    """

    url: str
    storage: Storage
    folder: str
    descriptor_url: str | None
    name: str
    tables: tuple[ExportedTable, ...]
    others: tuple[str, ...] = ()
    lake_table: Mapping[str, Any] | None = None
    documents: tuple[ExportFile, ...] = ()

    @property
    def files(self) -> tuple[TableFile, ...]:
        """The files of all tables."""
        return tuple(file for table in self.tables for file in table.files)


def check_columns(
    contents: TableSpec, columns: Sequence[Column], in_folders: Collection[str], where: str
) -> None:
    """Compare the columns of a file with what its rows are.

    Args:
        contents: What the rows are.
        columns: The columns of the file.
        in_folders: Columns that its folders name instead.
        where: The file, for errors.

    Raises:
        IntegrityError: Names, order or types differ.
    """
    expected = [name for name in contents.columns if name not in in_folders]
    found = [column.name for column in columns]
    if found != expected or not set(in_folders) <= contents.columns.keys():
        raise IntegrityError(
            f"{where}: its columns are {', '.join(found)}; expected {', '.join(expected)}"
        )
    for column in columns:
        wanted = column_type(contents, contents.columns[column.name])
        if column.type != wanted:
            raise IntegrityError(
                f"{where}: column {column.name!r} is of type {column.type}; expected {wanted}"
            )


def column_type(contents: TableSpec, source: str) -> ColumnType:
    """Logical type of the column behind a shown one."""
    if source in contents.constants:
        return constant_type(contents.constants[source])
    return "number" if source in contents.measures else CATALOGUE[source].type
