"""Write a table of any rows as one file with a descriptor, published whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from connectors.storage import StagedFile, Storage, StorageOptions, connect, join
from pipeline.config.path_template import codec_of, format_of, stem
from pipeline.datapackage import descriptor
from pipeline.datapackage.descriptor import FILE_SUFFIX, ExportedFile
from pipeline.errors import ConfigError
from pipeline.rows.column import Column, Table
from pipeline.sinks import Sink
from pipeline.sinks.formats import AnySink
from pipeline.writing.described_file import DescribedFile, digest_of_contents
from pipeline.writing.staged_stream import StagedStream

_SINKS: TypeAdapter[Any] = TypeAdapter(AnySink)


@dataclass(frozen=True)
class TableTarget:
    """Where a table goes.

    Attributes:
        storage: The storage.
        path: The file, as its storage names it.
        sink: Writes it.
    """

    storage: Storage
    path: str
    sink: Sink

    @classmethod
    def of(cls, url: str, options: StorageOptions | None = None) -> TableTarget:
        """Return the target at a URL, whose ending names format and compression.

        Raises:
            ConfigError: The ending names no format.
            StorageError: The URL is none.
        """
        form = format_of(url)
        if form is None:
            raise ConfigError(
                f"{url}: the name of a table should end in .csv, .ndjson or .parquet (the first "
                "two with .gz or .zst)"
            )
        codec = codec_of(url)
        compression = {} if codec is None or form == "parquet" else {"compression": codec}
        storage, path = connect(url, options)
        sink = _SINKS.validate_python({"format": form, "path": "table", **compression})
        return cls(storage, path, sink)

    @property
    def url(self) -> str:
        """The file for people."""
        return self.storage.url(self.path)

    @property
    def folder(self) -> str:
        """The folder that file and descriptor are in."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The file's name, by which the descriptor knows it."""
        return self.path.rpartition("/")[2]

    @property
    def descriptor(self) -> str:
        """Path of the descriptor."""
        return join(self.folder, stem(self.name) + FILE_SUFFIX)


@dataclass(frozen=True)
class StagedTable:
    """A whole table that waits to be published.

    Attributes:
        target: Where it goes.
        columns: Its columns.
        staged: The staged file.
        file: What is in it.
    """

    target: TableTarget
    columns: tuple[Column, ...]
    staged: StagedFile
    file: ExportedFile

    def discard(self) -> None:
        """Throw the file away; nothing happens once it is published."""
        self.target.storage.discard(self.staged)

    def publish(self, name: str, own: Mapping[str, Any], created: datetime) -> None:
        """Make the file visible, then its descriptor.

        Other tables that the descriptor names are kept.

        Args:
            name: Name of the data package.
            own: What the descriptor says of the table under `flowtime`; JSON-compatible.
            created: When it was made, UTC.

        Raises:
            IntegrityError: A descriptor of something else is there.
            PublishConflictError: Another exporter is at work there.
            StorageError: The store refused a file.
        """
        target = self.target
        described = DescribedFile(
            target.storage, target.descriptor, target.name, self.staged, self.file.size
        )
        described.publish(name, own, self._resources(own), created)

    def _resources(self, own: Mapping[str, Any]) -> list[dict[str, Any]]:
        described = {"target": self.target.name, "state": digest_of_contents(own), **own}
        return descriptor.table_resources(described, self.target.sink, self.columns, [self.file])


class TableWriting:
    """Writes rows into a staged file.

    Args:
        target: Where it goes once it is published.
        columns: Its columns.
        metadata: What the file says of itself; JSON-compatible.

    Raises:
        SinkError: The staged file cannot be written.
    """

    def __init__(
        self, target: TableTarget, columns: Sequence[Column], metadata: Mapping[str, Any]
    ) -> None:
        self._target = target
        self._table = Table(tuple(columns), metadata)
        target.storage.sweep(target.folder)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="flowtime-write")
        self._output = StagedStream.open(target.storage, target.path, target.url, self._worker)
        self._writer = self._output.begin(lambda stream: target.sink.open(stream, self._table))

    def write(self, frame: pl.DataFrame) -> None:
        """Append rows that hold the columns in order.

        Raises:
            SinkError: The staged file could not be written.
        """
        self._writer.write(frame)

    def finish(self) -> StagedTable:
        """Finish the file.

        Raises:
            SinkError: The staged file could not be written.
        """
        file = self._output.finish(self._writer.close(), self._target.name)
        self._worker.shutdown()
        return StagedTable(self._target, self._table.columns, self._output.staged, file)

    def discard(self) -> None:
        """Throw the file away."""
        self._output.discard()
        self._worker.shutdown()


def stage_tables(
    targets: Sequence[TableTarget],
    columns: Sequence[Column],
    metadata: Mapping[str, Any],
    frames: Iterable[pl.DataFrame],
) -> list[StagedTable]:
    """Write the same rows into the staged files of several targets, in one pass.

    Args:
        targets: Where they go once they are published.
        columns: Their columns.
        metadata: What each file says of itself; JSON-compatible.
        frames: The rows, in the columns' order.

    Raises:
        SinkError: A staged file could not be written.
    """
    writing: list[TableWriting] = []
    try:
        for target in targets:
            own = {"format": f"flowtime-{target.sink.format}", **metadata}
            writing.append(TableWriting(target, columns, own))
        for frame in frames:
            for one in writing:
                one.write(frame)
        return [one.finish() for one in writing]
    except BaseException:
        for one in writing:
            one.discard()
        raise
