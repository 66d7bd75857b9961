"""Write Parquet files, row group by row group."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future

import polars as pl

from connectors.storage import Writable
from pipeline.rows.column import Table
from pipeline.rows.numbers import non_finite_in
from pipeline.sinks.parquet import ParquetFiles
from pipeline.sinks.parquet_encoding import MAGIC, EncodedRowGroups, Encoding, RowGroupEncoder
from pipeline.sinks.parquet_schema import footer_metadata, written_schema
from pipeline.sinks.parquet_segments import JoinedRowGroups, ParquetJoin
from pipeline.sinks.sink import EncodingThreads, Written

_BLOCK_ROWS = 262_144
"""Row groups smaller than this are encoded several at a time, by one writer of Arrow."""


class ParquetWriter:
    """Writes one Parquet file, a row group whenever there are enough rows.

    Args:
        sink: The options of the file.
        stream: The open binary stream, at its beginning.
        table: What the file holds.
        threads: Encode several row groups at a time, as `table.most_held_rows` allows; None to
            encode on the caller's thread.
    """

    def __init__(
        self,
        sink: ParquetFiles,
        stream: Writable,
        table: Table,
        *,
        is_later: bool = False,
        threads: EncodingThreads | None = None,
    ) -> None:
        self._table = table
        self._stream = stream
        self._row_groups = JoinedRowGroups()
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._rows = 0
        self._non_finite = 0
        most = table.most_held_rows or sys.maxsize
        group_rows = min(sink.row_group_size, most)
        count = 0 if threads is None else threads.count
        block = min(_BLOCK_ROWS, most // (count + 1))
        self._block_rows = max(1, block // group_rows) * group_rows
        self._threads = threads
        self._most_ahead = min(count, most // self._block_rows - 1)
        self._encoder = RowGroupEncoder(sink, table, group_rows)
        self._encoding: Encoding | None = None
        self._ahead: deque[Future[list[EncodedRowGroups]]] = deque()

    @staticmethod
    def join(stream: Writable, table: Table) -> ParquetJoin:
        """Begin to write one file from the row groups of others, without decoding them."""
        schema = written_schema(table)
        return ParquetJoin(stream, schema, lambda rows: footer_metadata(table, rows))

    def write(self, batch: pl.DataFrame) -> None:
        """Take the rows of a batch; whole row groups are encoded."""
        self._non_finite += non_finite_in(batch, self._table)
        self._rows += batch.height
        size = self._block_rows
        start = 0
        while batch.height - start + self._held_rows >= size:
            take = size - self._held_rows
            self._hold(batch.slice(start, take))
            self._encode(ahead=self._most_ahead > 0)
            start += take
        self._hold(batch.slice(start))

    def cut(self) -> None:
        """End the row group, and encode those that follow as in a file of their own."""
        self._flush()
        self._encoding = None

    def close(self) -> Written:
        """Write the last row group and the footer; the stream itself stays open."""
        self._flush()
        self._append_encoded(0)
        if not self._row_groups.size:
            self._stream.write(MAGIC)
        metadata = footer_metadata(self._table, self._rows)
        self._stream.write(self._row_groups.footer(self._encoder.schema, metadata))
        return Written(self._rows, self._non_finite)

    def _hold(self, batch: pl.DataFrame) -> None:
        if batch.height:
            self._held.append(batch)
            self._held_rows += batch.height

    def _flush(self) -> None:
        """Encode the rows that are held back, behind those that are being encoded."""
        if self._held_rows:
            self._encode(ahead=bool(self._ahead))

    def _encode(self, *, ahead: bool) -> None:
        """Encode the rows that are held back: ahead on a thread, or at once."""
        if ahead and self._threads is not None:
            self._ahead.append(self._threads.submit(self._encoder.encode, *self._taken()))
            self._append_encoded(self._most_ahead)
        else:
            self._append(self._encoder.encode(*self._taken()))

    def _append_encoded(self, most_left: int) -> None:
        """Write what is encoded, in order, but for the last ones."""
        while len(self._ahead) > most_left:
            self._append(self._ahead.popleft().result())

    def _append(self, encoded: Iterable[EncodedRowGroups]) -> None:
        for groups in encoded:
            if not self._row_groups.size:
                self._stream.write(MAGIC)
            self._stream.write(groups.content)
            self._row_groups.append(groups.footer, len(groups.content))

    def _taken(self) -> tuple[pl.DataFrame, Encoding]:
        """Return the rows that were held back, and how they are encoded."""
        rows = pl.concat(self._held, rechunk=True)
        self._held, self._held_rows = [], 0
        if self._encoding is None:
            self._encoding = self._encoder.encoding(rows)
        return rows, self._encoding
