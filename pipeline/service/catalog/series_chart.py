"""Read the values of a series within a window, thinned out for a chart without losing its peaks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from connectors.errors import RunError
from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series import SeriesSpec
from connectors.flowtime.scan.scanner import ScanOptions, scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import Storage
from pipeline.service.errors import DamagedRunError


@dataclass(frozen=True)
class ChartBand:
    """Extremes of groups of neighbouring bins.

    Attributes:
        bins: First bin of each group that has a finite value, ascending.
        lows: Lowest finite value of the group.
        highs: Highest finite value of the group.
    """

    bins: list[int]
    lows: list[float]
    highs: list[float]


@dataclass(frozen=True)
class ChartValues:
    """Points of a chart.

    Attributes:
        from_bin: First bin of the window.
        to_bin: Bin after the last one of the window.
        bins_per_point: Bins in a group; 1 where every finite value of the window has a point.
        bins: Bin of each point, ascending: where a group is at its lowest and at its highest.
        values: Value of the series in that bin; finite.
        band: The groups, where there are more bins than points.
        non_finite: Values of the window that are NaN or infinite and have no point.
        lowest, highest: Of the finite values of the window.
    """

    from_bin: int
    to_bin: int
    bins_per_point: int
    bins: list[int]
    values: list[float]
    band: ChartBand | None
    non_finite: int
    lowest: float | None
    highest: float | None


def window_of(run: Run, start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """Return the first bin that ends after `start`, and the bin after the last before `end`.

    Args:
        run: The run.
        start: Start of the window; None for that of the run.
        end: End of the window, excluded; None for that of the run.
    """
    width = timedelta(minutes=run.grid.bin_minutes)
    first = 0 if start is None else (start - run.time_origin) // width
    after = run.grid.bins if end is None else -((run.time_origin - end) // width)
    first = min(max(0, first), run.grid.bins)
    return first, min(max(first, after), run.grid.bins)


def chart_values(
    storage: Storage,
    run: Run,
    series: SeriesSpec,
    points: int,
    window: tuple[int, int] | None = None,
) -> ChartValues:
    """Return at most `points` points of a series: the extremes of each group of bins.

    Args:
        storage: Where the run is.
        run: The run.
        series: One of its series.
        points: Points at the most, at least 2.
        window: First bin and the bin after the last one; None for all.

    Raises:
        DamagedRunError: The file does not hold what the run promises.
        StorageError: It cannot be read.
    """
    first, after = window or (0, series.points)
    length = after - first
    width = -(-length // max(1, points // 2)) if length > points else 1
    (file,) = (f for f in series_files([run]) if f.series_id == series.id)
    value, place = pl.col("value"), pl.col("bin_index")
    finite = value.is_finite()
    frame = (
        scan(storage, [file], ScanOptions(workers=1))
        .filter(place.is_between(first, after, closed="left"))
        .group_by(((place - first) // width).alias("group"))
        .agg(
            place.filter(finite).get(value.filter(finite).arg_min()).alias("low_bin"),
            place.filter(finite).get(value.filter(finite).arg_max()).alias("high_bin"),
            value.filter(finite).min().alias("low"),
            value.filter(finite).max().alias("high"),
            (~finite).sum().alias("odd"),
        )
    )
    try:
        groups = frame.collect(engine="streaming").sort("group")
    except RunError as error:
        raise DamagedRunError(error.detail) from error
    some = groups.filter(pl.col("low").is_not_null())
    peaks = pl.concat(
        [some.select(bin="low_bin", value="low"), some.select(bin="high_bin", value="high")]
    )
    shown = peaks.unique("bin").sort("bin")
    return ChartValues(
        from_bin=first,
        to_bin=after,
        bins_per_point=width,
        bins=shown["bin"].to_list(),
        values=shown["value"].to_list(),
        band=None if width == 1 else _band(some, first, width),
        non_finite=int(groups["odd"].sum() or 0),
        lowest=some["low"].min(),  # type: ignore[arg-type]
        highest=some["high"].max(),  # type: ignore[arg-type]
    )


def _band(groups: pl.DataFrame, first: int, width: int) -> ChartBand:
    return ChartBand(
        bins=(groups["group"] * width + first).to_list(),
        lows=groups["low"].to_list(),
        highs=groups["high"].to_list(),
    )
