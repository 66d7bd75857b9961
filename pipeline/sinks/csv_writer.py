"""Write CSV files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa

from connectors.storage import Writable
from pipeline.errors import SinkError
from pipeline.rows.column import Column, Table
from pipeline.sinks.compression import SegmentedStream
from pipeline.sinks.csv import CsvSink
from pipeline.sinks.csv_dialect import COMMENT
from pipeline.sinks.lines import Cell, LineRenderer, LineWriter
from pipeline.sinks.sink import EncodingThreads, Written
from pipeline.sinks.text import TextRenderer, render_integers, render_timestamps, texts_of

_BOM = b"\xef\xbb\xbf"
_FORMULA = re.compile(r"[=+\-@\t\r]")


class CsvWriter(LineWriter):
    """Writes one CSV file batch after batch."""

    def __init__(
        self,
        sink: CsvSink,
        stream: Writable,
        table: Table,
        *,
        is_later: bool = False,
        threads: EncodingThreads | None = None,
    ) -> None:
        self._sink = sink
        cells = [
            Cell(column, sink.separator if place else "", self._renderer(column))
            for place, column in enumerate(table.columns)
        ]
        out = SegmentedStream(stream, sink.compression, sink.compression_level, is_later=is_later)
        super().__init__(out, table, LineRenderer(cells, "\n"))
        comments = table.metadata if sink.metadata_header else {}
        self._header_row = len(comments) + 1
        if not is_later:
            head = _BOM if sink.bom else b""
            out.write(head + metadata_lines(comments) + self._names())

    def write(self, batch: pl.DataFrame) -> None:
        """Append the rows of a batch.

        Raises:
            SinkError: The only column is missing in a row, whose line would be blank.
        """
        if len(self._table.columns) == 1 and not self._sink.null_value:
            (name,) = self._table.names
            if batch[name].null_count():
                raise SinkError(
                    f"column {name!r} is the only one and has missing values: their lines would "
                    "be blank, and readers pass over these; set null_value, e.g. to NULL, or "
                    "choose more columns"
                )
        super().write(batch)

    def close(self) -> Written:
        """Finish the compressed frame; the stream itself stays open."""
        return replace(super().close(), header_row=self._header_row)

    def _names(self) -> bytes:
        return (self._sink.separator.join(map(self._quoted, self._table.names)) + "\n").encode()

    def _renderer(self, column: Column) -> Callable[[pl.Series, str], pa.Array | list[str]]:
        """Return what renders the cells of a column, each after a text.

        A null is never quoted: readers take quotes around nothing for an empty text, and a column
        of numbers with such cells for text.
        """
        style = self._sink.quote_style
        null = self._sink.null_value
        bare = style == "necessary" or (
            style == "non_numeric" and column.type in ("number", "integer")
        )
        quote = "" if bare else self._sink.quote
        if column.type == "text":
            render = TextRenderer(self._text, null)
            return lambda texts, _: render(texts)
        if column.type == "timestamp":
            return lambda instants, before: render_timestamps(
                instants, null, quote, before, has_fractions=column.has_fractions
            )
        if column.type == "integer":
            return lambda numbers, before: render_integers(numbers, null, quote, before)
        return lambda values, _: texts_of(self._numbers(values, quote), null)

    def _numbers(self, values: pl.Series, quote: str) -> pl.Series:
        texts = values.cast(pl.String)
        if self._sink.decimal != ".":
            texts = texts.str.replace(".", self._sink.decimal, literal=True)
        return quote + texts + quote if quote else texts

    def _text(self, text: str) -> str:
        if self._sink.escape_formulas and _FORMULA.match(text):
            # OWASP's defence against CSV injection.
            text = "'" + text
        return self._quoted(text)

    def _quoted(self, text: str) -> str:
        """Quote text as RFC 4180 asks, and where a reader would misunderstand it.

        pandas and DuckDB cut a line at a comment sign inside a bare cell, and text that equals
        the null value would be read as missing.
        """
        sink = self._sink
        if sink.quote_style == "necessary" and text != sink.null_value:
            risky = (sink.separator, sink.quote, "\n", "\r")
            comment = sink.metadata_header and COMMENT in text
            if not comment and not any(one in text for one in risky):
                return text
        return sink.quote + text.replace(sink.quote, sink.quote * 2) + sink.quote


def metadata_lines(metadata: Mapping[str, Any]) -> bytes:
    r"""Return comment lines that are YAML without `# `; JSON keeps each value on its line.

    >>> metadata_lines({"runs": ["a"], "note": "two\nlines"})
    b'# runs: ["a"]\n# note: "two\\nlines"\n'
    """
    lines = (
        f"{COMMENT} {key}: {json.dumps(value, ensure_ascii=True)}\n"
        for key, value in metadata.items()
    )
    return "".join(lines).encode("ascii")
