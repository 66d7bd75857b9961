"""Parquet: typed columns for analytics, with the metadata in the footer."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from pipeline.sinks.sink import Column, Sink, Table, Written

FOOTER_PREFIX = "flowtime."
_LEVELS = {"zstd": range(1, 23), "gzip": range(1, 10), "brotli": range(12)}
_FAST_LEVEL = {"zstd": 1}
_ARROW_TYPES: dict[str, pa.DataType] = {
    "timestamp": pa.timestamp("us", "UTC"),
    "number": pa.float64(),
    "integer": pa.int64(),
    "text": pa.string(),
    "boolean": pa.bool_(),
}
_CODES = pa.dictionary(pa.int32(), pa.string())


class ParquetSink(Sink):
    """Options of the parquet format.

    Attributes:
        compression: `zstd`, `snappy`, `gzip`, `lz4`, `brotli` or `none`.
        compression_level: Level of the codec; zstd defaults to 1, which gives the size of
            level 3 on this data at a third of the time.
        row_group_size: Rows in a row group.
    """

    format: Literal["parquet"]
    compression: Literal["zstd", "snappy", "gzip", "lz4", "brotli", "none"] = "zstd"
    compression_level: int | None = None
    row_group_size: Annotated[int, Field(ge=1, le=10_000_000)] = 262_144

    @model_validator(mode="after")
    def _check_level(self) -> ParquetSink:
        if self.compression_level is None:
            return self
        levels = _LEVELS.get(self.compression)
        if levels is None:
            raise ValueError(f"compression_level has no meaning for {self.compression}")
        if self.compression_level not in levels:
            raise ValueError(
                f"compression_level is {self.compression_level}; "
                f"{self.compression} takes {levels.start} to {levels.stop - 1}"
            )
        return self

    @property
    def extension(self) -> str:
        """`.parquet`; the codec is inside."""
        return ".parquet"

    @property
    def mediatype(self) -> str:
        """`application/vnd.apache.parquet`, as registered with IANA."""
        return "application/vnd.apache.parquet"

    def dialect(self, header_row: int | None) -> Mapping[str, Any]:
        """Parquet has no dialect."""
        return {}

    def open(self, stream: IO[bytes], table: Table) -> ParquetWriter:
        """Begin a file."""
        return ParquetWriter(self, stream, table)

    def read_back(self, path: Path, table: Table) -> pl.LazyFrame:
        """Read a file of this sink with the table's types, text as String."""
        return pl.scan_parquet(path, glob=False, hive_partitioning=False).select(table.names)


class ParquetWriter:
    """Writes one Parquet file, a row group whenever enough rows have come."""

    def __init__(self, sink: ParquetSink, stream: IO[bytes], table: Table) -> None:
        self._sink = sink
        self._table = table
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._rows = 0
        self._non_finite = 0
        self._schema = pa.schema([_written_field(column) for column in table.columns])
        level = sink.compression_level or _FAST_LEVEL.get(sink.compression)
        self._writer = pq.ParquetWriter(
            stream,
            self._schema,
            compression=sink.compression,
            compression_level=level,
            write_statistics=True,
            store_schema=False,
        )

    def write(self, batch: pl.DataFrame) -> None:
        """Take the rows of a batch; whole row groups are written at once."""
        self._non_finite += self._table.count_non_finite(batch)
        self._rows += batch.height
        size = self._sink.row_group_size
        start = 0
        while batch.height - start + self._held_rows >= size:
            take = size - self._held_rows
            self._hold(batch.slice(start, take))
            self._write_group()
            start += take
        self._hold(batch.slice(start))

    def flush(self) -> None:
        """Write the rows that are held back as a row group."""
        if self._held_rows:
            self._write_group()

    @property
    def held_rows(self) -> int:
        """Rows that wait for their row group to be full."""
        return self._held_rows

    def close(self) -> Written:
        """Write the last row group and the footer; the stream itself stays open."""
        self.flush()
        footer = {FOOTER_PREFIX + key: json.dumps(v) for key, v in self._table.metadata.items()}
        footer[FOOTER_PREFIX + "rows"] = json.dumps(self._rows)
        self._writer.add_key_value_metadata(
            {"ARROW:schema": _declared_schema(self._table), **footer}
        )
        self._writer.close()
        return Written(self._rows, self._non_finite)

    def _hold(self, batch: pl.DataFrame) -> None:
        if batch.height:
            self._held.append(batch)
            self._held_rows += batch.height

    def _write_group(self) -> None:
        group = pl.concat(self._held, rechunk=True)
        self._held, self._held_rows = [], 0
        arrays = [_arrow(group[column.name], column) for column in self._table.columns]
        self._writer.write_table(
            pa.Table.from_arrays(arrays, schema=self._schema),
            row_group_size=self._sink.row_group_size,
        )


def _written_field(column: Column) -> pa.Field:
    return pa.field(column.name, _CODES if column.type == "text" else _ARROW_TYPES[column.type])


def _declared_schema(table: Table) -> str:
    """The Arrow schema readers see: plain strings, and units on the fields.

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


def _arrow(values: pl.Series, column: Column) -> pa.Array:
    if column.type != "text":
        return values.to_arrow().cast(_ARROW_TYPES[column.type])
    if not isinstance(values.dtype, pl.Enum):
        values = values.cast(pl.Enum(values.unique(maintain_order=True).drop_nulls()))
    return _dictionary(values)


def _dictionary(values: pl.Series) -> pa.DictionaryArray:
    """An Enum column as a dictionary of only the categories that occur in it.

    Arrow writes the whole dictionary into each row group: ten thousand run ids for the rows of
    thirty runs, were they not left out.
    """
    assert isinstance(values.dtype, pl.Enum)
    missing = values.is_null().to_numpy() if values.null_count() else None
    codes = values.to_physical().fill_null(0).to_numpy()
    occurs = np.zeros(len(values.dtype.categories) or 1, dtype=bool)
    occurs[codes if missing is None else codes[~missing]] = True
    places = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
    used = values.dtype.categories.filter(pl.Series(occurs[: len(values.dtype.categories)]))
    return pa.DictionaryArray.from_arrays(
        pa.array(places[codes], mask=missing), pa.array(used.to_list(), type=pa.string())
    )
