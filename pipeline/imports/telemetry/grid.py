"""Infer the time grid of a foreign table from its timestamps, then check it row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from connectors.flowtime.parse.schema import MAX_BIN_MINUTES, MAX_BINS
from pipeline.imports.telemetry.coding import SeriesName
from pipeline.imports.telemetry.files.rows import Array
from pipeline.imports.telemetry.options import ForeignOptions
from pipeline.imports.telemetry.report import SHOWN, Findings
from pipeline.imports.telemetry.spill import Spill, ValueStore
from pipeline.imports.telemetry.times import LAST_MICROS, MINUTE, micros_of, shown_time

FREE_CELLS = 10_000_000
MOST_FILL = 20
"""A grid may have `FREE_CELLS` cells, or this many for each row where that is more."""

_SAMPLED_SERIES = 1_000


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """A grid in microseconds."""

    origin: int
    width: int
    bins: int


@dataclass(slots=True)
class TimeSpan:
    """Earliest, latest and common spacing of the timestamps seen so far, and where they are."""

    spacing: int = 0
    first: int = 0
    last: int = 0
    first_place: int = 0
    last_place: int = 0
    _start: int | None = None

    def look(self, micros: Array, places: Array) -> None:
        """Take in the timestamps of a batch."""
        if not len(micros):
            return
        low, high = int(micros.argmin()), int(micros.argmax())
        if self._start is None:
            self._start = int(micros[0])
            self.first, self.first_place = int(micros[low]), int(places[low])
            self.last, self.last_place = int(micros[high]), int(places[high])
        if micros[low] < self.first:
            self.first, self.first_place = int(micros[low]), int(places[low])
        if micros[high] > self.last:
            self.last, self.last_place = int(micros[high]), int(places[high])
        steps = micros - self._start
        if self.spacing == 0 or (steps % self.spacing).any():
            self.spacing = int(np.gcd.reduce(np.append(np.abs(steps), self.spacing)))


def infer_grid(
    span: TimeSpan, series: int, rows: int, options: ForeignOptions, findings: Findings
) -> TimeGrid | None:
    """Return the grid of the timestamps; None, with a finding, where there is none."""
    stated = None if options.restamp else options.bin_size
    width = stated * MINUTE if stated is not None else span.spacing
    if width == 0:
        findings.add(
            "grid",
            span.first_place,
            None,
            f"all rows have one time, {shown_time(span.first)}",
            "say how wide a bin is with the option bin_size",
        )
        return None
    if width % MINUTE:
        width = MINUTE  # the check names the rows that are off
    origin = span.first
    if options.time_origin is not None and not options.restamp:
        origin = micros_of(options.time_origin)
    bins = max((span.last - origin) // width + 1, 1)
    grid = TimeGrid(origin, width, bins)
    _check_size(grid, span, series, rows, findings)
    _check_end(grid, span, options, findings)
    return None if {"size", "grid"} & findings.counts.keys() else grid


def _check_size(grid: TimeGrid, span: TimeSpan, series: int, rows: int, findings: Findings) -> None:
    """Refuse a grid that the rows do not fill: claims alone make none."""
    if grid.origin % 1_000_000:
        findings.add(
            "grid",
            span.first_place,
            None,
            f"the earliest time is {shown_time(grid.origin)}",
            "bin 0 should start on a whole second",
        )
    cells = grid.bins * series
    if grid.bins <= MAX_BINS and cells <= max(FREE_CELLS, MOST_FILL * rows):
        return
    file, line = findings.where(span.last_place)
    findings.add(
        "size",
        span.first_place,
        None,
        f"times from {shown_time(span.first)} to {shown_time(span.last)} ({file} line {line}) make "
        f"{grid.bins:,} bins of {grid.width // MINUTE:,} minutes for each of {series:,} series, "
        f"but there are only {rows:,} rows",
        "correct the time that lies apart, or give bin_size",
    )


def _check_end(grid: TimeGrid, span: TimeSpan, options: ForeignOptions, findings: Findings) -> None:
    origin, width = grid.origin, grid.width
    if options.restamp and options.bin_size is not None and options.time_origin is not None:
        origin, width = micros_of(options.time_origin), options.bin_size * MINUTE
    if width > MAX_BIN_MINUTES * MINUTE or origin + grid.bins * width > LAST_MICROS + 1:
        findings.add(
            "grid",
            span.last_place,
            None,
            f"{grid.bins:,} bins of {width // MINUTE:,} minutes",
            "the grid should end before the year 10000",
        )


@dataclass(slots=True)
class Checked:
    """The result of checking rows.

    Attributes:
        filled: Bins without a row.
        replaced: Rows for a bin that had one already.
        steps: How often neighbouring times of a series are so many bins apart, in a sample.
    """

    filled: int = 0
    replaced: int = 0
    steps: dict[int, int] = field(default_factory=dict)

    @property
    def usual_step(self) -> int:
        """The most frequent of them."""
        return max(self.steps, key=lambda step: self.steps[step], default=1)


def check_rows(
    spill: Spill,
    names: Sequence[SeriesName],
    grid: TimeGrid,
    options: ForeignOptions,
    findings: Findings,
    store: ValueStore | None,
) -> Checked:
    """Put every row into its bin, and note rows that have none and bins that lack theirs.

    Args:
        spill: The rows.
        names: The series, by number.
        grid: The grid.
        options: What is to be done about gaps and duplicates.
        findings: Where problems are noted.
        store: Where the values go, or None to check alone.
    """
    checked = Checked()
    seen = np.zeros(grid.bins, dtype=bool)
    for code, chunks in spill.series():
        seen[:] = False
        values = store.begin(code) if store is not None else None
        if values is not None:
            values[:] = np.nan
        last = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint32)
        for records in chunks:
            micros, places = records["micros"], records["place"]
            bins, fits = _bins(micros, grid)
            if not fits.all():
                _note_off_grid(micros[~fits], places[~fits], names[code], grid, findings)
                records, bins, places = records[fits], bins[fits], places[fits]
            again = _again(bins, seen)
            if again is not None:
                checked.replaced += len(again)
                if options.duplicates == "error":
                    _note_duplicates(bins[again], places[again], names[code], grid, findings)
            seen[bins] = True
            if values is not None:
                values[bins] = records["value"]
            last = bins, places
        if values is not None and store is not None:
            store.end(code, values)
        if code < _SAMPLED_SERIES:
            _count_steps(seen, checked)
        if not seen.all():
            missing = np.flatnonzero(~seen)
            checked.filled += len(missing)
            if options.gaps == "error":
                _note_gaps(missing, last, names[code], grid, findings)
    return checked


def _bins(micros: Array, grid: TimeGrid) -> tuple[Array, Array]:
    bins, rest = np.divmod(micros - grid.origin, grid.width)
    return bins, (rest == 0) & (bins >= 0) & (bins < grid.bins)


def _again(bins: Array, seen: Array) -> Array | None:
    """Return positions of rows whose bin had a row before, or None."""
    rises = bool((bins[1:] > bins[:-1]).all())
    had = seen[bins]
    if rises:
        return np.flatnonzero(had) if had.any() else None
    order = np.argsort(bins, kind="stable")
    ordered = bins[order]
    repeated = np.concatenate([[False], ordered[1:] == ordered[:-1]])
    later = np.zeros(len(bins), dtype=bool)
    later[order] = repeated
    later |= had
    return np.flatnonzero(later) if later.any() else None


def _count_steps(seen: Array, checked: Checked) -> None:
    present = np.flatnonzero(seen)
    steps, counts = np.unique(np.diff(present), return_counts=True)
    for step, count in zip(steps.tolist(), counts.tolist(), strict=True):
        checked.steps[step] = checked.steps.get(step, 0) + count


def _note_off_grid(
    micros: Array, places: Array, name: SeriesName, grid: TimeGrid, findings: Findings
) -> None:
    found = (
        (int(place), f"{name.id} at {shown_time(int(at))}")
        for place, at in zip(places[:SHOWN], micros[:SHOWN], strict=True)
    )
    findings.add_all(
        "spacing",
        None,
        f"should be a multiple of {grid.width // MINUTE:,} minutes after {shown_time(grid.origin)}",
        found,
        len(micros),
    )


def _note_duplicates(
    bins: Array, places: Array, name: SeriesName, grid: TimeGrid, findings: Findings
) -> None:
    found = (
        (int(place), f"another row for {name.id} {_bin(int(at), grid)}")
        for place, at in zip(places[:SHOWN], bins[:SHOWN], strict=True)
    )
    findings.add_all(
        "duplicate", None, "remove one, or take the last with duplicates=last", found, len(bins)
    )


def _note_gaps(
    missing: Array, last: tuple[Array, Array], name: SeriesName, grid: TimeGrid, findings: Findings
) -> None:
    listed = 0
    for at in missing[:SHOWN].tolist():
        place = _place_before(at, last)
        where = "" if place is None else ", which should follow this line"
        findings.add(
            "gap",
            place,
            None,
            f"{name.id} has no row for {_bin(at, grid)}{where}",
            "add it, or fill gaps with gaps=nan",
        )
        listed += 1
    findings.count("gap", len(missing) - listed)


def _place_before(at: int, last: tuple[Array, Array]) -> int | None:
    """Return where the row of the nearest bin before is, as far as it was read last."""
    bins, places = last
    before = np.flatnonzero(bins < at)
    if not len(before):
        return None
    return int(places[before[bins[before].argmax()]])


def _bin(at: int, grid: TimeGrid) -> str:
    return f"bin {at} ({shown_time(grid.origin + at * grid.width)})"
