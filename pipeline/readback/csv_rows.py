"""Parse rows of CSV, as the sink writes them, into typed columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import polars as pl

from connectors.flowtime.parse.schema import clip
from pipeline.datapackage.table_spec import TextOptions
from pipeline.errors import IntegrityError
from pipeline.readback.line_blocks import Lines
from pipeline.readback.text_values import NAMED, TEXT_TYPES, fits, parse_timestamps
from pipeline.rows.column import Column

MARKED_FORMULA = r"^'([=+\-@\t\r])"


class CsvRows:
    """Parses rows of a CSV file.

    Args:
        columns: Its columns.
        options: How its text is written.
        url: The file, for messages.
    """

    def __init__(self, columns: Sequence[Column], options: TextOptions, url: str) -> None:
        self._columns = columns
        self._options = options
        self._url = url
        self._numbers = [column.name for column in columns if column.type == "number"]
        self._instants = [column.name for column in columns if column.type == "timestamp"]
        self._texts = [column.name for column in columns if column.type == "text"]

    @staticmethod
    def cells(line: str, options: TextOptions) -> list[str]:
        """Return the cells of one line."""
        reader = csv.reader([line], delimiter=options.separator, quotechar=options.quote)
        return next(reader, [])

    def parse(self, lines: Lines) -> pl.DataFrame:
        """Return the rows of a block.

        Raises:
            IntegrityError: A row is not as the sink writes it; the message names the line.
        """
        types = {column.name: TEXT_TYPES[column.type] for column in self._columns}
        try:
            frame = self._read(lines, types)
        except pl.exceptions.PolarsError as error:
            raise self._fault(lines, str(error)) from error
        if self._looks_ragged(lines, frame):
            self._check_cells(lines)
        self._check_named(lines, frame)
        try:
            return frame.with_columns(
                *[parse_timestamps(frame[name]) for name in self._instants],
                *([self._unmarked()] if self._options.escape_formulas and self._texts else []),
            )
        except pl.exceptions.PolarsError as error:
            raise self._fault(lines, str(error)) from error

    def _read(self, lines: Lines, types: dict[str, pl.DataType]) -> pl.DataFrame:
        return pl.read_csv(
            lines.data,
            has_header=False,
            schema=types,
            separator=self._options.separator,
            quote_char=self._options.quote if lines.has_quotes else None,
            null_values=[self._options.null_value],
            empty_string_is_null=self._options.null_value == "",
            decimal_comma=self._options.decimal == ",",
        )

    def _unmarked(self) -> pl.Expr:
        return pl.col(self._texts).str.replace(MARKED_FORMULA, "$1")

    def _looks_ragged(self, lines: Lines, frame: pl.DataFrame) -> bool:
        """Return whether a row may have too few cells, which Polars fills up with nulls."""
        if lines.has_quotes:
            last = frame.to_series(frame.width - 1)
            may_be_short = last.is_null() | (last == "" if last.dtype == pl.String else False)
            return frame.height > lines.data.count(b"\n") or bool(may_be_short.any())
        separators = lines.data.count(self._options.separator.encode())
        exact = frame.height == lines.data.count(b"\n")
        return not exact or separators != frame.height * (frame.width - 1)

    def _check_named(self, lines: Lines, frame: pl.DataFrame) -> None:
        """Refuse what Polars takes for NaN or an infinity and no sink has written."""
        odd = [name for name in self._numbers if not frame[name].is_finite().all()]
        if not odd:
            return
        texts = self._read(lines, {column.name: pl.String() for column in self._columns})
        for name in odd:
            odd_cells = frame[name].is_finite().fill_null(True).not_()
            wrong = odd_cells & texts[name].is_in(NAMED).fill_null(False).not_()
            place = wrong.arg_max() if wrong.any() else None
            if place is not None:
                raise self._error(
                    lines, place, f"{name} is {clip(texts[name][place])}, not a double"
                )

    def _check_cells(self, lines: Lines) -> None:
        """Count the cells of each row."""
        for before, row in self._rows(lines):
            if len(row) != len(self._columns):
                raise self._error(
                    lines, before, f"has {len(row)} cells; expected {len(self._columns)}"
                )

    def _fault(self, lines: Lines, reason: str) -> IntegrityError:
        """Return the first row that is wrong, found slowly."""
        self._check_cells(lines)
        for before, row in self._rows(lines):
            for column, cell in zip(self._columns, row, strict=True):
                if cell != self._options.null_value and not self._fits(column, cell):
                    return self._error(
                        lines, before, f"{column.name} is {clip(cell)}, no {column.type}"
                    )
        return self._error(lines, 0, f"here or below, rows cannot be read: {reason[:200]}")

    def _fits(self, column: Column, cell: str) -> bool:
        if column.type == "number" and self._options.decimal != ".":
            return "." not in cell and fits(column, cell.replace(self._options.decimal, "."))
        return fits(column, cell)

    def _rows(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """Yield cells of each row, and how many lines come before it."""
        text = io.StringIO(lines.data.decode("utf-8"), newline="")
        reader = csv.reader(
            text, delimiter=self._options.separator, quotechar=self._options.quote, strict=True
        )
        before = 0
        try:
            for row in reader:
                yield before, row
                before = reader.line_num
        except csv.Error as error:
            raise self._error(lines, before, f"is no CSV: {error}") from error

    def _error(self, lines: Lines, row: int, reason: str) -> IntegrityError:
        return IntegrityError(f"{self._url}: line {lines.first_line + row}: {reason}")
