"""Write Parquet files whose row groups differ in the columns that have statistics."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.storage import Writable
from pipeline.sinks.parquet_segments import MAGIC, JoinedRowGroups

_FILLER = bytes(1 << 20)


class SectionedWriter:
    """Writes row groups, each with statistics for columns of its own choice.

    Arrow fixes the columns with statistics when a writer is opened, and a writer begins a file.
    A row group with another choice than the one before therefore gets a new writer, whose head is
    discarded, as is the footer of the writer before: a section of row groups. One footer at the
    end lists the row groups of all sections. Most files have one section, written by one writer.

    Args:
        stream: The open binary stream, at its beginning; `close` leaves it open.
        schema: The schema of all row groups.
        is_later: The row groups follow those of earlier segments, so that there is no head; offsets
            are those of a file of its own nevertheless.
        options: Options of `pyarrow.parquet.ParquetWriter`, the same for all sections.
    """

    def __init__(
        self, stream: Writable, schema: pa.Schema, *, is_later: bool = False, **options: Any
    ) -> None:
        self._out = _Body(stream, skip=len(MAGIC) if is_later else 0)
        self._schema = schema
        self._options = options
        self._writer: pq.ParquetWriter | None = None
        self._without: frozenset[str] = frozenset()
        self._finished: list[pq.FileMetaData] = []

    def write(self, rows: pa.Table, without_statistics: Collection[str]) -> None:
        """Append a row group.

        Args:
            rows: The rows, of which there is at least one.
            without_statistics: Names of the columns that get no statistics in this row group.
        """
        without = frozenset(without_statistics)
        if self._writer is not None and without != self._without:
            self._end_section(self._writer)
            self._writer = None
        if self._writer is None:
            self._without = without
            self._writer = self._begin_section()
        self._writer.write_table(rows, row_group_size=rows.num_rows)

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the footer.

        Args:
            metadata: Key-value pairs of the footer.
        """
        writer = self._writer or self._begin_section()
        if self._finished:
            self._end_section(writer)
            sections = JoinedRowGroups()
            for section in self._finished:
                sections.append(section, 0)
            self._out.write(sections.footer(self._schema, metadata))
        else:
            writer.add_key_value_metadata(metadata)
            writer.close()

    def detach(self) -> tuple[pq.FileMetaData, int]:
        """End the row groups without a footer.

        Returns:
            What the footer of a file of its own would say, and the bytes of the row groups.
        """
        writer = self._writer or self._begin_section()
        self._end_section(writer)
        footer = self._finished[0]
        for section in self._finished[1:]:
            footer.append_row_groups(section)
        return footer, self._out.written - len(MAGIC)

    def _begin_section(self) -> pq.ParquetWriter:
        written = self._out.written
        sink = pa.PythonFile(self._out, mode="w")
        if not written:
            return self._open(sink, self._finished)
        with self._out.discarding():
            writer = self._open(sink, self._finished)
            # Offsets in the footer are counts of the bytes that the sink was given.
            missing = written - sink.tell()
            for _ in range(missing // len(_FILLER)):
                sink.write(_FILLER)
            sink.write(_FILLER[: missing % len(_FILLER)])
        return writer

    def _end_section(self, writer: pq.ParquetWriter) -> None:
        with self._out.discarding():
            writer.close()

    def _open(self, sink: pa.NativeFile, footers: list[pq.FileMetaData]) -> pq.ParquetWriter:
        with_statistics = [name for name in self._schema.names if name not in self._without]
        return pq.ParquetWriter(
            sink,
            self._schema,
            write_statistics=with_statistics if self._without else True,
            metadata_collector=footers,
            **self._options,
        )


class _Body:
    """A binary stream that counts what is written, and can discard what it is given.

    Args:
        stream: The stream below.
        skip: Bytes at the beginning that are counted and not written.
    """

    def __init__(self, stream: Writable, skip: int = 0) -> None:
        self._stream = stream
        self._discards = False
        self._skip = skip
        self.written = 0
        self.closed = False

    def write(self, data: Any) -> int:
        if self._discards:
            return len(data)
        skipped = min(max(self._skip - self.written, 0), len(data))
        if skipped < len(data):
            self._stream.write(bytes(data)[skipped:] if skipped else data)
        self.written += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: the owner of the stream flushes it."""

    @contextmanager
    def discarding(self) -> Iterator[None]:
        """Discard what is written within the block."""
        self._discards = True
        try:
            yield
        finally:
            self._discards = False
