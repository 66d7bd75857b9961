"""Delta tables: versions and commits, through the deltalake package."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from connectors.storage import Storage, StoreAccess
from pipeline.errors import SinkError
from pipeline.lake_tables.commits import WRITE_ID, overtaken
from pipeline.lake_tables.contract import AddedFile, TableChange, TableVersion
from pipeline.lake_tables.statistics import column_bounds, with_values
from pipeline.rows.column import Column
from pipeline.wording import without_secrets

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from deltalake import CommitProperties, DeltaTable, Schema
    from deltalake.transaction import AddAction, RemoveAction

APPLICATION = "flowtime-export"
"""Application id of the transactions that the commits carry."""

_COMMITS_SEARCHED = 20
_MILLISECOND = timedelta(milliseconds=1)
_TYPES: Mapping[str, pa.DataType] = {
    "timestamp": pa.timestamp("us", "UTC"),
    "number": pa.float64(),
    "integer": pa.int64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
}


@dataclass(frozen=True)
class DeltaLakeTable:
    """A Delta table by the URL of its folder.

    Attributes:
        storage: Where the folder is.
        path: The folder, as the storage names it.
    """

    storage: Storage
    path: str

    @property
    def url(self) -> str:
        """The table for people."""
        return self.storage.url(self.path)

    def read(self) -> TableVersion | None:
        """Return the newest version; None where there is no table.

        Raises:
            SinkError: It could not be read.
        """
        table = self._open()
        return None if table is None else _version(table)

    def commit(self, change: TableChange, before: TableVersion | None) -> TableVersion:
        """Make a change in one commit, provided that the newest version is still `before`.

        Raises:
            PublishConflictError: Another writer has committed meanwhile.
            SinkError: The table cannot take the change, or the store failed.
        """
        table = self._open()
        found = None if table is None else _version(table)
        if (found and found.files) != (before and before.files):
            raise overtaken(self.url, "Delta")
        if table is not None:
            self._refuse_unsupported(table)
        access = self.storage.access(self.path)
        try:
            self._write(change, table, access)
        except self._errors as error:
            self._refuse_uncommitted(change, table, error)
        return self._after(change)

    def _write(self, change: TableChange, table: DeltaTable | None, access: StoreAccess) -> None:
        """Commit as the version after that of `table`, or fail."""
        from deltalake.transaction import create_table_with_add_actions  # noqa: PLC0415 an extra

        schema = _schema(change.columns)
        moment = int(time.time() * 1000)
        added = [_add(file, moment) for file in change.added]
        commit = _commit_properties(change, table)
        if table is None or table.metadata().partition_columns != list(change.partition_by):
            create_table_with_add_actions(
                access.uri,
                schema,
                added,
                mode="error" if table is None else "overwrite",
                partition_by=list(change.partition_by),
                name=change.name,
                configuration=None if table is None else dict(table.metadata().configuration),
                storage_options=dict(access.options),
                commit_properties=commit,
            )
        elif _is_alike(table.schema(), schema):
            table.create_write_transaction(
                [*_removals(table, change.removed), *added],
                "append",
                table.schema(),
                list(change.partition_by),
                commit_properties=commit,
            )
        else:
            # Columns have changed, and so has every file.
            table.create_write_transaction(
                [*added], "overwrite", schema, list(change.partition_by), commit_properties=commit
            )

    def _refuse_unsupported(self, table: DeltaTable) -> None:
        """Refuse a table with rules on its rows, which only a query engine could apply.

        Raises:
            SinkError: It has some.
        """
        configuration = table.metadata().configuration
        rules = [key for key in configuration if key.startswith("delta.constraints.")]
        if configuration.get("delta.columnMapping.mode", "none") != "none":
            rules.append("delta.columnMapping.mode")
        if configuration.get("delta.appendOnly") == "true":
            rules.append("delta.appendOnly")
        if rules:
            raise SinkError(
                f"{self.url}: the table has {', '.join(sorted(rules))}, which an export cannot "
                "keep to: remove that from the table, or choose another path"
            )

    def _refuse_uncommitted(
        self, change: TableChange, table: DeltaTable | None, error: Exception
    ) -> None:
        """Return if a commit has arrived whose answer was an error.

        Raises:
            PublishConflictError: Another writer was faster.
            SinkError: The commit failed.
        """
        now = self._open()
        if now is not None and _is_in_history(now, change.write_id):
            return
        before = -1 if table is None else table.version()
        if now is not None and now.version() > before:
            raise overtaken(self.url, "Delta") from error
        raise self._error("committing to", error) from error

    def _after(self, change: TableChange) -> TableVersion:
        table = self._open()
        if table is None:
            raise SinkError(f"{self.url}: the table has gone since its commit {change.write_id}")
        return _version(table)

    def _open(self) -> DeltaTable | None:
        from deltalake import DeltaTable  # noqa: PLC0415 an extra, which takes long to load
        from deltalake.exceptions import TableNotFoundError  # noqa: PLC0415

        access = self.storage.access(self.path)
        try:
            return DeltaTable(access.uri, storage_options=dict(access.options))
        except TableNotFoundError:
            return None
        except self._errors as error:
            raise self._error("reading the log of", error) from error

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        from deltalake.exceptions import DeltaError  # noqa: PLC0415 an extra

        return (DeltaError, OSError, ValueError)

    def _error(self, doing: str, error: Exception) -> SinkError:
        secrets = [
            value
            for key, value in self.storage.access(self.path).options.items()
            if any(word in key for word in ("key", "secret", "token"))
        ]
        text = without_secrets(str(error), secrets)
        return SinkError(f"{doing} the Delta table {self.url}: {text}")


def _version(table: DeltaTable) -> TableVersion:
    actions = pa.table(table.get_add_actions(flatten=True))
    paths, sizes = (actions[name].to_pylist() for name in ("path", "size_bytes"))
    files = zip(map(unquote, paths), sizes, strict=True)
    return TableVersion({"format": "delta", "version": table.version()}, dict(files))


def _is_in_history(table: DeltaTable, write_id: str) -> bool:
    return any(one.get(WRITE_ID) == write_id for one in table.history(_COMMITS_SEARCHED))


def _schema(columns: Sequence[Column]) -> Schema:
    from deltalake import Schema  # noqa: PLC0415 an extra

    fields = [
        pa.field(
            column.name,
            _TYPES[column.type],
            metadata=None if column.unit is None else {"unit": column.unit},
        )
        for column in columns
    ]
    return Schema.from_arrow(pa.schema(fields))


def _is_alike(theirs: Schema, ours: Schema) -> bool:
    """Return whether names, types and order of columns are the same."""
    pairs = [[(one.name, str(one.type)) for one in schema.fields] for schema in (theirs, ours)]
    return pairs[0] == pairs[1]


def _commit_properties(change: TableChange, table: DeltaTable | None) -> CommitProperties:
    from deltalake import CommitProperties, Transaction  # noqa: PLC0415 an extra

    last = None if table is None else table.transaction_version(APPLICATION)
    moment = int(time.time() * 1000)
    return CommitProperties(
        custom_metadata={**change.properties, WRITE_ID: change.write_id},
        # A commit that was overtaken by another is never laid over that one.
        max_commit_retries=0,
        app_transactions=[Transaction(APPLICATION, 0 if last is None else last + 1, moment)],
    )


def _add(file: AddedFile, moment: int) -> AddAction:
    from deltalake.transaction import AddAction  # noqa: PLC0415 an extra

    return AddAction(
        path=file.path,
        size=file.size,
        partition_values=dict(file.partition),
        modification_time=moment,
        data_change=True,
        stats=_statistics(file),
    )


def _removals(table: DeltaTable, paths: Sequence[str]) -> list[RemoveAction]:
    from deltalake.transaction import RemoveAction  # noqa: PLC0415 an extra

    if not paths:
        return []
    partitions = table.metadata().partition_columns
    actions = pa.table(table.get_add_actions(flatten=True))
    known = actions.select(["path", "size_bytes", *(f"partition.{name}" for name in partitions)])
    moment = int(time.time() * 1000)
    wanted = set(paths)
    return [
        RemoveAction(
            path=path,
            data_change=True,
            deletion_timestamp=moment,
            size=row["size_bytes"],
            partition_values={
                name: _partition_text(row[f"partition.{name}"]) for name in partitions
            },
        )
        for row in known.to_pylist()
        if (path := unquote(row["path"])) in wanted
    ]


def _partition_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _statistics(file: AddedFile) -> str:
    """Return the statistics of a file as the log holds them.

    A column without bounds would be taken by deltalake's data sets for one without rows that any
    filter keeps: numbers among which are NaN or infinities are within infinite bounds.
    """
    bounds = column_bounds(file)
    known = list(with_values(bounds))
    unbounded = [
        name
        for name, one in bounds.items()
        if one.low is None and one.nulls < file.footer.num_rows and _is_number(file.footer, name)
    ]
    found = {
        "numRecords": file.footer.num_rows,
        "minValues": {name: _shown(low) for name, low, _ in known}
        | dict.fromkeys(unbounded, "-Infinity"),
        "maxValues": {name: _shown(high, is_high=True) for name, _, high in known}
        | dict.fromkeys(unbounded, "Infinity"),
        "nullCount": {name: one.nulls for name, one in bounds.items()},
    }
    # Not escaped: deltalake takes the escape of a character from U+20000 on for another one.
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _is_number(footer: pq.FileMetaData, name: str) -> bool:
    columns = map(footer.schema.column, range(footer.num_columns))
    return any(one.name == name and one.physical_type == "DOUBLE" for one in columns)


def _shown(value: Any, *, is_high: bool = False) -> Any:
    """Return a bound as JSON; of instants the log keeps milliseconds."""
    if not isinstance(value, datetime):
        return value
    moment = value.astimezone(UTC)
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    if is_high and whole != moment:
        whole += _MILLISECOND
    return whole.isoformat(timespec="milliseconds").replace("+00:00", "Z")
