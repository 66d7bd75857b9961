"""Write NDJSON files."""

from __future__ import annotations

import json
from collections.abc import Callable

import polars as pl
import pyarrow as pa

from connectors.storage import Writable
from pipeline.errors import SinkError
from pipeline.rows.column import Column, Table
from pipeline.rows.numbers import count_non_finite
from pipeline.sinks.compression import SegmentedStream
from pipeline.sinks.lines import Cell, LineRenderer, LineWriter
from pipeline.sinks.ndjson import NdjsonSink, NonFinite
from pipeline.sinks.sink import EncodingThreads
from pipeline.sinks.text import TextRenderer, render_integers, render_timestamps, texts_of

_NULL = "null"


class NdjsonWriter(LineWriter):
    """Writes one NDJSON file batch after batch."""

    def __init__(
        self,
        sink: NdjsonSink,
        stream: Writable,
        table: Table,
        *,
        is_later: bool = False,
        threads: EncodingThreads | None = None,
    ) -> None:
        self._sink = sink
        cells = [
            Cell(
                column,
                ("," if place else "{") + json.dumps(column.name) + ":",
                _renderer(column, sink.non_finite),
            )
            for place, column in enumerate(table.columns)
        ]
        out = SegmentedStream(stream, sink.compression, sink.compression_level, is_later=is_later)
        super().__init__(out, table, LineRenderer(cells, "}\n"))

    def _check(self, batch: pl.DataFrame) -> None:
        """Refuse values that are not finite where `non_finite` is `error`.

        Raises:
            SinkError: There is one.
        """
        if self._sink.non_finite == "error":
            raise SinkError(self._complaint(batch))

    def _complaint(self, batch: pl.DataFrame) -> str:
        for column in self._table.columns:
            if column.type != "number":
                continue
            odd = batch.filter(pl.col(column.name).is_finite().not_()).head(1)
            if odd.height:
                cells = odd.row(0, named=True)
                row = ", ".join(f"{one.name}={cells[one.name]}" for one in self._table.columns)
                return (
                    f"column {column.name!r} holds a value that JSON cannot express ({row}): "
                    "set non_finite to string or null"
                )
        raise AssertionError("a non-finite value was counted but not found")


def _renderer(
    column: Column, non_finite: NonFinite
) -> Callable[[pl.Series, str], pa.Array | list[str]]:
    if column.type == "text":
        render = TextRenderer(_json_string, _NULL)
        return lambda texts, _: render(texts)
    if column.type == "timestamp":
        return lambda instants, before: render_timestamps(
            instants, _NULL, '"', before, has_fractions=column.has_fractions
        )
    if column.type == "number":
        return lambda numbers, _: texts_of(_json_numbers(numbers, non_finite), _NULL)
    if column.type == "integer":
        return lambda numbers, before: render_integers(numbers, _NULL, "", before)
    return lambda plain, _: texts_of(plain.cast(pl.String), _NULL)


def _json_numbers(numbers: pl.Series, non_finite: NonFinite) -> pl.Series:
    """Render numbers as JSON, NaN and infinities as strings or nulls."""
    rendered = numbers.cast(pl.String)
    if count_non_finite(numbers) == 0:
        return rendered
    finite = numbers.is_finite()
    odd = '"' + rendered + '"' if non_finite == "string" else pl.Series([None], dtype=pl.String)
    return rendered.zip_with(finite, odd)


def _json_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
