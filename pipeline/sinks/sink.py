"""What every sink promises: options checked beforehand, whole files, honest counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

ColumnType = Literal["timestamp", "number", "integer", "text", "boolean"]


def _flag(value: object) -> object:
    """Booleans are true and false, as in YAML 1.2; as text they come from the environment."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise PydanticKnownError("bool_parsing")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]


def refuse_pattern(name: str) -> str:
    """Refuse a column's name that Polars would take for a pattern of many columns' names.

    Raises:
        ValueError: It is `*`, or begins with ^ and ends with $.
    """
    if name == "*" or (name.startswith("^") and name.endswith("$")):
        raise ValueError("a column's name should not be *, nor begin with ^ and end with $")
    return name


ColumnName = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(refuse_pattern),
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an output.

    Attributes:
        name: Its name in the output.
        type: Its logical type; formats choose the physical one.
        unit: Unit of its values where all of them share one.
        has_fractions: Whether some of its timestamps are not whole seconds.
    """

    name: str
    type: ColumnType
    unit: str | None = None
    has_fractions: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """What a file is to hold.

    Attributes:
        columns: The columns in their order.
        metadata: What the file says of itself; JSON-compatible values.
    """

    columns: tuple[Column, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The column names in their order."""
        return [column.name for column in self.columns]

    def count_non_finite(self, batch: pl.DataFrame) -> int:
        """NaN and infinite values among the numbers of a batch; nulls do not count."""
        numbers = [batch[column.name] for column in self.columns if column.type == "number"]
        return sum(count_non_finite(column) for column in numbers)


def unnamed(column: pl.Series) -> pl.Series:
    """A column for use on its own: Polars takes a name such as `^a.*$` for a pattern."""
    return column.alias("column")


def count_non_finite(numbers: pl.Series) -> int:
    """NaN and infinite values; nulls do not count."""
    known = unnamed(numbers).drop_nulls() if numbers.null_count() else numbers
    return known.len() - int(np.count_nonzero(np.isfinite(known.to_numpy())))


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


class TableWriter(Protocol):
    """Writes one file, batch after batch."""

    def write(self, batch: pl.DataFrame) -> None:
        """Append a batch that holds the table's columns in order, text as Enum or String."""

    def flush(self) -> None:
        """Write the rows that are held back."""

    @property
    def held_rows(self) -> int:
        """Rows held back until there are enough of them to write."""

    def close(self) -> Written:
        """Finish the file; the stream itself stays open."""


class Sink(BaseModel):
    """Options that all formats share. A stage is its YAML block.

    Attributes:
        path: Path or URL template: `{run_id} {run_name} {run_url} {name} {format} {date}`.
        storage: Named option set of the config's `storage`.
        columns: Pick and order of the columns; default all.
        layout: `long`, one row per value, or `wide`, one column per measure.
        partition_by: Text columns that become hive folders `column=value` below `path`.
        max_rows_per_file: Start a new file of the data set after this many rows.
        if_exists: `replace` an export that is there, `skip` the sink, or stop with an `error`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    is_text: ClassVar[bool] = True
    """Whether the files are UTF-8 text, compressed or not."""

    format: str
    path: Annotated[str, Field(min_length=1, max_length=2048)]
    storage: str | None = None
    columns: tuple[ColumnName, ...] | None = None
    layout: Literal["long", "wide"] = "long"
    partition_by: tuple[ColumnName, ...] = ()
    max_rows_per_file: Annotated[int, Field(ge=1)] | None = None
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
    @abstractmethod
    def extension(self) -> str:
        """File name extension with its dots, compression included."""

    @property
    @abstractmethod
    def mediatype(self) -> str:
        """IANA media type of the files."""

    @abstractmethod
    def open(self, stream: IO[bytes], table: Table) -> TableWriter:
        """Begin a file on an open binary stream."""

    def text_options(self) -> Mapping[str, Any]:
        """Options that a reader of the text must know; none where a format tells everything."""
        return {}

    @abstractmethod
    def dialect(self, header_row: int | None) -> Mapping[str, Any]:
        """What a descriptor says of a file's dialect beyond its format; may be empty."""
