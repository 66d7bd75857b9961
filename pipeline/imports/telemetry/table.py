"""Turn a foreign table into a telemetry run: the outline of the flow; open this first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series import SeriesSpec
from connectors.storage import StorageOptions, scratch_folder
from pipeline.imports.telemetry.coding import SeriesName
from pipeline.imports.telemetry.description import describe
from pipeline.imports.telemetry.files.content import ForeignFile, find_files
from pipeline.imports.telemetry.files.rows import Array
from pipeline.imports.telemetry.grid import Checked, TimeGrid, check_rows, infer_grid
from pipeline.imports.telemetry.options import ForeignOptions
from pipeline.imports.telemetry.reading import Reading
from pipeline.imports.telemetry.report import ForeignDataError, ForeignReport, StopReadingError
from pipeline.imports.telemetry.spill import DEFAULT_BUDGET, Spill, ValueStore
from pipeline.imports.telemetry.times import MINUTE, instant_of
from pipeline.wording import counted

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_STEM = 60


@dataclass(frozen=True)
class ForeignRun:
    """A foreign table that can become a run.

    Attributes:
        run: The run; its series have neither hashes nor sizes, as there are no files yet.
        report: What was found.
    """

    run: Run
    report: ForeignReport
    _values: ValueStore
    _codes: tuple[int, ...]

    def series(self) -> Iterator[tuple[SeriesSpec, Array]]:
        """Yield each series of the run with its values by bin, as float64."""
        for row, series in enumerate(self.run.series):
            yield series, self.values(row)

    def values(self, row: int) -> Array:
        """Return the values of the series at a place of the run, by bin, as float64."""
        return self._values.read(self._codes[row])


@contextmanager
def open_foreign(
    urls: Sequence[str],
    options: ForeignOptions | None = None,
    *,
    storage: StorageOptions | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Iterator[ForeignRun]:
    """Read and check a foreign table; nothing but temporary files is written.

    Args:
        urls: Its files, or folders that hold them; together they are one table.
        options: How it is to be understood.
        storage: Options of the storage.
        budget: Bytes of rows that are held in memory.

    Raises:
        ForeignDataError: It cannot become a run; carries the report.
        StorageError: A file could not be read, or the disk for temporary files is full.
    """
    reading = Reading(options or ForeignOptions())
    with scratch_folder() as scratch, closing(Spill(scratch / "rows", budget)) as spill:
        try:
            for file in find_files(urls, storage):
                reading.read(file, spill, scratch)
            spill.release()
        except StopReadingError:
            raise ForeignDataError(_report(reading)) from None
        names = reading.names()
        grid = _grid(reading, names)
        # A grid with more cells than rows has gaps: room is made only where they are filled.
        is_whole = grid.bins * len(names) <= reading.rows or reading.options.gaps == "nan"
        series = len(names) if is_whole else 0
        with closing(ValueStore(scratch / "values", series, grid.bins)) as store:
            checked = _checked(reading, spill, names, grid, store if is_whole else None)
            spill.close()
            (scratch / "rows").unlink()
            run, codes = _run(reading, names, grid)
            yield ForeignRun(run, _report(reading, grid, checked), store, codes)


def _grid(reading: Reading, names: Sequence[SeriesName]) -> TimeGrid:
    """Return the grid, once every row could be read.

    Raises:
        ForeignDataError: A row could not be, or the grid cannot be determined.
    """
    findings = reading.findings
    reading.check_zones()
    if not reading.rows:
        findings.add("file", None, None, "no rows", "a table should have some")
    if {"row", "name", "time", "zone"} & findings.counts.keys():
        findings.note("gaps and duplicates were not looked for, as rows are wrong")
    if set(findings.counts) - {"value"}:
        raise ForeignDataError(_report(reading))
    grid = infer_grid(reading.span, len(names), reading.rows, reading.options, findings)
    if grid is None:
        raise ForeignDataError(_report(reading))
    return grid


def _checked(
    reading: Reading,
    spill: Spill,
    names: Sequence[SeriesName],
    grid: TimeGrid,
    store: ValueStore | None,
) -> Checked:
    """Return the result of checking the rows; their values are stored where there is a store.

    Raises:
        ForeignDataError: There are problems.
        StorageError: The disk for temporary files is full.
    """
    options, findings = reading.options, reading.findings
    before = findings.snapshot()
    checked = check_rows(spill, names, grid, options, findings, store)
    inferred = options.bin_size is None or options.restamp
    if inferred and "gap" in findings.counts and checked.usual_step > 1:
        # One odd time makes all bins narrow: it shows by comparison with the usual width.
        width = grid.width * checked.usual_step
        wide = replace(grid, width=width, bins=(reading.span.last - grid.origin) // width + 1)
        findings.restore(before)
        checked = check_rows(spill, names, wide, options, findings, None)
        findings.note(
            f"most times are {width // MINUTE:,} minutes apart; rows that do not fit are named"
        )
    if findings.problems:
        raise ForeignDataError(_report(reading, grid, checked))
    _note_assumptions(reading, checked)
    return checked


def _note_assumptions(reading: Reading, checked: Checked) -> None:
    note = reading.findings.note
    if reading.naive_rows:
        note(f"timestamps name no time zone; they were taken for {reading.options.time_zone}")
    if reading.absent:
        note(f"{counted(reading.absent, 'row')} without a value, taken for NaN")
    if checked.filled:
        note(f"{counted(checked.filled, 'bin')} without a row, filled with NaN")
    if checked.replaced:
        note(f"{counted(checked.replaced, 'row')} replaced by a later one for the same bin")


def _run(
    reading: Reading, names: Sequence[SeriesName], grid: TimeGrid
) -> tuple[Run, tuple[int, ...]]:
    """Return the run, and the number of each of its series."""
    assert reading.extras is not None
    assert reading.first_file is not None
    content = reading.digest.hexdigest()
    run = describe(
        names,
        _shown_grid(grid, reading.options),
        dict(reading.extras.found(len(names))),
        run_id=reading.options.run_id,
        default_id=_default_id(reading.first_file, content),
        url=reading.first_file.url,
        content=content,
        findings=reading.findings,
    )
    numbers = {name.id: code for code, name in enumerate(names)}
    return run, tuple(numbers[series.id] for series in run.series)


def _shown_grid(grid: TimeGrid, options: ForeignOptions) -> tuple[datetime, int, int]:
    """Origin, bin width in minutes and bins, as the run will have them."""
    if options.restamp and options.time_origin is not None and options.bin_size is not None:
        return options.time_origin, options.bin_size, grid.bins
    return instant_of(grid.origin), grid.width // MINUTE, grid.bins


def _report(
    reading: Reading, grid: TimeGrid | None = None, checked: Checked | None = None
) -> ForeignReport:
    """Return what is known so far."""
    origin, minutes, bins = (
        (None, None, None) if grid is None else _shown_grid(grid, reading.options)
    )
    findings = reading.findings
    return ForeignReport(
        files=tuple(findings.files),
        rows=reading.rows,
        series=len(reading.coding) if reading.coding is not None else 0,
        bins=bins,
        bin_minutes=minutes,
        time_origin=origin,
        filled=checked.filled if checked is not None else 0,
        replaced=checked.replaced if checked is not None else 0,
        notes=tuple(findings.notes),
        problems=tuple(sorted(findings.problems, key=lambda one: (one.file, one.line or 0))),
        counts=dict(findings.counts),
    )


def _default_id(file: ForeignFile, content: str) -> str:
    """Return an id made of the file's name and content."""
    stem = file.path.rstrip("/").rpartition("/")[2].split(".")[0]
    plain = _UNSAFE.sub("_", stem)[:_LONGEST_STEM].strip("._-") or "table"
    return f"telemetry_{plain}_{content[:8]}"
