"""Add run, series and time columns to the narrow frame, from small tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

import numpy as np
import polars as pl

from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series import SeriesSpec
from connectors.flowtime.model.series_table import SeriesShape
from connectors.flowtime.scan.arrays import as_column
from pipeline.rows.catalogue import CATALOGUE
from pipeline.rows.column import Column, ColumnType

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
    "created_month": lambda run: None if run.created is None else f"{run.created:%Y-%m}",
    "bin_size_minutes": lambda run: run.grid.bin_minutes,
}
_FROM_SERIES: dict[str, Callable[[SeriesSpec], object]] = {
    "component_id": lambda series: series.component,
    "measure": lambda series: series.measure,
    "class": lambda series: series.class_name,
    "series_id": lambda series: series.id,
    "kind": lambda series: series.kind,
    "unit": lambda series: series.unit,
    "class_kind": lambda series: series.class_kind,
}
_OF_SERIES = {name for name, column in CATALOGUE.items() if column.level == "series"}
_FIRST = pl.col("series_row") * 0
_OfRows = Callable[[pl.Series, pl.Expr], pl.Expr]
START = "start_us"
BIN_WIDTH = "bin_us"


@dataclass(frozen=True)
class MetadataTables:
    """Small tables that the columns of the rows are gathered from.

    A series is known by its run and by its description, which is mostly the same in run after
    run: what is held of each series is where the two are found.

    Attributes:
        runs: The runs, in the order of their rows.
        of_runs: One row per run: its start, its bin width and the columns of runs that are asked
            for; text as Enum.
        of_specs: One row per description of series, likewise.
        places: One row per series, `series_row` being its place: `run_row` and `spec_row`.
        constants: Columns with one value, in order.
        exported_at: When the export began, UTC.
    """

    runs: tuple[Run, ...]
    of_runs: pl.DataFrame
    of_specs: pl.DataFrame
    places: pl.DataFrame
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
        wanted = dict.fromkeys(name for name in names if name in _OF_SERIES)
        specs, places = _placed(runs)
        of_specs = [_series_column(name, specs) for name in wanted if name in _FROM_SERIES]
        of_runs = [_run_column(name, runs) for name in wanted if name not in _FROM_SERIES]
        return cls(
            tuple(runs),
            pl.DataFrame([*_time_columns(runs), *of_runs]),
            pl.DataFrame(of_specs),
            places,
            dict(constants),
            exported_at,
        )

    @property
    def series_count(self) -> int:
        """How many series there are."""
        return self.places.height

    def type_of(self, name: str) -> ColumnType:
        """Logical type of a base, catalogue or constant column."""
        if name in self.constants:
            return constant_type(self.constants[name])
        return CATALOGUE[name].type

    def column(self, name: str, shown_as: str) -> Column:
        """Return the column as an output shows it, with its unit where all series share one."""
        unit = None
        if name == "value":
            units = {series.unit for run in self.runs for series in run.series}
            unit = units.pop() if len(units) == 1 else None
        if name == "bin_size_minutes":
            unit = "minutes"
        return Column(shown_as, self.type_of(name), unit)

    def expression(self, name: str) -> pl.Expr:
        """Return the column over a frame of `series_row, bin_index, value`.

        Gathering from small tables keeps the order of the rows and stays lazy, which a left
        join does not promise. Each column depends on one of the frame, even where all rows have
        the same value: of a literal alone, Polars makes one row.
        """
        return self._expression(name, _gathered)

    def _expression(self, name: str, of_rows: _OfRows) -> pl.Expr:
        if name == "value":
            return pl.col("value")
        if name == "bin_index":
            return pl.col("bin_index").cast(pl.Int64)
        if name == "time_bin":
            return self._time_bin(of_rows)
        return of_rows(*self._column(name)).alias(name)

    def _column(self, name: str) -> tuple[pl.Series, pl.Expr]:
        """Return the values of a column in a small table, and the place there of each row."""
        if name == "exported_at":
            return pl.Series([self.exported_at], dtype=INSTANT), _FIRST
        if name in self.constants:
            return _constant(self.constants[name]), _FIRST
        if name in _FROM_SERIES:
            return self.of_specs[name], self._places("spec_row")
        return self.of_runs[name], self._places("run_row")

    def _places(self, table: str) -> pl.Expr:
        return pl.lit(self.places[table]).gather("series_row")

    def texts(
        self, names: Sequence[str], first: int = 0, end: int | None = None
    ) -> list[tuple[str | None, ...]]:
        """Return columns of series as text, a row per series: what partitions are named by."""
        laid = [self.expression(name).cast(pl.String).alias(name) for name in names]
        # Not by a select, which gives one row where all columns are constants.
        rows = self.series_rows()[first:end].to_frame()
        return rows.with_columns(laid).select(names).rows()

    def series_rows(self) -> pl.Series:
        """Return the place of each series."""
        return pl.Series("series_row", range(self.series_count), dtype=pl.UInt32)

    def apply(self, frame: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
        """Lay the named columns over a narrow frame, keeping `series_row` and `bin_index`."""
        # Beside `series_row`, what all rows share need not be gathered for each.
        laid = [self._expression(name, _spread) for name in names if name != "bin_index"]
        return frame.select("series_row", "bin_index", *laid)

    def _time_bin(self, of_rows: _OfRows) -> pl.Expr:
        start, width = (of_rows(*self._column(name)) for name in (START, BIN_WIDTH))
        since_start = pl.col("bin_index").cast(pl.Int64) * width
        return (start + since_start).cast(INSTANT).alias("time_bin")


def with_fractions(runs: Iterable[Run], exported_at: datetime) -> frozenset[str]:
    """Return the columns whose timestamps are not all whole seconds.

    Bins are whole minutes wide, so that `time_bin` has the fraction of its run's time origin.

    Args:
        runs: The runs of one export.
        exported_at: When the export began.
    """
    found = {"exported_at"} if exported_at.microsecond else set[str]()
    for run in runs:
        if run.time_origin.microsecond:
            found |= {"time_bin", "time_origin"}
        if run.created is not None and run.created.microsecond:
            found.add("created_at")
    return frozenset(found)


def _placed(runs: Sequence[Run]) -> tuple[list[SeriesSpec], pl.DataFrame]:
    """Return the descriptions of all series, and the run and description of each series."""
    first_of: dict[SeriesShape, int] = {}
    specs: list[SeriesSpec] = []
    for run in runs:
        if run.series.shape not in first_of:
            first_of[run.series.shape] = len(specs)
            specs += run.series
    counts = [len(run.series) for run in runs]
    firsts = np.array([first_of[run.series.shape] for run in runs], dtype=np.int64)
    within = np.arange(sum(counts)) - np.repeat(np.cumsum(counts, dtype=np.int64) - counts, counts)
    places = [
        as_column(np.repeat(np.arange(len(runs), dtype=np.uint32), counts), "run_row"),
        as_column((np.repeat(firsts, counts) + within).astype(np.uint32), "spec_row"),
    ]
    return specs, pl.DataFrame(places)


def _time_columns(runs: Sequence[Run]) -> list[pl.Series]:
    starts = pl.Series(START, [run.time_origin for run in runs], dtype=INSTANT)
    widths = [run.grid.bin_minutes * _MICROSECONDS_PER_MINUTE for run in runs]
    return [starts.cast(pl.Int64), pl.Series(BIN_WIDTH, widths, dtype=pl.Int64)]


def _series_column(name: str, specs: Sequence[SeriesSpec]) -> pl.Series:
    return _column(name, [_FROM_SERIES[name](spec) for spec in specs])


def _run_column(name: str, runs: Sequence[Run]) -> pl.Series:
    of_run = _FROM_RUN.get(name, attrgetter(name))
    return _column(name, [of_run(run) for run in runs])


def _column(name: str, values: Sequence[object]) -> pl.Series:
    return _compact(pl.Series(name, values, dtype=POLARS_TYPES[CATALOGUE[name].type]))


def _compact(column: pl.Series) -> pl.Series:
    """Return text as Enum: four bytes a row, and each text rendered once by the sinks."""
    if column.dtype != pl.String:
        return column
    return column.cast(pl.Enum(column.unique(maintain_order=True).drop_nulls()))


def _constant(value: Constant) -> pl.Series:
    form = pl.Enum([value]) if isinstance(value, str) else POLARS_TYPES[constant_type(value)]
    return pl.Series([value], dtype=form)


def _gathered(values: pl.Series, places: pl.Expr) -> pl.Expr:
    """Return the value of each row, given its place."""
    return pl.lit(values).gather(places)


def _spread(values: pl.Series, places: pl.Expr) -> pl.Expr:
    """Return the same for a selection beside other columns, of one value as a literal."""
    return pl.lit(values.head(1)).first() if values.n_unique() == 1 else _gathered(values, places)


def constant_type(value: Constant) -> ColumnType:
    """Logical type of a column with one value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "text"
