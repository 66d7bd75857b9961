"""Parse rows of NDJSON, as the sink writes them, into typed columns."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import polars as pl

from connectors.flowtime.parse.schema import clip
from connectors.strict_json import strict_loads
from pipeline.errors import IntegrityError
from pipeline.readback.line_blocks import Lines
from pipeline.readback.text_values import NAMED, TEXT_TYPES, fits, parse_timestamps
from pipeline.rows.column import Column

# The unit separator: JSON escapes every control character, so it cannot occur in a row of ours.
_GAP = "\x1f"


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
        """Return the rows of a block.

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
        """Return rows without escapes, nulls and named values, whose text is as CSV quotes it.

        None: there may be others among them, and the slower way must judge.
        """
        texts = [c.name for c in self._columns if c.type in ("text", "timestamp")]
        if b"\\" in data or data.count(b'"') != 2 * len(texts) * rows:
            return None
        frame = self._read(data, {c.name: TEXT_TYPES[c.type] for c in self._columns}, '"')
        numbers = [c.name for c in self._columns if c.type == "number"]
        if any(frame[name].null_count() for name in texts):
            return None
        if not all(frame[name].is_finite().all() for name in numbers):
            return None
        return frame.with_columns(parse_timestamps(frame[name]) for name in self._instants)

    def _odd(self, data: bytes, lines: Lines) -> pl.DataFrame:
        """Return rows with anything that the sink writes."""
        named = b'"NaN"' in data or b'inf"' in data
        types = {
            column.name: pl.String()
            if named and column.type == "number"
            else TEXT_TYPES[column.type]
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
            # How often it occurred follows from the lengths: counting would cost as much again.
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
            return parse_timestamps(bare)
        return _unescaped(bare) if b"\\" in lines.data else bare

    def _fault(self, lines: Lines, reason: str) -> IntegrityError:
        """Return the first row that is wrong, found slowly."""
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
    return isinstance(value, str) and (column.type == "text" or fits(column, value))


def _unescaped(texts: pl.Series) -> pl.Series:
    r"""Return text without JSON's escapes; each distinct one is read once."""
    escaped = texts.unique().drop_nulls()
    escaped = escaped.filter(escaped.str.contains("\\", literal=True))
    if escaped.is_empty():
        return texts
    try:
        plain = [json.loads(f'"{text}"') for text in escaped]
    except ValueError as error:
        raise pl.exceptions.ComputeError(f"bad escape: {error}") from error
    return texts.replace(escaped, pl.Series(plain, dtype=pl.String))
