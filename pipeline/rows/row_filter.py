"""Keep the rows that a SQL condition selects."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipeline.rows.column import ColumnType
from pipeline.rows.metadata_tables import MetadataTables

_NARROW = ("series_row", "bin_index", "value")


@dataclass(frozen=True)
class RowFilter:
    """A SQL condition over the columns, taken apart by what can answer it.

    Attributes:
        text: The condition as it was written.
        of_series: The conjuncts that the table of series answers: the other series' files are
            never opened.
        of_rows: The conjuncts that need the rows.
        columns: Columns the row conjuncts look at.
        clock: What of the condition depends on the clock, e.g. `now()`.
    """

    text: str
    of_series: pl.Expr | None
    of_rows: pl.Expr | None
    columns: tuple[str, ...]
    clock: tuple[str, ...] = ()

    def series_rows(self, tables: MetadataTables) -> pl.Series:
        """Return rows of the series table whose series can hold a matching row."""
        rows = tables.series_rows()
        if self.of_series is None:
            return rows
        names = dict.fromkeys(self.of_series.meta.root_names())
        view = [_viewed(tables.expression(n), tables.type_of(n)).alias(n) for n in names]
        return rows.to_frame().with_columns(view).filter(self.of_series)["series_row"]

    def apply(self, frame: pl.LazyFrame, tables: MetadataTables) -> pl.LazyFrame:
        """Keep the matching rows of a narrow frame."""
        if self.of_rows is None:
            return frame
        view = [
            _viewed(tables.expression(name), tables.type_of(name)).alias(name)
            for name in self.columns
            if name not in ("value", "bin_index")
        ]
        return frame.with_columns(view).filter(self.of_rows).select(_NARROW)


def _viewed(column: pl.Expr, kind: ColumnType) -> pl.Expr:
    """Return a column as conditions see it: plain text, and UTC instants without a zone."""
    if kind == "text":
        return column.cast(pl.String)
    if kind == "timestamp":
        return column.dt.replace_time_zone(None)
    return column
