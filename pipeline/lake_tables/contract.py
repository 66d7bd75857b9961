"""Define the interface of all lake tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.rows.column import Column

if TYPE_CHECKING:
    import pyarrow.parquet as pq

Properties = Mapping[str, str]
"""What a commit says of itself, as text by key."""


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A version of a table, as readers see it.

    Attributes:
        reference: What identifies the version; JSON-compatible.
        files: Path below the table's folder → bytes, of all files that the version holds. Files
            elsewhere have their whole URL.
    """

    reference: Mapping[str, Any]
    files: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AddedFile:
    """A Parquet file that a commit adds.

    Attributes:
        path: Below the table's folder.
        footer: What the end of the file says of it.
        size: Bytes.
        partition: Values of the partition columns.
        nulls: Number of nulls in those columns that the footer has no statistics of.
    """

    path: str
    footer: pq.FileMetaData
    size: int
    partition: Mapping[str, str | None]
    nulls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TableChange:
    """What one commit does.

    Attributes:
        name: Name of a table that does not exist yet.
        columns: All columns of the table.
        partition_by: Those of them that partition it.
        added: Files that are in the table's folder, and belong to it from now on.
        removed: Paths of files that do not belong to it any more; they stay where they are, for
            readers of earlier versions.
        write_id: Unique id of the commit, by which a lost answer is recognised.
        properties: What the commit says of itself.
    """

    name: str
    columns: Sequence[Column]
    partition_by: Sequence[str]
    added: Sequence[AddedFile]
    removed: Sequence[str]
    write_id: str
    properties: Properties = field(default_factory=dict)


class ReadableTable(Protocol):
    """A table in a lake, of which versions can be read."""

    def read(self) -> TableVersion | None:
        """Return the newest version; None where there is no table.

        Raises:
            ConfigError: What the config says does not fit the table.
            SinkError: It could not be read.
        """


class LakeTable(ReadableTable, Protocol):
    """A table in a lake, by its folder."""

    def commit(self, change: TableChange, before: TableVersion | None) -> TableVersion:
        """Make a change in one commit, provided that the newest version is still `before`.

        Args:
            change: The change.
            before: What `read` gave.

        Raises:
            PublishConflictError: Another writer has committed meanwhile; nothing was changed.
            SinkError: The table cannot take the change, or the store failed.
        """
