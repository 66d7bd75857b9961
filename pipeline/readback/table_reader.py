"""Read the rows of one exported file as typed batches."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.datapackage.table_spec import TextOptions
from pipeline.errors import IntegrityError
from pipeline.readback.csv_rows import CsvRows
from pipeline.readback.from_file_metadata import MAX_HEAD_BYTES
from pipeline.readback.line_blocks import check_utf8, line_blocks
from pipeline.readback.ndjson_rows import NdjsonRows
from pipeline.readback.tables import TableFile
from pipeline.rows.arrow import frame_of
from pipeline.rows.column import Column
from pipeline.rows.metadata_tables import POLARS_TYPES
from pipeline.sinks.csv_dialect import COMMENT
from pipeline.sinks.formats import FORMATS

BATCH_ROWS = 65_536

_ARROW_TYPES: dict[str, tuple[pa.DataType, ...]] = {
    "timestamp": (pa.timestamp("us", "UTC"),),
    "number": (pa.float64(),),
    "integer": (pa.int64(),),
    "text": (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())),
    "boolean": (pa.bool_(),),
}


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Attributes:
        frame: The file's columns, typed; text as String.
        first_row: Place of the first of them in the file, from 0.
        first_line: Its line, from 1; None in files without lines, and where cells span lines.
        url: The file, for messages.
    """

    frame: pl.DataFrame
    first_row: int
    first_line: int | None
    url: str

    def error(self, row: int, reason: str) -> IntegrityError:
        """Return an error that names a row of this batch."""
        place = f"row {self.first_row + row + 1}"
        if self.first_line is not None:
            place = f"line {self.first_line + row} ({place})"
        return IntegrityError(f"{self.url}: {place}: {reason}")


def batches(file: TableFile, path: Path, options: TextOptions) -> Iterator[Batch]:
    """Return the rows of a file in order, at most `BATCH_ROWS` at a time where the format allows.

    Args:
        file: The file, as its export describes it.
        path: Its unpacked bytes on this machine.
        options: How its text is written.

    Raises:
        IntegrityError: The file is not as described; the message names the line or row.
    """
    return _text(file, path, options) if FORMATS[file.format].is_text else _parquet(file, path)


def _text(file: TableFile, path: Path, options: TextOptions) -> Iterator[Batch]:
    rows: CsvRows | NdjsonRows
    if file.format == "csv":
        start, line = _pass_head(file, path, options)
        rows, quote = CsvRows(file.columns, options, file.url), options.quote.encode()
        blocks = line_blocks(path, file.url, quote, start=start, first_line=line)
    else:
        rows = NdjsonRows(file.columns, file.url)
        blocks = line_blocks(path, file.url, None)
    count = 0
    lines_are_rows = True
    for lines in blocks:
        frame = rows.parse(lines)
        lines_are_rows &= frame.height == lines.data.count(b"\n")
        for first in range(0, frame.height, BATCH_ROWS):
            place = lines.first_line + first if lines_are_rows else None
            yield Batch(frame.slice(first, BATCH_ROWS), count + first, place, file.url)
        count += frame.height


def _pass_head(file: TableFile, path: Path, options: TextOptions) -> tuple[int, int]:
    """Return bytes before the first row, and its line; the row with the names is checked."""
    begins = COMMENT.encode()
    line = 1
    with path.open("rb") as stream:
        if stream.read(len(BOM_UTF8)) != BOM_UTF8:
            stream.seek(0)
        names = stream.readline(MAX_HEAD_BYTES)
        while file.has_comments and names.startswith(begins):
            names = stream.readline(MAX_HEAD_BYTES)
            line += 1
        start = stream.tell()
    if file.header_row not in (None, line):
        raise file.stored.error(f"the header row is line {line}; line {file.header_row} was stated")
    check_utf8(names, file.url, line)
    if not names.endswith(b"\n"):
        raise file.stored.error(f"line {line}: the header row is missing or cut off")
    expected = [column.name for column in file.columns]
    found = CsvRows.cells(names[:-1].decode("utf-8"), options)
    if found != expected:
        raise file.stored.error(
            f"line {line}: the columns are {', '.join(found)[:200]}; "
            f"expected {', '.join(expected)[:200]}"
        )
    return start, line + 1


def _parquet(file: TableFile, path: Path) -> Iterator[Batch]:
    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as source:
            _check_schema(file, source.schema_arrow)
            if file.rows is not None and source.metadata.num_rows != file.rows:
                raise file.stored.error(
                    f"has {source.metadata.num_rows} rows; {file.rows} were promised"
                )
            first = 0
            for batch in source.iter_batches(BATCH_ROWS):
                frame = frame_of(batch)
                yield Batch(_typed(frame, file.columns), first, None, file.url)
                first += frame.height
    except (pa.ArrowException, OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as error:
        raise file.stored.error(f"is damaged: {error}") from error


def _check_schema(file: TableFile, schema: pa.Schema) -> None:
    expected = [column.name for column in file.columns]
    if schema.names != expected:
        raise file.stored.error(
            f"the columns are {', '.join(schema.names)[:200]}; expected {', '.join(expected)[:200]}"
        )
    for column in file.columns:
        found = schema.field(column.name).type
        if found not in _ARROW_TYPES[column.type]:
            raise file.stored.error(
                f"column {column.name!r} is of type {found}; expected {column.type}"
            )


def _typed(frame: pl.DataFrame, columns: tuple[Column, ...]) -> pl.DataFrame:
    return frame.with_columns(
        pl.col(column.name).cast(POLARS_TYPES[column.type]) for column in columns
    )
