"""Return the compared values as a lazy frame that reads both sides when it is collected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from pipeline.comparison.matching import ComparisonRequest, MatchedSides, open_sides
from pipeline.comparison.metrics.differences import differences_of, percent_changes_of
from pipeline.comparison.pairing import SeriesPair
from pipeline.errors import ConfigError
from pipeline.rows.column import Column
from pipeline.wording import suggestion

_Array = np.ndarray[Any, Any]

_INSTANT = pl.Datetime("us", "UTC")
_MICROSECONDS_PER_MINUTE = 60_000_000

ROW_SCHEMA: dict[str, pl.DataType] = {
    "time_bin": _INSTANT,
    "component_id": pl.String(),
    "measure": pl.String(),
    "class": pl.String(),
    "baseline": pl.Float64(),
    "comparison": pl.Float64(),
    "difference": pl.Float64(),
    "percent_change": pl.Float64(),
}
"""The columns of differences."""

_NUMBERS = ("baseline", "comparison", "difference")


def difference_columns(pairs: Sequence[SeriesPair]) -> tuple[Column, ...]:
    """Return the columns of differences as an output shows them.

    Args:
        pairs: The pairs in it; where all share a unit, it is named.
    """
    units = {pair.unit for pair in pairs}
    unit = units.pop() if len(units) == 1 else None
    return (
        Column("time_bin", "timestamp"),
        Column("component_id", "text"),
        Column("measure", "text"),
        Column("class", "text"),
        *(Column(name, "number", unit) for name in _NUMBERS),
        Column("percent_change", "number", "percent"),
    )


def lazy_differences(
    request: ComparisonRequest, series: Sequence[str] | None = None
) -> pl.LazyFrame:
    """Return the differences of two sides as a lazy frame, which opens them when collected.

    Args:
        request: The sides.
        series: Ids of the series to return; default all.
    """

    def source(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        left = n_rows
        with open_sides(request) as sides:
            for frame in difference_frames(sides, chosen_places(sides, series)):
                found = frame if predicate is None else frame.filter(predicate)
                found = found if left is None else found.head(left)
                yield found if columns is None else found.select(columns)
                if left is not None:
                    left -= found.height
                    if left <= 0:
                        return

    return register_io_source(source, schema=ROW_SCHEMA, is_pure=True)


def chosen_places(sides: MatchedSides, series: Sequence[str] | None) -> list[int]:
    """Return the places of the pairs of some series; of all where none are named.

    Raises:
        ConfigError: There is no such pair.
    """
    pairs = sides.pairing.pairs
    if series is None:
        return list(range(len(pairs)))
    places = {pair.series_id: place for place, pair in enumerate(pairs)}
    for name in series:
        if name not in places:
            raise ConfigError(f"no series {name!r} was compared; {suggestion(name, places)}")
    return sorted({places[name] for name in series})


def difference_frames(sides: MatchedSides, places: Sequence[int]) -> Iterator[pl.DataFrame]:
    """Yield the rows of pairs, block after block, text as String.

    Args:
        sides: The open sides.
        places: Places of the pairs, ascending.

    Raises:
        IntegrityError: The values of a side are not as they should be.
        StorageError: A side could not be read.
    """
    alignment = sides.alignment
    start = int(alignment.start.timestamp()) * 1_000_000 + alignment.start.microsecond
    width = alignment.bin_minutes * _MICROSECONDS_PER_MINUTE
    with sides.blocks(places) as blocks:
        for block in blocks:
            place = places[block.place]
            times = (
                start + (block.first_bin + np.arange(len(block.baseline), dtype=np.int64)) * width
            )
            yield _frame(sides.pairing.pairs[place], times, block.baseline, block.comparison)


def _frame(pair: SeriesPair, times: _Array, baseline: _Array, comparison: _Array) -> pl.DataFrame:
    difference = differences_of(baseline, comparison)
    changes, defined = percent_changes_of(baseline, difference)
    series = pair.baseline
    values = pl.DataFrame(
        {
            "time_bin": pl.Series(times).cast(_INSTANT),
            "baseline": baseline,
            "comparison": comparison,
            "difference": difference,
            "percent_change": changes,
            "defined": defined,
        }
    )
    return values.select(
        "time_bin",
        pl.lit(series.component, dtype=pl.String).alias("component_id"),
        pl.lit(series.measure, dtype=pl.String).alias("measure"),
        pl.lit(series.class_name, dtype=pl.String).alias("class"),
        *_NUMBERS,
        pl.when("defined").then("percent_change").alias("percent_change"),
    )
