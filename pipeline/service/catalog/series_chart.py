"""The values of a series, thinned out for a chart without losing its peaks."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from connectors.errors import RunError
from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series import Series
from connectors.flowtime.scan.scanner import ScanOptions, scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import Storage
from pipeline.service.errors import UnprocessableError


@dataclass(frozen=True)
class ChartValues:
    """Points of a chart.

    Attributes:
        bins: Bin of each point, ascending.
        values: Its value; finite.
        non_finite: Values that are NaN or infinite and have no point.
        lowest, highest: Of all finite values.
    """

    bins: list[int]
    values: list[float]
    non_finite: int
    lowest: float | None
    highest: float | None


def chart_values(storage: Storage, run: Run, series: Series, points: int) -> ChartValues:
    """At most `points` points: the lowest and the highest of each stretch of bins.

    Args:
        storage: Where the run is.
        run: The run.
        series: One of its series.
        points: Points at the most, at least 2.

    Raises:
        RunError: The file is not as the run promises.
        StorageError: It cannot be read.
    """
    (file,) = (f for f in series_files([run]) if f.series_id == series.id)
    stretches = max(1, points // 2)
    width = max(1, -(-series.points // stretches)) if series.points > points else 1
    value, place = pl.col("value"), pl.col("bin_index")
    finite = value.is_finite()
    frame = (
        scan(storage, [file], ScanOptions(workers=1))
        .group_by((place // width).alias("stretch"))
        .agg(
            place.filter(finite).get(value.filter(finite).arg_min()).alias("low_bin"),
            place.filter(finite).get(value.filter(finite).arg_max()).alias("high_bin"),
            value.filter(finite).min().alias("low"),
            value.filter(finite).max().alias("high"),
            (~finite).sum().alias("odd"),
        )
    )
    try:
        found = frame.collect(engine="streaming").sort("stretch")
    except RunError as error:
        raise UnprocessableError(error.detail, "mend the run, or evaluate its model again") from (
            error
        )
    some = found.filter(pl.col("low").is_not_null())
    pairs = pl.concat(
        [
            some.select(bin="low_bin", value="low"),
            some.select(bin="high_bin", value="high"),
        ]
    )
    shown = pairs.unique("bin").sort("bin")
    return ChartValues(
        bins=shown["bin"].to_list(),
        values=shown["value"].to_list(),
        non_finite=int(found["odd"].sum() or 0),
        lowest=some["low"].min(),  # type: ignore[arg-type]
        highest=some["high"].max(),  # type: ignore[arg-type]
    )
