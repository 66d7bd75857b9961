"""The stage that lays run, series and time columns over the narrow frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

import numpy as np
import polars as pl

from connectors.flowtime.run import Run
from connectors.flowtime.series import Series
from pipeline.columns import CATALOGUE
from pipeline.sinks import Column
from pipeline.sinks.sink import ColumnType

Constant = str | int | float | bool
INSTANT = pl.Datetime("us", "UTC")
_MICROSECONDS_PER_MINUTE = 60_000_000
POLARS_TYPES: dict[ColumnType, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "timestamp": INSTANT,
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
}

_FROM_RUN: dict[str, Callable[[Run], object]] = {
    "run_name": lambda run: run.name,
    "run_url": lambda run: run.url,
    "created_at": lambda run: run.created,
    "bin_size_minutes": lambda run: run.grid.bin_minutes,
}
_FROM_SERIES: dict[str, Callable[[Series], object]] = {
    "component_id": lambda series: series.component,
    "measure": lambda series: series.measure,
    "class": lambda series: series.class_name,
    "series_id": lambda series: series.id,
    "kind": lambda series: series.kind,
    "unit": lambda series: series.unit,
    "class_kind": lambda series: series.class_kind,
}


@dataclass(frozen=True)
class MetadataTables:
    """Small tables that the columns of the rows are gathered from.

    Attributes:
        runs: The runs, in the order of their rows.
        series: One row per series, `series_row` being its place: `run_row` and every series
            column that is asked for; text as Enum.
        constants: Columns with one value, in order.
        exported_at: When the export began, UTC.
    """

    runs: tuple[Run, ...]
    series: pl.DataFrame
    constants: Mapping[str, Constant]
    exported_at: datetime

    @classmethod
    def build(
        cls,
        runs: Sequence[Run],
        names: Iterable[str],
        constants: Mapping[str, Constant],
        exported_at: datetime,
    ) -> MetadataTables:
        """Gather what the named columns need from runs and series."""
        series_of_each = [len(run.series) for run in runs]
        run_rows = np.repeat(np.arange(len(runs), dtype=np.uint32), series_of_each)
        place = pl.Series("run_row", run_rows)
        columns = [place, *_time_columns(runs, place)]
        columns += [
            _series_column(name, runs, place)
            for name in dict.fromkeys(names)
            if name in CATALOGUE and CATALOGUE[name].level == "series"
        ]
        return cls(tuple(runs), pl.DataFrame(columns), dict(constants), exported_at)

    def type_of(self, name: str) -> ColumnType:
        """Logical type of a base, catalogue or constant column."""
        if name in self.constants:
            return constant_type(self.constants[name])
        return CATALOGUE[name].type

    def column(self, name: str, shown_as: str) -> Column:
        """The column as an output shows it, with its unit where all series share one."""
        unit = None
        if name == "value":
            units = {series.unit for run in self.runs for series in run.series.kinds}
            unit = units.pop() if len(units) == 1 else None
        if name == "bin_size_minutes":
            unit = "minutes"
        return Column(shown_as, self.type_of(name), unit)

    def expression(self, name: str) -> pl.Expr:
        """The column over a frame of `series_row, bin_index, value`.

        Gathering from small tables keeps the order of the rows and stays lazy, which a left
        join does not promise.
        """
        if name == "value":
            return pl.col("value")
        if name == "bin_index":
            return pl.col("bin_index").cast(pl.Int64)
        if name == "time_bin":
            return self._time_bin()
        if name == "exported_at":
            return pl.lit(self.exported_at, dtype=INSTANT).alias(name)
        if name in self.constants:
            return _constant(self.constants[name]).alias(name)
        return pl.lit(self.series[name]).gather("series_row").alias(name)

    def texts(self, names: Sequence[str]) -> list[tuple[str | None, ...]]:
        """Columns of series as text, a row per series: what partitions are named by."""
        laid = [self.expression(name).cast(pl.String).alias(name) for name in names]
        rows = self.series.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("series_row"))
        return rows.select(laid).rows()

    def apply(self, frame: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
        """Lay the named columns over a narrow frame, keeping `series_row` and `bin_index`."""
        laid = [self.expression(name) for name in names if name != "bin_index"]
        return frame.select("series_row", "bin_index", *laid)

    def _time_bin(self) -> pl.Expr:
        origin = pl.lit(self.series["origin_us"]).gather("series_row")
        width = pl.lit(self.series["bin_us"]).gather("series_row")
        return (origin + pl.col("bin_index").cast(pl.Int64) * width).cast(INSTANT).alias("time_bin")


def _time_columns(runs: Sequence[Run], place: pl.Series) -> list[pl.Series]:
    origins = pl.Series("origin_us", [run.time_origin for run in runs], dtype=INSTANT)
    widths = [run.grid.bin_minutes * _MICROSECONDS_PER_MINUTE for run in runs]
    return [
        origins.cast(pl.Int64).gather(place),
        pl.Series("bin_us", widths, dtype=pl.Int64).gather(place),
    ]


def _series_column(name: str, runs: Sequence[Run], place: pl.Series) -> pl.Series:
    dtype = POLARS_TYPES[CATALOGUE[name].type]
    if name in _FROM_SERIES:
        read = _FROM_SERIES[name]
        values = [read(series) for run in runs for series in run.series.kinds]
        return _compact(pl.Series(name, values, dtype=dtype))
    of_run = _FROM_RUN.get(name, attrgetter(name))
    return _compact(pl.Series(name, [of_run(run) for run in runs], dtype=dtype)).gather(place)


def _compact(column: pl.Series) -> pl.Series:
    """Text as Enum: four bytes a row, and each text rendered once by the sinks."""
    if column.dtype != pl.String:
        return column
    return column.cast(pl.Enum(column.unique(maintain_order=True).drop_nulls()))


def _constant(value: Constant) -> pl.Expr:
    if isinstance(value, str):
        return pl.lit(value, dtype=pl.Enum([value]))
    return pl.lit(value, dtype=POLARS_TYPES[constant_type(value)])


def constant_type(value: Constant) -> ColumnType:
    """Logical type of a column with one value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "text"
