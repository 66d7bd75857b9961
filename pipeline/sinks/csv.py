"""Gold CSV: a table any spreadsheet opens, with a header that says what it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import polars as pl
import pyarrow as pa
from pydantic import Field, model_validator

from connectors.storage import Writable
from pipeline.rows.column import Column, Table
from pipeline.sinks.compression import SUFFIXES, Compression, SegmentedStream, check_level
from pipeline.sinks.csv_dialect import (
    COMMENT,
    QuoteMark,
    QuoteStyle,
    Separator,
    check_decimal,
    check_null_value,
    check_quote,
    check_separator,
)
from pipeline.sinks.lines import Cell, LineRenderer, LineWriter
from pipeline.sinks.sink import Flag, Sink, WholeNumber, Written
from pipeline.sinks.text import TextRenderer, render_integers, render_timestamps, texts_of

_BOM = b"\xef\xbb\xbf"
_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "excel-eu": {
        "separator": ";",
        "decimal": ",",
        "bom": True,
        "escape_formulas": True,
        "metadata_header": False,
    }
}
_TEXT_OPTIONS = {"separator", "decimal", "quote", "null_value", "escape_formulas"}
_FORMULA = re.compile(r"[=+\-@\t\r]")


class CsvSink(Sink):
    """Options of the csv format (RFC 4180 with LF, UTF-8, a header row).

    Attributes:
        preset: The other options as a program wants them: `excel-eu` for Excel in countries that
            write 1,5. Options that are given all the same win.
        separator: One ASCII character between cells.
        decimal: Decimal mark of numbers: `.` or `,`.
        quote: One ASCII character around cells that need it.
        quote_style: `necessary`, `always` or `non_numeric`; a null is never quoted.
        null_value: Text of a missing value.
        bom: Begin with a byte-order mark, which Excel needs to see UTF-8.
        compression: `none`, `gzip` or `zstd`.
        compression_level: Level of the codec.
        escape_formulas: Put `'` before text that a spreadsheet would run.
        metadata_header: Begin with `# key: value` lines.
    """

    format: Literal["csv"]
    preset: Literal["excel-eu"] | None = Field(default=None, alias="dialect")
    separator: Separator = ","
    decimal: Literal[".", ","] = "."
    quote: QuoteMark = '"'
    quote_style: QuoteStyle = "necessary"
    null_value: Annotated[str, Field(max_length=32, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    bom: Flag = False
    compression: Compression = "none"
    compression_level: WholeNumber | None = None
    escape_formulas: Flag = False
    metadata_header: Flag = True

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, value: Any) -> Any:
        name = value.get("dialect") if isinstance(value, dict) else None
        return {**_PRESETS[str(name)], **value} if name in _PRESETS else value

    @model_validator(mode="after")
    def _check_dialect(self) -> CsvSink:
        check_level(self.compression, self.compression_level)
        separator, quote, style = self.separator, self.quote, self.quote_style
        has_comments = self.metadata_header
        check_decimal(self.decimal, separator, style)
        check_separator(separator, quote, style, has_comments=has_comments)
        check_quote(quote, has_comments=has_comments)
        check_null_value(self.null_value, separator, quote, has_comments=has_comments)
        return self

    @property
    def extension(self) -> str:
        """`.csv`, then the codec's suffix."""
        return ".csv" + SUFFIXES[self.compression]

    @property
    def mediatype(self) -> str:
        """`text/csv` (RFC 7111)."""
        return "text/csv"

    def dialect(self, header_row: int | None) -> Mapping[str, Any]:
        """Return the dialect in the terms of Frictionless' CSV Dialect specification."""
        dialect: dict[str, Any] = {
            "delimiter": self.separator,
            "lineTerminator": "\n",
            "quoteChar": self.quote,
            "doubleQuote": True,
            "header": True,
        }
        if self.metadata_header:
            dialect["commentChar"] = COMMENT
            # Frictionless counts comment lines, too.
            dialect["headerRows"] = [header_row]
        return dialect

    def check_names(self, names: Collection[str]) -> None:
        """Raise a ValueError if the null value is also the name of a column."""
        if self.null_value in names:
            raise ValueError(
                f"null_value {self.null_value!r} is also the name of a column, and readers would "
                "take the name for missing: choose another text, e.g. NULL"
            )

    def text_options(self) -> Mapping[str, Any]:
        """Return the options that cells are written by."""
        return self.model_dump(include=_TEXT_OPTIONS)

    def open(self, stream: Writable, table: Table) -> CsvWriter:
        """Write the mark, the metadata header and the header row; rows follow."""
        return CsvWriter(self, stream, table)

    def open_segment(self, stream: Writable, table: Table) -> CsvWriter:
        """Begin a file of rows alone."""
        return CsvWriter(self, stream, table, is_later=True)


class CsvWriter(LineWriter):
    """Writes one CSV file batch after batch."""

    def __init__(
        self, sink: CsvSink, stream: Writable, table: Table, *, is_later: bool = False
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

    def close(self) -> Written:
        """Finish the compressed frame; the stream itself stays open."""
        return replace(super().close(), header_row=self._header_row)

    def _names(self) -> bytes:
        return (self._sink.separator.join(map(self._quoted, self._table.names)) + "\n").encode()

    def _renderer(self, column: Column) -> Callable[[pl.Series], pa.Array | list[str]]:
        """Return what renders the cells of a column.

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
            return TextRenderer(self._text, null)
        if column.type == "timestamp":
            return lambda instants: render_timestamps(
                instants, null, quote, has_fractions=column.has_fractions
            )
        if column.type == "integer":
            return lambda numbers: render_integers(numbers, null, quote)
        return lambda values: texts_of(self._numbers(values, quote), null)

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
