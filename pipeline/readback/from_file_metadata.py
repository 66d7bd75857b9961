"""Build the model of an export from a data file's own comment lines or footer."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic import ValidationError as Invalid

from connectors.strict_json import strict_loads
from pipeline.datapackage.run_record import first_fault
from pipeline.errors import IntegrityError, NotAnExportError
from pipeline.readback.local_copy import ExportFile, read_head
from pipeline.readback.tables import MAX_ROWS
from pipeline.rows.column import Column, ColumnType, refuse_pattern
from pipeline.sinks.csv_dialect import COMMENT
from pipeline.sinks.parquet_schema import FOOTER_PREFIX

MAX_HEAD_BYTES = 16 * 1024 * 1024
_FIRST_BYTES = 256 * 1024
_FOOTER_END = 8
_BEGINS = f"{COMMENT} ".encode()
_FIRST_LINE = f'{COMMENT} format: "flowtime-gold-'.encode()


@dataclass(frozen=True)
class FileMetadata:
    """What a file says of itself.

    Attributes:
        config: Name of the config that made it.
        columns: Its columns in order.
        rows: Data rows, where it says so.
        first_row: Place of its first row in its partition, where it is a part of a data set.
        partition: Columns that its folders named.
        contents: What the rows are, unread; None where an earlier version wrote it.
        runs: The runs, unread; None where they are too many for a file.
    """

    config: str
    columns: tuple[Column, ...]
    rows: int | None
    first_row: int | None
    partition: Mapping[str, str | None]
    contents: object | None
    runs: tuple[object, ...] | None


class _Column(BaseModel):
    name: Annotated[str, Field(strict=True, max_length=65_536), AfterValidator(refuse_pattern)]
    type: ColumnType
    unit: str | None = None


class _Metadata(BaseModel):
    model_config = ConfigDict(frozen=True)

    format: str
    config: str = "export"
    columns: Annotated[list[_Column], Field(max_length=10_000)]
    rows: Annotated[int, Field(strict=True, ge=0, le=MAX_ROWS)] | None = None
    first_row: Annotated[int, Field(strict=True, ge=0, le=MAX_ROWS)] | None = None
    partition: dict[str, str | None] = {}
    contents: Any = None
    described_runs: list[Any] | None = None


def csv_metadata(file: ExportFile) -> FileMetadata:
    """Return what the comment lines of a Gold CSV say.

    Raises:
        IntegrityError: It has none, or they are not as this project writes them.
        StorageError: It could not be read.
    """
    lines = _comment_lines(file)
    if not lines or not lines[0].startswith(_FIRST_LINE):
        raise file.error(
            "not an export of flowtime-export by itself: it has no metadata header; put its "
            "descriptor (*.datapackage.json) beside it",
            NotAnExportError,
        )
    return _metadata(file, "csv", (line[2:].partition(b": ") for line in lines))


def _comment_lines(file: ExportFile) -> list[bytes]:
    size = _FIRST_BYTES
    while True:
        head = read_head(file, size).removeprefix(BOM_UTF8)
        *lines, last = head.split(b"\n")
        comments = list(takewhile(_is_comment, lines))
        ended = len(comments) < len(lines) or len(head) + len(BOM_UTF8) < size
        if ended or not (_is_comment(last) or not last or last == _BEGINS[:1]):
            return comments
        if size >= MAX_HEAD_BYTES:
            raise file.error(f"its metadata header has more than {MAX_HEAD_BYTES} bytes")
        size = MAX_HEAD_BYTES


def _is_comment(line: bytes) -> bool:
    return line.startswith(_BEGINS)


def parquet_metadata(file: ExportFile) -> FileMetadata:
    """Return what the footer of a Gold Parquet file says.

    Raises:
        IntegrityError: It is no Parquet, has no such footer, or one that is not ours.
        StorageError: It could not be read.
    """
    try:
        found = pq.read_metadata(pa.BufferReader(_footer(file))).metadata or {}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise file.error(f"is no whole Parquet file: {error}") from error
    prefix = FOOTER_PREFIX.encode()
    own = [
        (key.removeprefix(prefix), b"", value)
        for key, value in found.items()
        if key.startswith(prefix)
    ]
    if not own:
        raise file.error(
            "not an export of flowtime-export by itself: its footer holds no flowtime.* entries; "
            "put its descriptor (*.datapackage.json) beside it",
            NotAnExportError,
        )
    return _metadata(file, "parquet", own)


def _footer(file: ExportFile) -> bytes:
    """Return the last bytes of a Parquet file: metadata, their length in four bytes, `PAR1`."""
    entry = file.storage.info(file.path)
    size = 0 if entry is None else entry.size
    end = file.storage.read(file.path, start=max(0, size - _FOOTER_END), end=size)
    length = int.from_bytes(end[:4], "little") + _FOOTER_END
    if len(end) < _FOOTER_END or not end.endswith(b"PAR1") or length > size:
        raise file.error("is no whole Parquet file: it does not end in a footer")
    if length > MAX_HEAD_BYTES:
        raise file.error(f"its footer has more than {MAX_HEAD_BYTES} bytes")
    return b"PAR1" + file.storage.read(file.path, start=size - length, end=size)


def _metadata(
    file: ExportFile, format_: str, entries: Iterable[tuple[bytes, bytes, bytes]]
) -> FileMetadata:
    raw: dict[str, Any] = {}
    for key, _, value in entries:
        try:
            raw[key.decode("utf-8")] = strict_loads(value)
        except ValueError as error:
            raise file.error(
                f"its metadata are damaged at {key[:40].decode('utf-8', 'replace')!r}: {error}"
            ) from error
    try:
        found = _Metadata.model_validate(raw)
    except Invalid as error:
        raise file.error(
            f"not an export of flowtime-export: its metadata: {first_fault(error)}"
        ) from error
    if found.format != f"flowtime-gold-{format_}":
        raise IntegrityError(
            f"{file.url}: its metadata are of {found.format[:60]!r}, not {format_}"
        )
    return FileMetadata(
        config=found.config,
        columns=tuple(Column(c.name, c.type, c.unit) for c in found.columns),
        rows=found.rows,
        first_row=found.first_row,
        partition=found.partition,
        contents=found.contents,
        runs=None if found.described_runs is None else tuple(found.described_runs),
    )
