"""Encode rows as the row groups of a Parquet file, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.flowtime.scan.arrays import as_arrow, as_column
from pipeline.rows.column import Column, Table
from pipeline.rows.numbers import unnamed
from pipeline.sinks.parquet import ParquetFiles
from pipeline.sinks.parquet_schema import ARROW_TYPES, written_schema
from pipeline.sinks.run_lengths import RowNumbers, first_rows, lengths, text_changes

MAGIC = b"PAR1"
TAIL_BYTES = 8
"""Length of the footer and the magic bytes, at the end of a file."""

_FAST_LEVEL = {"zstd": 1}
_OCCURRENCES = 4
# So many are counted by Arrow on one thread, where Polars would wake all of its own for each of
# many small files. Of more, Arrow's count was seen to hold 100 MB.
_FEW_ROWS = 32_768
# Arrow gathers the statistics of dictionaries once for so many rows; its own 1,024 cost half as
# much time again.
_ENCODED_AT_ONCE = 32_768

Encoding = Mapping[str, Any]
"""Options of `pyarrow.parquet.ParquetWriter`."""


@dataclass(frozen=True, slots=True)
class EncodedRowGroups:
    """Encoded row groups, which follow each other.

    Attributes:
        content: Their bytes.
        footer: What the footer of a file says that holds them alone.
    """

    content: pa.Buffer
    footer: pq.FileMetaData


class RowGroupEncoder:
    """Encodes rows of one table; several threads may use it at a time.

    Args:
        sink: The options of the file.
        table: What the file holds.
        group_rows: Rows of a row group.

    Attributes:
        schema: The schema of all row groups.
    """

    def __init__(self, sink: ParquetFiles, table: Table, group_rows: int) -> None:
        self._sink = sink
        self._table = table
        self._group_rows = group_rows
        self.schema = written_schema(table)

    def encoding(self, rows: pl.DataFrame) -> Encoding:
        """Return how rows are encoded from these on, as it fits the first row group of them.

        A dictionary of what hardly repeats is built in vain and given up when it has grown too
        large. Instants and whole numbers that do not repeat are mostly one step apart: a year by
        the minute takes 0.01 bytes a row as differences, and 6 to 7 in any other way.
        """
        first = rows.head(self._group_rows)
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

    def encode(self, rows: pl.DataFrame, encoding: Encoding) -> list[EncodedRowGroups]:
        """Return rows, encoded.

        Arrow fixes the columns with statistics when a writer is opened: row groups that follow
        each other have one writer as long as they agree in them.
        """
        groups = map(self._row_group, rows.iter_slices(self._group_rows))
        return [
            self._encode_alike(alike, without, encoding)
            for without, alike in groupby(groups, key=attrgetter("without_statistics"))
        ]

    def _row_group(self, rows: pl.DataFrame) -> _RowGroup:
        columns = pa.Table.from_arrays(_encodable(rows, self._table), schema=self.schema)
        return _RowGroup(columns, _with_nan(rows, self._table))

    def _encode_alike(
        self, groups: Iterable[_RowGroup], without: frozenset[str], encoding: Encoding
    ) -> EncodedRowGroups:
        file = pa.BufferOutputStream()
        footers: list[pq.FileMetaData] = []
        described = [name for name in self._table.names if name not in without]
        with pq.ParquetWriter(
            file,
            self.schema,
            write_statistics=described if without else True,
            metadata_collector=footers,
            **encoding,
        ) as writer:
            for group in groups:
                writer.write_table(group.rows, row_group_size=group.rows.num_rows)
        whole = file.getvalue()
        return EncodedRowGroups(whole[len(MAGIC) : _row_groups_end(whole)], footers[0])


@dataclass(frozen=True, slots=True)
class _RowGroup:
    """What is encoded as one row group, and which columns get no statistics."""

    rows: pa.Table
    without_statistics: frozenset[str]


def _row_groups_end(file: pa.Buffer) -> int:
    """Return where the row groups of a Parquet file end and its footer begins, in bytes."""
    tail = len(file) - TAIL_BYTES
    return tail - int.from_bytes(file[tail : tail + 4].to_pybytes(), "little")


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
        else rows[column.name].to_arrow().cast(ARROW_TYPES[column.type])
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
