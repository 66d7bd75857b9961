"""Define the columns of an output table: names, logical types and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

ColumnType = Literal["timestamp", "number", "integer", "text", "boolean"]


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
    """The content of a file.

    Attributes:
        columns: The columns in their order.
        metadata: What the file says of itself; JSON-compatible values.
        most_held_rows: Rows that its writer may hold back at the most; None for as many as the
            format likes.
    """

    columns: tuple[Column, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    most_held_rows: int | None = None

    @property
    def names(self) -> list[str]:
        """The column names in their order."""
        return [column.name for column in self.columns]
