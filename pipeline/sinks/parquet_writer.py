"""Write Parquet files, row group by row group."""

from __future__ import annotations

import base64
import json
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from connectors.flowtime.scan.arrays import as_arrow, as_column
from connectors.storage import Writable
from pipeline.rows.column import Column, Table
from pipeline.rows.numbers import non_finite_in, unnamed
from pipeline.sinks.parquet_encoding import MAGIC, EncodedRowGroups, RowGroup, encoded
from pipeline.sinks.parquet_segments import JoinedRowGroups, ParquetJoin
from pipeline.sinks.run_lengths import RowNumbers, first_rows, lengths, text_changes
from pipeline.sinks.sink import Written

if TYPE_CHECKING:
    from pipeline.sinks.parquet import ParquetFiles

FOOTER_PREFIX = "flowtime."
_FAST_LEVEL = {"zstd": 1}
_OCCURRENCES = 4
# So many are counted by Arrow on one thread, where Polars would wake all of its own for each of
# many small files. Of more, Arrow's count was seen to hold 100 MB.
_FEW_ROWS = 32_768
# Arrow gathers the statistics of dictionaries once for so many rows; its own 1,024 cost half as
# much time again.
_ENCODED_AT_ONCE = 32_768
# Row groups smaller than this are encoded several at a time, by one writer of Arrow.
_BLOCK_ROWS = 262_144
_ARROW_TYPES: dict[str, pa.DataType] = {
    "timestamp": pa.timestamp("us", "UTC"),
    "number": pa.float64(),
    "integer": pa.int64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
}
_CODES = pa.dictionary(pa.int32(), pa.string())


class ParquetWriter:
    """Writes one Parquet file, a row group whenever there are enough rows.

    Args:
        sink: The options of the file.
        stream: The open binary stream, at its beginning.
        table: What the file holds.
        threads: So many encode row groups at a time, as `table.most_held_rows` allows.
    """

    def __init__(
        self, sink: ParquetFiles, stream: Writable, table: Table, threads: int = 1
    ) -> None:
        self._sink = sink
        self._table = table
        self._schema = _schema(table)
        self._stream = stream
        self._row_groups = JoinedRowGroups()
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._rows = 0
        self._non_finite = 0
        most = table.most_held_rows or sys.maxsize
        self._group_rows = min(sink.row_group_size, most)
        block = min(_BLOCK_ROWS, most // (threads + 1))
        self._block_rows = max(1, block // self._group_rows) * self._group_rows
        self._most_ahead = min(threads, most // self._block_rows - 1) if threads > 1 else 0
        self._options: Mapping[str, Any] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._ahead: deque[Future[list[EncodedRowGroups]]] = deque()

    def write(self, batch: pl.DataFrame) -> None:
        """Take the rows of a batch; whole row groups are encoded."""
        self._non_finite += non_finite_in(batch, self._table)
        self._rows += batch.height
        size = self._block_rows
        start = 0
        while batch.height - start + self._held_rows >= size:
            take = size - self._held_rows
            self._hold(batch.slice(start, take))
            self._encode_ahead()
            start += take
        self._hold(batch.slice(start))

    def cut(self) -> None:
        """End the row group, and encode those that follow as in a file of their own."""
        self._flush()
        self._options = None

    def close(self) -> Written:
        """Write the last row group and the footer; the stream itself stays open."""
        self._flush()
        self._append_encoded(0)
        if self._threads is not None:
            self._threads.shutdown()
        if not self._row_groups.size:
            self._stream.write(MAGIC)
        metadata = _footer_metadata(self._table, self._rows)
        self._stream.write(self._row_groups.footer(self._schema, metadata))
        return Written(self._rows, self._non_finite)

    def _hold(self, batch: pl.DataFrame) -> None:
        if batch.height:
            self._held.append(batch)
            self._held_rows += batch.height

    def _flush(self) -> None:
        """Encode the rows that are held back."""
        if self._held_rows and self._ahead:
            self._encode_ahead()
        elif self._held_rows:
            self._append(self._encoded(*self._taken()))

    def _encode_ahead(self) -> None:
        """Encode the rows that are held back, beside those before where there are threads."""
        if self._most_ahead < 1:
            self._flush()
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(
                self._most_ahead, thread_name_prefix="flowtime-encode"
            )
        self._ahead.append(self._threads.submit(self._encoded, *self._taken()))
        self._append_encoded(self._most_ahead)

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

    def _taken(self) -> tuple[pl.DataFrame, Mapping[str, Any]]:
        """Return the rows that were held back, and how they are encoded."""
        rows = pl.concat(self._held, rechunk=True)
        self._held, self._held_rows = [], 0
        if self._options is None:
            self._options = self._encoding(rows.head(self._group_rows))
        return rows, self._options

    def _encoded(self, rows: pl.DataFrame, options: Mapping[str, Any]) -> list[EncodedRowGroups]:
        groups = (
            RowGroup(
                pa.Table.from_arrays(_encodable(group, self._table), schema=self._schema),
                _with_nan(group, self._table),
            )
            for group in rows.iter_slices(self._group_rows)
        )
        return encoded(groups, self._schema, options)

    def _encoding(self, first: pl.DataFrame) -> Mapping[str, Any]:
        """Return options of Arrow's writer, with encodings that fit the first row group.

        A dictionary of what hardly repeats is built in vain and given up when it has grown too
        large. Instants and whole numbers that do not repeat are mostly one step apart: a year by
        the minute takes 0.01 bytes a row as differences, and 6 to 7 in any other way.
        """
        repeating = [c.name for c in self._table.columns if _repeats(c, first)]
        stepping = {
            column.name: "DELTA_BINARY_PACKED"
            for column in self._table.columns
            if column.type in ("timestamp", "integer") and column.name not in repeating
        }
        compression, level = self._sink.compression, self._sink.compression_level
        return {
            "compression": compression,
            "compression_level": _FAST_LEVEL.get(compression) if level is None else level,
            "use_dictionary": repeating,
            "column_encoding": stepping or None,
            "write_batch_size": _ENCODED_AT_ONCE,
            "store_schema": False,
            # One page a column, up to Arrow's megabyte: pages of its 20,000 rows are compressed
            # each on its own, which took 40 % more bytes and 5 % more time.
            "max_rows_per_page": self._group_rows,
        }


def joined_row_groups(stream: Writable, table: Table) -> ParquetJoin:
    """Begin to write one file from the row groups of others, without decoding them."""
    return ParquetJoin(stream, _schema(table), lambda rows: _footer_metadata(table, rows))


def _schema(table: Table) -> pa.Schema:
    return pa.schema([_written_field(column) for column in table.columns])


def _footer_metadata(table: Table, rows: int) -> dict[str, str]:
    """Return the key-value pairs of a footer."""
    own = {FOOTER_PREFIX + key: json.dumps(value) for key, value in table.metadata.items()}
    own[FOOTER_PREFIX + "rows"] = json.dumps(rows)
    return {"ARROW:schema": _declared_schema(table), **own}


def _with_nan(rows: pl.DataFrame, table: Table) -> frozenset[str]:
    """Return the names of the columns that hold NaN.

    Minimum and maximum leave NaN out, so that readers which skip row groups by them lose rows:
    with `[7, NaN, 7]`, those of `value > 100` in engines that order NaN after all numbers, and
    those of `value <> 7` everywhere.
    """
    return frozenset(
        column.name
        for column in table.columns
        if column.type == "number" and unnamed(rows[column.name]).is_nan().any()
    )


def _repeats(column: Column, rows: pl.DataFrame) -> bool:
    """Return whether a dictionary pays off, as each value occurs a few times."""
    if column.type in ("text", "boolean"):
        return column.type == "text"
    if rows.is_empty():
        return True
    values = unnamed(rows[column.name])
    if rows.height > _FEW_ROWS:
        different = values.n_unique()
    else:
        different = pc.count_distinct(values.to_arrow(), mode="all").as_py()
    return different * _OCCURRENCES <= rows.height


def _written_field(column: Column) -> pa.Field:
    return pa.field(column.name, _CODES if column.type == "text" else _ARROW_TYPES[column.type])


def _declared_schema(table: Table) -> str:
    """Return the Arrow schema that readers see: plain strings, and units on the fields.

    Arrow keeps field metadata in the file's `ARROW:schema` entry, an IPC schema message in
    base64. Writing it here lets text be written from dictionaries and still be read as strings.
    """
    fields = [
        pa.field(
            column.name,
            _ARROW_TYPES[column.type],
            metadata=None if column.unit is None else {"unit": column.unit},
        )
        for column in table.columns
    ]
    return base64.b64encode(pa.schema(fields).serialize().to_pybytes()).decode("ascii")


def _encodable(rows: pl.DataFrame, table: Table) -> list[pa.Array]:
    """Return the columns as Arrow arrays, text as dictionaries.

    Text is the same in all rows of a series: it is looked up once for each run of equal rows.
    """
    texts = [column for column in table.columns if column.type == "text"]
    starts = first_rows(rows.height, text_changes(rows, texts))
    dictionaries = iter(_dictionaries([rows[text.name] for text in texts], starts, rows.height))
    return [
        next(dictionaries)
        if column.type == "text"
        else rows[column.name].to_arrow().cast(_ARROW_TYPES[column.type])
        for column in table.columns
    ]


def _dictionaries(
    texts: Sequence[pl.Series], starts: RowNumbers, rows: int
) -> list[pa.DictionaryArray]:
    """Return text columns as dictionaries of only what occurs.

    Arrow writes the whole dictionary into each row group: ten thousand run ids for the rows of
    thirty runs, were they not left out.

    Args:
        texts: The columns.
        starts: The first row of each run of equal rows.
        rows: How many rows there are.
    """
    if not texts:
        return []
    heads = pl.DataFrame([text.alias(str(place)) for place, text in enumerate(texts)])[
        as_column(starts)
    ]
    # By one query for all columns: with a file for each of many runs, calls are what takes time.
    plain = heads.select(pl.all().cast(pl.String)).to_arrow(compat_level=pl.CompatLevel.oldest())
    run_of_row = np.repeat(np.arange(len(starts), dtype=np.int32), lengths(starts, rows))
    of_rows = as_arrow(run_of_row)
    return [
        column.combine_chunks().cast(pa.string()).dictionary_encode().take(of_rows)
        for column in plain.itercolumns()
    ]
