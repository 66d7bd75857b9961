"""Iceberg tables: versions and commits, through the pyiceberg package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectors.storage import Storage
from pipeline.errors import ConfigError, SinkError
from pipeline.lake_tables.commits import WRITE_ID, overtaken
from pipeline.lake_tables.contract import TableChange, TableVersion
from pipeline.lake_tables.iceberg_files import data_file, data_files, refuse_outside, version_of
from pipeline.lake_tables.iceberg_schema import (
    NAME_MAPPING,
    evolve,
    schema,
    spec,
    strict_transaction,
)
from pipeline.lake_tables.iceberg_storage import (
    failures,
    io_properties,
    is_missing_database,
    location_of,
    path_below,
    plain,
)
from pipeline.sinks.iceberg import is_secret_property
from pipeline.wording import without_secrets

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table, Transaction


@dataclass(frozen=True)
class IcebergLakeTable:
    """An Iceberg table by its folder and its name in a catalog.

    Attributes:
        storage: Where the folder is.
        path: The folder, as the storage names it.
        catalog: Name of the catalog.
        properties: Of the catalog, secrets in clear.
        identifier: Namespace and name of the table.
    """

    storage: Storage
    path: str
    catalog: str
    properties: Mapping[str, str] = field(repr=False)
    identifier: str

    @property
    def url(self) -> str:
        """The table for people."""
        return f"{self.identifier} at {self.storage.url(self.path)}"

    @property
    def location(self) -> str:
        """The folder as the table's metadata name it."""
        return location_of(self.storage, self.path)

    def read(self) -> TableVersion | None:
        """Return the newest version; None where the catalog lists no such table.

        Raises:
            ConfigError: The table is in another folder.
            SinkError: It could not be read.
        """
        if is_missing_database(self.properties.get("uri", "")):  # to open it would make it
            return None
        try:
            table = self._open()
            return None if table is None else version_of(table)
        except failures() as error:
            raise self._error("reading", error) from error

    def commit(self, change: TableChange, before: TableVersion | None) -> TableVersion:
        """Make a change in one commit, provided that the newest version is still `before`.

        Raises:
            PublishConflictError: Another writer has committed meanwhile.
            SinkError: The table cannot take the change, or the store or the catalog failed.
        """
        try:
            table = self._open()
            found = None if table is None else version_of(table)
            if (found and found.files) != (before and before.files):
                raise overtaken(self.url, "Iceberg")
            try:
                self._write(change, table)
            except failures() as error:
                self._refuse_uncommitted(change, table, error)
            after = self._open()
            if after is None:
                raise SinkError(f"{self.url}: the table has gone since the commit")
            return version_of(after)
        except failures() as error:
            raise self._error("committing to", error) from error

    def _write(self, change: TableChange, table: Table | None) -> None:
        if table is None:
            transaction: Transaction = self._creation(change)
        else:
            transaction = strict_transaction(table)
            evolve(transaction, change)
        properties = {**change.properties, WRITE_ID: change.write_id}
        update = transaction.update_snapshot(snapshot_properties=properties)
        with update.overwrite() as snapshot:
            for gone in data_files(table, {self._uri(path) for path in change.removed}):
                snapshot.delete_data_file(gone)
            for file in change.added:
                snapshot.append_data_file(
                    data_file(file, self._uri(file.path), transaction.table_metadata)
                )
        transaction.commit_transaction()

    def _creation(self, change: TableChange) -> Transaction:
        catalog = self._catalog()
        catalog.create_namespace_if_not_exists(self.identifier.rpartition(".")[0])
        columns = schema(change.columns)
        return catalog.create_table_transaction(
            self.identifier,
            columns,
            location=self.location,
            partition_spec=spec(columns, change.partition_by),
            properties={NAME_MAPPING: columns.name_mapping.model_dump_json()},
        )

    def _refuse_uncommitted(
        self, change: TableChange, table: Table | None, error: Exception
    ) -> None:
        """Return if a commit has arrived whose answer was an error.

        Raises:
            PublishConflictError: Another writer was faster.
            SinkError: The commit failed.
        """
        now = self._open()
        if now is not None and any(
            snapshot.summary is not None and snapshot.summary.get(WRITE_ID) == change.write_id
            for snapshot in now.snapshots()
        ):
            return
        before = None if table is None else table.metadata_location
        if now is not None and now.metadata_location != before:
            raise overtaken(self.url, "Iceberg") from error
        raise self._error("committing to", error) from error

    def _open(self) -> Table | None:
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError  # noqa: PLC0415

        try:
            table = self._catalog().load_table(self.identifier)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        if plain(table.location()) != plain(self.location):
            raise ConfigError(
                f"table {self.identifier}: the catalog has it at {table.location()}, not at "
                f"{self.location}: set the sink's path to where it is"
            )
        return table

    def _catalog(self) -> Catalog:
        from pyiceberg.catalog import load_catalog  # noqa: PLC0415 an extra

        properties = {**io_properties(self.storage, self.path), **self.properties}
        return load_catalog(self.catalog, **properties)

    def _uri(self, path: str) -> str:
        return path if "://" in path or path.startswith("/") else f"{self.location}/{path}"

    def _error(self, doing: str, error: Exception) -> SinkError:
        properties = {**io_properties(self.storage, self.path), **self.properties}
        secrets = [value for name, value in properties.items() if is_secret_property(name, value)]
        text = without_secrets(str(error), secrets)
        return SinkError(f"{doing} the Iceberg table {self.url}: {text}")


@dataclass(frozen=True)
class IcebergVersion:
    """A version of an Iceberg table, by its metadata file, without any request to a catalog.

    Attributes:
        storage: Where the table's folder is.
        path: The folder, as the storage names it.
        metadata: The metadata file; untrusted.
    """

    storage: Storage
    path: str
    metadata: str

    def read(self) -> TableVersion | None:
        """Return the version.

        Raises:
            SinkError: It could not be read, or is not in the folder.
        """
        from pyiceberg.table import StaticTable  # noqa: PLC0415 an extra

        url = self.storage.url(self.path)
        root = location_of(self.storage, self.path)
        below = path_below(root, self.metadata)
        if below is None:
            raise SinkError(f"{url}: the metadata file {self.metadata} is not below the table")
        try:
            properties = io_properties(self.storage, self.path)
            table = StaticTable.from_metadata(f"{root}/{below}", properties)
            if plain(table.location()) != plain(root):
                raise SinkError(f"{url}: {self.metadata} is of a table at {table.location()}")
            refuse_outside(table)
            return version_of(table)
        except failures() as error:
            raise SinkError(f"reading {self.metadata}: {error}") from error
