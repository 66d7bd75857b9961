"""NDJSON: one JSON object a line, for APIs, queues and log stores."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import polars as pl
from pydantic import BeforeValidator, model_validator

from pipeline.errors import SinkError
from pipeline.sinks.compression import SUFFIXES, Compression, check_level, compressed
from pipeline.sinks.sink import Column, Sink, Table, Written
from pipeline.sinks.text import TIMESTAMP_FORMAT, TextRenderer, render_timestamps

# The unit separator: JSON escapes every control character, so it cannot occur in a rendered value.
_GAP = "\x1f"
_NON_FINITE = ("NaN", "inf", "-inf")


def _null_word(value: object) -> object:
    """YAML reads a bare null as nothing; here it is one of the words."""
    return "null" if value is None else value


NonFinite = Annotated[Literal["null", "string", "error"], BeforeValidator(_null_word)]


class NdjsonSink(Sink):
    """Options of the ndjson format (one RFC 8259 object a line, LF, UTF-8).

    Attributes:
        non_finite: NaN and infinities, which JSON numbers cannot express, as `string`
            (`"NaN"`, `"inf"`, `"-inf"`), as `null`, or as an `error`.
        compression: `none`, `gzip` or `zstd`.
        compression_level: Level of the codec.
    """

    format: Literal["ndjson"]
    non_finite: NonFinite = "string"
    compression: Compression = "none"
    compression_level: int | None = None

    @model_validator(mode="after")
    def _check_level(self) -> NdjsonSink:
        check_level(self.compression, self.compression_level)
        return self

    @property
    def extension(self) -> str:
        """`.ndjson`, then the codec's suffix."""
        return ".ndjson" + SUFFIXES[self.compression]

    @property
    def mediatype(self) -> str:
        """`application/x-ndjson`, as the format's own specification asks."""
        return "application/x-ndjson"

    def dialect(self, header_row: int | None) -> Mapping[str, Any]:
        """NDJSON has no dialect."""
        return {}

    def text_options(self) -> Mapping[str, Any]:
        """What NaN and infinities look like."""
        return {"non_finite": self.non_finite}

    def open(self, stream: IO[bytes], table: Table) -> NdjsonWriter:
        """Begin a file; NDJSON has no head."""
        return NdjsonWriter(self, stream, table)

    def read_back(self, path: Path, table: Table) -> pl.LazyFrame:
        """Read a file of this sink with the table's types, text as String."""
        types: dict[str, Any] = {
            "text": pl.String,
            "number": pl.String if self.non_finite == "string" else pl.Float64,
            "integer": pl.Int64,
            "boolean": pl.Boolean,
            "timestamp": pl.String,
        }
        frame = pl.scan_ndjson(path, schema={c.name: types[c.type] for c in table.columns})
        return frame.with_columns(
            *(_parsed(column) for column in table.columns if column.type in ("number", "timestamp"))
        )


class NdjsonWriter:
    """Writes one NDJSON file batch after batch.

    A line is a row of fragments: what is constant between two values is rendered once, what
    repeats is gathered, and the CSV writer lays the fragments side by side.
    """

    def __init__(self, sink: NdjsonSink, stream: IO[bytes], table: Table) -> None:
        self._sink = sink
        self._table = table
        self._out = compressed(stream, sink.compression, sink.compression_level)
        self._rows = 0
        self._non_finite = 0
        self._rendered = {c.name: _renderer(c) for c in table.columns}

    def write(self, batch: pl.DataFrame) -> None:
        """Append the rows of a batch.

        Raises:
            SinkError: A value is not finite where `non_finite` is `error`.
        """
        if batch.is_empty():
            return
        odd = self._table.count_non_finite(batch)
        if odd and self._sink.non_finite == "error":
            raise SinkError(self._complaint(batch))
        lines = io.BytesIO()
        self._fragments(batch).write_csv(
            lines,
            include_header=False,
            separator=_GAP,
            quote_style="never",
            null_value="null",
        )
        self._out.write(self._closed_up(lines.getvalue(), odd=odd > 0))
        self._rows += batch.height
        self._non_finite += odd

    def flush(self) -> None:
        """Nothing is held back."""

    @property
    def held_rows(self) -> int:
        """Always 0: rows are written as they come."""
        return 0

    def close(self) -> Written:
        """Finish the compressed frame; the stream itself stays open."""
        self._out.close()
        return Written(self._rows, self._non_finite)

    def _fragments(self, batch: pl.DataFrame) -> pl.DataFrame:
        columns: list[pl.Series | pl.Expr] = []
        for place, column in enumerate(self._table.columns):
            key = ("{" if place == 0 else ",") + json.dumps(column.name) + ":"
            columns.append(pl.lit(key).alias(f"key {place}"))
            columns.append(self._rendered[column.name](batch[column.name]).alias(f"value {place}"))
        return pl.select(*columns, pl.lit("}").alias("end"))

    def _closed_up(self, lines: bytes, *, odd: bool) -> bytes:
        gap = _GAP.encode()
        if odd:
            for text in _NON_FINITE:
                value = f'"{text}"' if self._sink.non_finite == "string" else "null"
                lines = lines.replace(gap + text.encode() + gap, value.encode())
        return lines.replace(gap, b"")

    def _complaint(self, batch: pl.DataFrame) -> str:
        for column in self._table.columns:
            if column.type != "number":
                continue
            odd = batch.filter(pl.col(column.name).is_finite().not_()).head(1)
            if odd.height:
                row = ", ".join(f"{name}={value}" for name, value in odd.row(0, named=True).items())
                return (
                    f"column {column.name!r} holds a value that JSON cannot express ({row}): "
                    "set non_finite to string or null"
                )
        raise AssertionError("a non-finite value was counted but not found")


def _renderer(column: Column) -> Callable[[pl.Series], pl.Series]:
    if column.type == "text":
        return TextRenderer(_json_strings)
    if column.type == "timestamp":
        return lambda instants: '"' + render_timestamps(instants) + '"'
    return lambda plain: plain


def _json_strings(texts: pl.Series) -> pl.Series:
    rendered = [None if t is None else json.dumps(t, ensure_ascii=False) for t in texts]
    return pl.Series(texts.name, rendered, dtype=pl.String)


def _parsed(column: Column) -> pl.Expr:
    if column.type == "timestamp":
        return pl.col(column.name).str.to_datetime(
            TIMESTAMP_FORMAT, time_unit="us", time_zone="UTC"
        )
    return pl.col(column.name).cast(pl.Float64)
