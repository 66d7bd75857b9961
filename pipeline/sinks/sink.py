"""Define the interface of all formats: options of a sink, writers, and their results."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from connectors.storage import Writable
from pipeline.rows.column import ColumnName, Table

if TYPE_CHECKING:
    import polars as pl


def _flag(value: object) -> object:
    """Return a boolean: `true` or `false` as in YAML 1.2, or as text from the environment."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise PydanticKnownError("bool_parsing")
    return value


STDOUT = "-"
"""The path of standard output."""

_COPIED_AT_ONCE = 1_000_000

Flag = Annotated[bool, BeforeValidator(_flag)]


def _no_flag(value: object) -> object:
    if isinstance(value, bool):  # Python takes true for 1
        raise PydanticKnownError("int_type")
    return value


WholeNumber = Annotated[int, BeforeValidator(_no_flag)]
PositiveCount = Annotated[WholeNumber, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer has written into one file.

    Attributes:
        rows: Data rows.
        non_finite: NaN and infinite values among the numbers.
        header_row: Line of the row with the column names, from 1, in formats that have one.
    """

    rows: int
    non_finite: int
    header_row: int | None = None

    def plus(self, later: Written) -> Written:
        """Return what is in a file that goes on with what another one holds."""
        rows, odd = self.rows + later.rows, self.non_finite + later.non_finite
        return Written(rows, odd, self.header_row)


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A local file that holds segments of a larger file.

    Attributes:
        path: Where it is.
        written: What is in it.
    """

    path: Path
    written: Written


class FileJoin(Protocol):
    """Writes one file from files that together hold all of its segments, in order."""

    def add(self, segment: SegmentFile) -> None:
        """Copy the next segments.

        The first file was begun by `Sink.open`, the others by `Sink.open_segment`.
        """

    def close(self) -> Written:
        """Finish the file; the stream itself stays open."""


def copy_bytes(source: IO[bytes], target: Writable, count: int | None = None) -> None:
    """Copy bytes from one open file to another.

    Args:
        source: Read from its position.
        target: Written to; it may keep the pieces it is given.
        count: How many bytes; all by default.
    """
    left = count
    while left is None or left > 0:
        piece = source.read(_COPIED_AT_ONCE if left is None else min(_COPIED_AT_ONCE, left))
        if not piece:
            return
        target.write(piece)
        left = None if left is None else left - len(piece)


class EncodingThreads(ThreadPoolExecutor):
    """Threads that all files of a sink share to encode on; each starts when it is needed.

    Attributes:
        count: How many there are.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count, thread_name_prefix="flowtime-encode")
        self.count = count


class TableWriter(Protocol):
    """Writes one file, batch after batch.

    Args:
        sink: The options of the file.
        stream: The open binary stream, at its beginning.
        table: What the file is to hold.
        is_later: The file holds later segments of another one, for a join.
        threads: Threads to encode on; None for the caller's own. Text needs none.
    """

    def __init__(
        self,
        sink: Any,
        stream: Writable,
        table: Table,
        *,
        is_later: bool = False,
        threads: EncodingThreads | None = None,
    ) -> None: ...

    @staticmethod
    def join(stream: Writable, table: Table) -> FileJoin:
        """Begin to write the file that one writer would write, from files of its segments.

        Args:
            stream: The open binary stream, at its beginning; it stays open.
            table: What the file is to hold.
        """

    def write(self, batch: pl.DataFrame) -> None:
        """Append a batch that holds the table's columns in order, text as Enum or String."""

    def cut(self) -> None:
        """End a segment: what follows is encoded as if nothing had gone before."""

    def close(self) -> Written:
        """Finish the file; the stream itself stays open."""


class Sink(BaseModel):
    """Options that all formats share. A stage is its YAML block.

    Attributes:
        path: Path or URL template: `{run_id} {run_name} {run_url} {created_date} {name} {format}
            {date}`; `-` is standard output.
        storage: Named option set of the config's `storage`.
        columns: Pick and order of the columns; default all.
        layout: `long`, one row per value, or `wide`, one column per measure.
        partition_by: Text columns that become hive folders `column=value` below `path`.
        max_rows_per_file: Start a new file of the data set after this many rows.
        prune: Remove the exports of runs that are gone from the source.
        if_exists: `replace` an export that is there, `skip` the sink, or stop with an `error`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, defer_build=True)
    is_text: ClassVar[bool] = True
    """Whether the files are UTF-8 text, compressed or not."""
    is_table: ClassVar[bool] = False
    """Whether it writes a lake table: files by run, which a log of commits names."""
    empty_is_null: ClassVar[bool] = False
    """Whether an empty text cannot be the value of a partition column."""
    locating: ClassVar[frozenset[str]] = frozenset({"path", "storage", "if_exists", "prune"})
    """Options that shape no byte of the files."""
    writer: ClassVar[tuple[str, str]]
    """Module and name of the class that writes the files, a `TableWriter`."""

    format: str
    path: Annotated[str, Field(min_length=1, max_length=2048)]
    storage: str | None = None
    columns: tuple[ColumnName, ...] | None = None
    layout: Literal["long", "wide"] = "long"
    partition_by: tuple[ColumnName, ...] = ()
    max_rows_per_file: PositiveCount | None = None
    prune: Flag = False
    if_exists: Literal["replace", "skip", "error"] = "replace"

    @model_validator(mode="after")
    def _check_columns(self) -> Sink:
        for key, names in (("columns", self.columns or ()), ("partition_by", self.partition_by)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key} names {', '.join(twice)} more than once")
        if self.columns is not None and not self.columns:
            raise ValueError("columns is empty: name at least one column, or leave the key out")
        return self

    @property
    def file_format(self) -> str:
        """Format of the files."""
        return self.format

    def secrets(self) -> Iterator[str]:
        """Yield the texts that must not be shown."""
        yield from ()

    @property
    def is_stdout(self) -> bool:
        """Whether the rows go to standard output, which has no descriptor."""
        return self.path == STDOUT

    @property
    @abstractmethod
    def extension(self) -> str:
        """File name extension with its dots, compression included."""

    @property
    @abstractmethod
    def mediatype(self) -> str:
        """IANA media type of the files."""

    def open(
        self, stream: Writable, table: Table, threads: EncodingThreads | None = None
    ) -> TableWriter:
        """Begin a file; see `TableWriter`."""
        return self._writer()(self, stream, table, threads=threads)

    def open_segment(
        self, stream: Writable, table: Table, threads: EncodingThreads | None = None
    ) -> TableWriter:
        """Begin a file that holds later segments of another one, for `join`."""
        return self._writer()(self, stream, table, is_later=True, threads=threads)

    def join(self, stream: Writable, table: Table) -> FileJoin:
        """Begin to write the file that one writer would write, from files of its segments."""
        return self._writer().join(stream, table)

    def _writer(self) -> type[TableWriter]:
        # Imported when needed: configs are read before Polars and Arrow are loaded.
        module, name = self.writer
        found: type[TableWriter] = getattr(importlib.import_module(module), name)
        return found

    def check_names(self, names: Collection[str]) -> None:
        """Raise a ValueError if columns of these names could not be read back.

        Args:
            names: Names of the columns in a file.
        """

    def text_options(self) -> Mapping[str, Any]:
        """Return the options that a reader of the text must know; by default none."""
        return {}

    @abstractmethod
    def dialect(self, header_row: int | None) -> Mapping[str, Any]:
        """Return what a descriptor states of a file's dialect; may be empty."""
