"""Rows of text, as the sinks write them, back into typed columns."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence

import polars as pl

from connectors.flowtime.schema import clip
from connectors.strict_json import strict_loads
from pipeline.contents import TextOptions
from pipeline.errors import IntegrityError
from pipeline.exported.line_blocks import Lines
from pipeline.metadata import POLARS_TYPES
from pipeline.sinks import Column
from pipeline.sinks.sink import ColumnType
from pipeline.sinks.text import TIMESTAMP_FORMAT

NAMED = ("NaN", "inf", "-inf")
"""How sinks write what is no number in JSON."""
MARKED_FORMULA = r"^'([=+\-@\t\r])"
# The unit separator: JSON escapes every control character, so it cannot occur in a row of ours.
_GAP = "\x1f"
_TYPES: dict[ColumnType, pl.DataType] = {**POLARS_TYPES, "timestamp": pl.String()}


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
        """The cells of one line."""
        reader = csv.reader([line], delimiter=options.separator, quotechar=options.quote)
        return next(reader, [])

    def parse(self, lines: Lines) -> pl.DataFrame:
        """The rows of a block.

        Raises:
            IntegrityError: A row is not as the sink writes it; the message names the line.
        """
        types = {column.name: _TYPES[column.type] for column in self._columns}
        try:
            frame = self._read(lines, types)
        except pl.exceptions.PolarsError as error:
            raise self._fault(lines, str(error)) from error
        if self._looks_ragged(lines, frame):
            self._check_cells(lines)
        self._check_named(lines, frame)
        try:
            return frame.with_columns(
                pl.col(self._instants).str.to_datetime(
                    TIMESTAMP_FORMAT, time_unit="us", time_zone="UTC", cache=True
                ),
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
        )

    def _unmarked(self) -> pl.Expr:
        return pl.col(self._texts).str.replace(MARKED_FORMULA, "$1")

    def _looks_ragged(self, lines: Lines, frame: pl.DataFrame) -> bool:
        """Whether a row may have too few cells, which Polars fills up with nulls."""
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
        """The first row that is wrong, found slowly."""
        self._check_cells(lines)
        for before, row in self._rows(lines):
            for column, cell in zip(self._columns, row, strict=True):
                if cell != self._options.null_value and not _fits(column, cell):
                    return self._error(
                        lines, before, f"{column.name} is {clip(cell)}, no {column.type}"
                    )
        return self._error(lines, 0, f"here or below, rows cannot be read: {reason[:200]}")

    def _rows(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """Cells of each row, and how many lines come before it."""
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


class NdjsonRows:
    """Parses rows of an NDJSON file.

    What is constant between two values is exchanged for a separator, as the sink did it the
    other way round, so that the same exact parser of doubles reads both formats.

    Args:
        columns: Its columns.
        url: The file, for messages.
    """

    def __init__(self, columns: Sequence[Column], url: str) -> None:
        self._columns = columns
        self._url = url
        self._instants = [column.name for column in columns if column.type == "timestamp"]
        keys = [json.dumps(column.name).encode() + b":" for column in columns]
        self._first = b"{" + keys[0]
        self._others = [b"," + key for key in keys[1:]]

    def parse(self, lines: Lines) -> pl.DataFrame:
        """The rows of a block.

        Raises:
            IntegrityError: A row is not as the sink writes it; the message names the line.
        """
        rows = lines.data.count(b"\n")
        data = self._separated(lines, rows)
        try:
            found = self._plain(data, rows)
            if found is None:
                found = self._odd(data, lines)
        except pl.exceptions.PolarsError as error:
            raise self._fault(lines, str(error)) from error
        if found.height != rows:
            raise self._fault(lines, "rows are missing")
        return found

    def _plain(self, data: bytes, rows: int) -> pl.DataFrame | None:
        """Rows without escapes, nulls and named values, whose text is as CSV quotes it.

        None: there may be others among them, and the slower way must judge.
        """
        texts = [c.name for c in self._columns if c.type in ("text", "timestamp")]
        if b"\\" in data or data.count(b'"') != 2 * len(texts) * rows:
            return None
        frame = self._read(data, {c.name: _TYPES[c.type] for c in self._columns}, '"')
        numbers = [c.name for c in self._columns if c.type == "number"]
        if any(frame[name].null_count() for name in texts):
            return None
        if not all(frame[name].is_finite().all() for name in numbers):
            return None
        return frame.with_columns(_instants(frame[name]) for name in self._instants)

    def _odd(self, data: bytes, lines: Lines) -> pl.DataFrame:
        """Rows with anything that the sink writes."""
        named = b'"NaN"' in data or b'inf"' in data
        types = {
            column.name: pl.String() if named and column.type == "number" else _TYPES[column.type]
            for column in self._columns
        }
        frame = self._read(data, types, None)
        return frame.with_columns(
            [self._column(frame[column.name], column, lines) for column in self._columns]
        )

    def _read(self, data: bytes, types: dict[str, pl.DataType], quote: str | None) -> pl.DataFrame:
        return pl.read_csv(
            data,
            has_header=False,
            schema=types,
            separator=_GAP,
            quote_char=quote,
            null_values=["null"],
        )

    def _separated(self, lines: Lines, rows: int) -> bytes:
        data = lines.data
        gap = _GAP.encode()
        between = b"}\n" + self._first
        if not data.startswith(self._first) or not data.endswith(b"}\n") or gap in data:
            raise self._fault(lines, "a row does not begin or end as it should")
        data = data[len(self._first) : -2]
        for old, new, count in (
            (between, b"\n", rows - 1),
            *((key, gap, rows) for key in self._others),
        ):
            replaced = data.replace(old, new)
            # How often it stood there follows from the lengths: counting would cost as much again.
            if len(data) - len(replaced) != count * (len(old) - len(new)):
                raise self._fault(lines, "a row lacks a key")
            data = replaced
        return data + b"\n"

    def _column(self, cells: pl.Series, column: Column, lines: Lines) -> pl.Series:
        if column.type == "number" and cells.dtype == pl.String:
            named = cells.str.starts_with('"')
            bare = cells.str.strip_chars('"')
            wrong = named & bare.is_in(NAMED).not_()
            if wrong.any():
                raise self._fault(lines, f"{column.name} holds text")
            return bare.cast(pl.Float64)
        if column.type == "number" and not cells.is_finite().all():
            raise self._fault(lines, f"{column.name} holds what is no JSON number")
        if column.type not in ("text", "timestamp"):
            return cells
        quoted = cells.str.starts_with('"') & cells.str.ends_with('"')
        if not quoted.all():
            raise self._fault(lines, f"{column.name} holds what is no text")
        bare = cells.str.strip_prefix('"').str.strip_suffix('"')
        if column.type == "timestamp":
            return _instants(bare)
        return _unescaped(bare) if b"\\" in lines.data else bare

    def _fault(self, lines: Lines, reason: str) -> IntegrityError:
        """The first row that is wrong, found slowly."""
        names = [column.name for column in self._columns]
        for number, line in enumerate(lines.data.split(b"\n")[:-1]):
            found = _complaint(line, names, self._columns) or self._layout_complaint(line)
            if found:
                return IntegrityError(f"{self._url}: line {lines.first_line + number}: {found}")
        return IntegrityError(f"{self._url}: line {lines.first_line} or below: {reason[:200]}")

    def _layout_complaint(self, line: bytes) -> str | None:
        keys = all(line.count(key) == 1 for key in self._others)
        if line.startswith(self._first) and keys and line.endswith(b"}"):
            return None
        return "is laid out otherwise than this project writes rows"


def _instants(texts: pl.Series) -> pl.Series:
    return texts.str.to_datetime(TIMESTAMP_FORMAT, time_unit="us", time_zone="UTC")


def _complaint(line: bytes, names: Sequence[str], columns: Sequence[Column]) -> str | None:
    try:
        row = strict_loads(line)
    except ValueError as error:
        return f"is not JSON: {error}"
    if not isinstance(row, dict):
        return "is no JSON object"
    if list(row) != list(names):
        return f"has the keys {', '.join(row)[:200]}; expected {', '.join(names)[:200]}"
    for column in columns:
        value = row[column.name]
        if value is not None and not _is_of(column, value):
            return f"{column.name} is {clip(value)}, no {column.type}"
    return None


def _is_of(column: Column, value: object) -> bool:
    if column.type == "number":
        if isinstance(value, int | float) and not isinstance(value, bool):
            return math.isfinite(value)
        return value in NAMED
    if column.type == "integer":
        return type(value) is int
    if column.type == "boolean":
        return type(value) is bool
    return isinstance(value, str) and (column.type == "text" or _fits(column, value))


def _unescaped(texts: pl.Series) -> pl.Series:
    r"""Text without JSON's escapes; each distinct one is read once."""
    escaped = texts.unique().drop_nulls()
    escaped = escaped.filter(escaped.str.contains("\\", literal=True))
    if escaped.is_empty():
        return texts
    try:
        plain = [json.loads(f'"{text}"') for text in escaped]
    except ValueError as error:
        raise pl.exceptions.ComputeError(f"bad escape: {error}") from error
    return texts.replace(escaped, pl.Series(plain, dtype=pl.String))


def _fits(column: Column, cell: str) -> bool:
    kinds = {"number": pl.Float64(), "integer": pl.Int64()}
    cells = pl.Series([cell])
    if column.type in kinds:
        return cells.cast(kinds[column.type], strict=False).null_count() == 0
    if column.type == "boolean":
        return cell in ("true", "false")
    if column.type == "timestamp":
        parsed = cells.str.to_datetime(TIMESTAMP_FORMAT, strict=False, time_zone="UTC")
        return parsed.null_count() == 0
    return True
