"""Write Parquet files, row group by row group."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from connectors.flowtime.scan.arrays import as_arrow, as_column
from connectors.storage import Writable
from pipeline.rows.column import Column, Table
from pipeline.rows.numbers import non_finite_in, unnamed
from pipeline.sinks.parquet_sections import SectionedWriter
from pipeline.sinks.parquet_segments import MAGIC, JoinedRowGroups, ParquetJoin
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
_ARROW_TYPES: dict[str, pa.DataType] = {
    "timestamp": pa.timestamp("us", "UTC"),
    "number": pa.float64(),
    "integer": pa.int64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
}
_CODES = pa.dictionary(pa.int32(), pa.string())


class ParquetWriter:
    """Writes one Parquet file, a row group whenever there are enough rows."""

    def __init__(self, sink: ParquetFiles, stream: Writable, table: Table) -> None:
        self._sink = sink
        self._table = table
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._rows = 0
        self._non_finite = 0
        self._group_rows = min(sink.row_group_size, table.most_held_rows or sink.row_group_size)
        level = sink.compression_level
        self._level = _FAST_LEVEL.get(sink.compression) if level is None else level
        self._schema = _schema(table)
        self._stream = stream
        self._writer: SectionedWriter | None = None
        self._segments: JoinedRowGroups | None = None

    def write(self, batch: pl.DataFrame) -> None:
        """Take the rows of a batch; whole row groups are written at once."""
        self._non_finite += non_finite_in(batch, self._table)
        self._rows += batch.height
        size = self._group_rows
        start = 0
        while batch.height - start + self._held_rows >= size:
            take = size - self._held_rows
            self._hold(batch.slice(start, take))
            self._write_group()
            start += take
        self._hold(batch.slice(start))

    def cut(self) -> None:
        """End the row group, and encode those that follow as in a file of their own."""
        self._flush()
        if self._segments is None:
            self._segments = JoinedRowGroups()
        if self._writer is not None:
            self._segments.append(*self._writer.detach())
            self._writer = None

    def close(self) -> Written:
        """Write the last row group and the footer; the stream itself stays open."""
        metadata = _footer_metadata(self._table, self._rows)
        if self._segments is None:
            self._flush()
            writer = self._writer or self._begin(pl.DataFrame())
            writer.close(metadata)
        else:
            self.cut()
            if not self._segments.size:
                self._stream.write(MAGIC)
            self._stream.write(self._segments.footer(self._schema, metadata))
        return Written(self._rows, self._non_finite)

    def _flush(self) -> None:
        """Write the rows that are held back as a row group."""
        if self._held_rows:
            self._write_group()

    def _hold(self, batch: pl.DataFrame) -> None:
        if batch.height:
            self._held.append(batch)
            self._held_rows += batch.height

    def _write_group(self) -> None:
        group = pl.concat(self._held, rechunk=True)
        self._held, self._held_rows = [], 0
        if self._writer is None:
            self._writer = self._begin(group)
        columns = _encodable(group, self._table)
        self._writer.write(
            pa.Table.from_arrays(columns, schema=self._schema),
            without_statistics=_with_nan(group, self._table),
        )

    def _begin(self, first: pl.DataFrame) -> SectionedWriter:
        """Open the file, with encodings that fit the rows of its first row group.

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
        return SectionedWriter(
            self._stream,
            self._schema,
            is_later=self._segments is not None and self._segments.size > 0,
            compression=self._sink.compression,
            compression_level=self._level,
            use_dictionary=repeating,
            column_encoding=stepping or None,
            write_batch_size=_ENCODED_AT_ONCE,
            store_schema=False,
            # One page a column, up to Arrow's megabyte: pages of its 20,000 rows are compressed
            # each on its own, which took 40 % more bytes and 5 % more time.
            max_rows_per_page=self._group_rows,
        )


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


def _with_nan(rows: pl.DataFrame, table: Table) -> list[str]:
    """Return the names of the columns that hold NaN.

    Minimum and maximum leave NaN out, so that readers which skip row groups by them lose rows:
    with `[7, NaN, 7]`, those of `value > 100` in engines that order NaN after all numbers, and
    those of `value <> 7` everywhere.
    """
    return [
        column.name
        for column in table.columns
        if column.type == "number" and unnamed(rows[column.name]).is_nan().any()
    ]


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
