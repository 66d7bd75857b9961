"""Read the series files of the runs that an export is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from connectors.flowtime.discover.discovery import Discovery, discover
from connectors.flowtime.model.instant import instant_text
from connectors.flowtime.model.run import CONFIGURED_ORIGIN, Run
from connectors.flowtime.parse.schema import clip
from connectors.flowtime.scan.scanner import scan
from connectors.flowtime.scan.series_file import SeriesFile
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import Storage, StorageOptions, connect
from pipeline.datapackage.run_record import describe_run
from pipeline.readback.row_order import RowBlock
from pipeline.rows.aggregation import aggregate
from pipeline.rows.resample import BinGroups

_BATCH_ROWS = 65_536
_NOT_OF_FILES = {
    "name", "bins", "binMinutes", "created", "timeOrigin", "notes", "series", "seriesCount",
}  # fmt: skip
"""What is said of a run and depends on its place or on the config, or is compared by itself."""
_Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RunSource:
    """The runs at a URL.

    Attributes:
        url: The URL.
        storage: Where they are.
        found: The runs, and what could not be one.
    """

    url: str
    storage: Storage
    found: Discovery

    @classmethod
    def open(cls, url: str, options: StorageOptions | None = None) -> RunSource:
        """Find the runs.

        Raises:
            StorageError: The URL cannot be listed.
        """
        storage, path = connect(url, options)
        return cls(storage.url(path), storage, discover(storage, path))

    def match(self, run: Run) -> Run | None:
        """Return the run that an exported one was: by fingerprint, else by its id alone."""
        same = [one for one in self.found.runs if one.fingerprint == run.fingerprint]
        alike = [one for one in self.found.runs if one.run_id == run.run_id]
        if same:
            return next((one for one in same if one.name == run.name), same[0])
        if len(alike) > 1:
            alike = [one for one in alike if one.name == run.name]
        return alike[0] if len(alike) == 1 else None


@dataclass(frozen=True)
class Matches:
    """Exported runs and where their series are now.

    Attributes:
        files: The series file of each exported series that has one, by its row.
        problems: What is missing or different.
        notes: What a reader should know.
    """

    files: Mapping[int, SeriesFile]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def match_runs(folder: RunSource, exported: Sequence[Run]) -> Matches:
    """Find the series of exported runs at a URL."""
    files: dict[int, SeriesFile] = {}
    problems: list[str] = []
    notes: list[str] = []
    first = 0
    for run in exported:
        found = folder.match(run)
        if found is None:
            problems.append(_not_there(folder, run))
        elif found.grid.bins != run.grid.bins:
            problems.append(
                f"run {run.run_id}: has {found.grid.bins} bins; {run.grid.bins} were exported"
            )
        else:
            problems += _other_times(run, found)
            if found.fingerprint == run.fingerprint:
                problems += _other_facts(run, found)
            else:
                notes.append(
                    f"run {run.run_id}: {found.url} was changed, or written again, after the export"
                )
            problems += _match_series(run, found, first, files)
        first += len(run.series)
    return Matches(files, tuple(problems), tuple(notes))


def _not_there(folder: RunSource, run: Run) -> str:
    broken = [one for one in folder.found.refusals if one.name == run.name]
    why = f": {broken[0].error}" if broken else ""
    return f"run {run.run_id} is not under {folder.url}{why}"


def _other_times(run: Run, found: Run) -> Iterator[str]:
    """Yield how the times that rows show differ between an exported run and the run found."""
    times = [("created", run.created, found.created)]
    # An origin that the config set is none of the run's.
    if run.origin_source != CONFIGURED_ORIGIN:
        times.append(("its time origin", run.time_origin, found.time_origin))
    for what, exported, there in times:
        if exported is not None and exported != there:
            now = "not known" if there is None else instant_text(there)
            yield f"run {run.run_id}: {what} is {now}; {instant_text(exported)} was exported"
    if run.grid.bin_minutes != found.grid.bin_minutes:
        yield (
            f"run {run.run_id}: a bin has {found.grid.bin_minutes} minutes; "
            f"{run.grid.bin_minutes} were exported"
        )


def _other_facts(run: Run, found: Run) -> Iterator[str]:
    """Yield what is said of an exported run and is not what its files say.

    Equal fingerprints are of equal files.
    """
    exported, there = (describe_run(one, with_place=False) for one in (run, found))
    there["seriesLeftOut"] = len(found.series) - len(run.series)
    if run.origin_source == CONFIGURED_ORIGIN:
        there["timeOriginFrom"] = CONFIGURED_ORIGIN
    for key in exported.keys() - _NOT_OF_FILES:
        if exported[key] != there[key]:
            yield (
                f"run {run.run_id}: {key} is {clip(there[key])}; {clip(exported[key])} was exported"
            )
    rows = {row[0]: row[1:-1] for row in there["series"]["rows"]}
    for name, *facts, _ in exported["series"]["rows"]:
        if facts != rows.get(name, facts):
            yield f"run {run.run_id}: series {name} is {rows[name]}; {facts} was exported"


def _match_series(run: Run, found: Run, first: int, files: dict[int, SeriesFile]) -> Iterator[str]:
    there = {file.series_id: file for file in series_files([found])}
    for place, series in enumerate(run.series):
        file = there.pop(series.id, None)
        if file is None:
            yield f"run {run.run_id}: series {series.id} is not in {found.url} any more"
        else:
            files[first + place] = replace(file, row=first + place)
    if len(there) > run.series_left_out:
        yield (
            f"run {run.run_id}: {len(there)} series of {found.url} are not in the export, "
            f"e.g. {next(iter(there))}"
        )


class RunValues:
    """The values of blocks of series, asked for in order, one block held at a time.

    Args:
        folder: Where the runs are.
        files: The series files by their rows.
        blocks: The blocks in the order in which they will be asked for.
        groups: How the bins of the runs became those of the blocks, where they were resampled.
    """

    def __init__(
        self,
        folder: RunSource,
        files: Mapping[int, SeriesFile],
        blocks: Sequence[RowBlock],
        groups: BinGroups | None = None,
    ) -> None:
        self._groups = groups
        rows = [row for block in blocks for _, row in block.members]
        ordered = [files[row] for row in rows if row in files]
        self._files = files
        self._frames: Iterator[pl.DataFrame] = iter(())
        if ordered:
            self._frames = scan(folder.storage, ordered).collect_batches(
                maintain_order=True, lazy=True, chunk_size=_BATCH_ROWS, engine="streaming"
            )
        self._rest = pl.DataFrame()
        self._block: RowBlock | None = None
        self._values: dict[str, _Array] = {}

    def of(self, block: RowBlock) -> Mapping[str, _Array]:
        """Return the values of a block by column; series without a file are left out.

        Raises:
            IntegrityError: A series file is not as its run promises.
            StorageError: A file could not be read.
        """
        if block != self._block:
            self._block = block
            self._values = {
                column: self._series(row, block.bins)
                for column, row in block.members
                if row in self._files
            }
        return self._values

    def give_up(self) -> None:
        """Give no more values: the frames cannot be read on."""
        self._files, self._frames, self._block = {}, iter(()), None

    def _series(self, row: int, bins: int) -> _Array:
        if self._groups is None:
            return self._read(row, bins)
        factor, aggregation = self._groups.of_series(row)
        return aggregate(self._read(row, bins * factor), factor, aggregation)

    def _read(self, row: int, bins: int) -> _Array:
        values = np.empty(bins, dtype=np.float64)
        filled = 0
        while filled < bins:
            if self._rest.is_empty():
                self._rest = next(self._frames)
            of_row = self._rest["series_row"].to_numpy() == row
            first = int(np.argmax(of_row)) if of_row.any() else self._rest.height
            self._rest = self._rest.slice(first)
            count = int(of_row.sum())
            values[filled : filled + count] = self._rest["value"].head(count).to_numpy()
            self._rest = self._rest.slice(count)
            filled += count
        return values
