"""Read the column statistics of a Parquet file from its footer, and count what it leaves out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from pipeline.lake_tables.contract import AddedFile

_LONGEST_TEXT = 128
_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class ColumnBounds:
    """What readers skip a file by.

    Attributes:
        nulls: Number of nulls.
        low: Smallest value, or the beginning of a long text; None where not all values are known
            to be within bounds, as of a column that holds NaN.
        high: Largest value, or a text after a long one, likewise.
    """

    nulls: int
    low: Any
    high: Any


def column_bounds(file: AddedFile) -> dict[str, ColumnBounds]:
    """Return the statistics of each column of a file with flat columns, where they are known.

    The writer leaves out those of row groups with NaN, which no bounds hold.
    """
    footer = file.footer
    if not footer.num_rows:
        return {}
    found = {name: ColumnBounds(nulls, None, None) for name, nulls in file.nulls.items()}
    for place in range(footer.num_columns):
        name = footer.schema.column(place).name
        if name not in found:
            found[name] = _bounds(footer, place)
    return found


def uncounted_nulls(path: Path, footer: pq.FileMetaData) -> dict[str, int]:
    """Count the nulls of those columns of a file that have no statistics in some row groups.

    Args:
        path: A Parquet file with flat columns.
        footer: What its end says.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 large, and few exports write tables

    places = [place for place in range(footer.num_columns) if not _is_counted(footer, place)]
    if not places:
        return {}
    names = [footer.schema.column(place).name for place in places]
    counts = dict.fromkeys(names, 0)
    with pq.ParquetFile(path, metadata=footer) as file:
        for batch in file.iter_batches(columns=names, use_threads=False):
            for name in names:
                counts[name] += batch.column(name).null_count
    return counts


def _is_counted(footer: pq.FileMetaData, place: int) -> bool:
    groups = [footer.row_group(n).column(place) for n in range(footer.num_row_groups)]
    found = [group.statistics for group in groups]
    return all(one is not None and one.has_null_count for one in found)


def _bounds(footer: pq.FileMetaData, place: int) -> ColumnBounds:
    groups = [footer.row_group(n).column(place) for n in range(footer.num_row_groups)]
    found = [group.statistics for group in groups]
    nulls = sum(one.null_count for one in found)
    bounded = [
        one
        for one, group in zip(found, groups, strict=True)
        if one.null_count < group.num_values or one.has_min_max
    ]
    if not bounded or not all(one.has_min_max for one in bounded):
        return ColumnBounds(nulls, None, None)
    low, high = min(one.min for one in bounded), max(one.max for one in bounded)
    if isinstance(low, str):
        return ColumnBounds(nulls, low[:_LONGEST_TEXT], _text_after(high))
    if isinstance(low, float) and not (math.isfinite(low) and math.isfinite(high)):
        return ColumnBounds(nulls, None, None)
    return ColumnBounds(nulls, low, high)


def _text_after(text: str) -> str:
    """Return a text that does not come before another, with fewer characters where that is long."""
    if len(text) <= _LONGEST_TEXT or text[_LONGEST_TEXT] == _LAST_CHARACTER:
        return text
    return text[:_LONGEST_TEXT] + _LAST_CHARACTER


def with_values(bounds: Mapping[str, ColumnBounds]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, smallest and largest value of the columns that have bounds."""
    for name, one in bounds.items():
        if one.low is not None:
            yield name, one.low, one.high
