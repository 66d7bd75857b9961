"""The rows of one sink into its staged files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from connectors.storage import StagedFile, Storage, join
from pipeline.datapackage.descriptor import ExportedFile
from pipeline.errors import ConfigError, SinkError
from pipeline.planning.partitions import Partition, data_file_path
from pipeline.planning.plan import ExportPlan, SinkPlan
from pipeline.planning.target import Target
from pipeline.rows.column import Table
from pipeline.rows.wide import WideAssembler
from pipeline.sinks import TableWriter
from pipeline.writing.hashing_stream import HashingStream

MOST_OPEN_FILES = 400
# A sink's open row groups may hold a quarter of the memory, at up to 120 bytes a row while they
# are being encoded.
_BYTES_A_HELD_ROW = 480


@dataclass(frozen=True)
class StagedOutput:
    """A whole file that waits to be published."""

    target: Target
    staged: StagedFile
    file: ExportedFile


@dataclass
class _Destination:
    """Where the rows of some series go, and the file that is open there now.

    Attributes:
        target: The export they belong to.
        partition: Values of the partition columns.
        last_series: After this row of the series table, nothing comes any more.
    """

    target: Target
    partition: Partition
    last_series: int
    files: int = 0
    rows: int = 0
    path: str = ""
    staged: StagedFile | None = None
    stream: HashingStream | None = None
    writer: TableWriter | None = None


@dataclass
class SinkOutput:
    """Routes rows of one sink into files, all of them staged.

    Attributes:
        export: The plan of the whole export.
        plan: The plan of this sink.
        states: The targets to write, each with a digest of what shapes its bytes, after which
            files of data sets are named.
    """

    export: ExportPlan
    plan: SinkPlan
    states: Mapping[Target, str]
    done: list[StagedOutput] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._destinations, self._of_series = self._lay_out()
        self._open: list[int] = []
        self._swept: set[tuple[Storage, str]] = set()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="flowtime-write")
        self._in_file = self.plan.in_file
        self._most_held = self.export.config.execution.memory_limit // _BYTES_A_HELD_ROW
        self._assembler = (
            WideAssembler(self.export.runs, self.plan.measures) if self.plan.measures else None
        )
        self._last_table: tuple[Target, Table] | None = None

    def write(self, batch: pl.DataFrame) -> None:
        """Take a batch that holds `series_row`, `bin_index` and every column of the sink."""
        if batch.is_empty():
            return
        if self._assembler is None:
            self._route(batch)
        else:
            for wide in self._assembler.add(batch):
                self._route(self._with_metadata(wide))

    def finish(self) -> list[StagedOutput]:
        """Finish every file and give them all."""
        if self._assembler is not None:
            for wide in self._assembler.finish():
                self._route(self._with_metadata(wide))
        for place in list(self._open):
            self._close(place)
        written = {output.target for output in self.done}
        for target in self.states:
            if target not in written:
                self._write_empty(target)
        self._worker.shutdown()
        return self.done

    def discard(self) -> None:
        """Throw away what is staged."""
        for destination in self._destinations:
            if destination.stream is not None:
                destination.stream.abandon()
            if destination.staged is not None:
                destination.target.storage.discard(destination.staged)
        for output in self.done:
            output.target.storage.discard(output.staged)
        self._worker.shutdown()

    # ----------------------------------------------------------------- which row goes where

    def _lay_out(self) -> tuple[list[_Destination], np.ndarray]:
        """Destinations, and the place among them of each series (-1: nowhere)."""
        runs = self.export.runs
        of_series = np.full(sum(len(run.series) for run in runs), -1, dtype=np.int64)
        starts = np.cumsum([0, *(len(run.series) for run in runs)])
        values = self._partition_values()
        destinations: list[_Destination] = []
        for target in self.states:
            places: dict[tuple[str | None, ...], int] = {}
            for run in target.runs:
                for row in range(int(starts[run]), int(starts[run + 1])):
                    key = values[row] if values else ()
                    if key not in places:
                        places[key] = len(destinations)
                        partition = tuple(zip(self.plan.sink.partition_by, key, strict=True))
                        destinations.append(_Destination(target, partition, row))
                    destinations[places[key]].last_series = row
                    of_series[row] = places[key]
        return destinations, of_series

    def _partition_values(self) -> list[tuple[str | None, ...]]:
        sources = self.plan.partition_sources
        return self.export.tables.texts(sources) if sources else []

    def _route(self, batch: pl.DataFrame) -> None:
        rows = batch["series_row"].to_numpy()
        places = self._of_series[rows]
        cuts = np.flatnonzero(np.diff(places))
        if len(cuts) == 0:
            self._append(int(places[0]), batch)
        else:
            keyed = batch.with_columns(pl.Series("\0place", places))
            for part in keyed.partition_by("\0place", maintain_order=True):
                self._close_finished(int(part["series_row"][0]))
                self._append(int(part["\0place"][0]), part)
        self._close_finished(int(rows[-1]))
        self._limit_held_rows()

    def _with_metadata(self, wide: pl.DataFrame) -> pl.DataFrame:
        tables = self.export.tables
        laid = [
            tables.expression(shown.source)
            for shown in self.plan.shown
            if shown.source not in self.plan.measures and shown.source != "bin_index"
        ]
        return wide.with_columns(laid)

    # ----------------------------------------------------------------- files

    def _append(self, place: int, batch: pl.DataFrame) -> None:
        if place < 0:
            return
        destination = self._destinations[place]
        # Not by a query: to plan one takes as long as to render a thousand rows.
        shown = pl.DataFrame(
            [batch[entry.source].alias(entry.column.name) for entry in self._in_file]
        )
        most = self.plan.sink.max_rows_per_file
        while shown.height:
            writer = self._writer(place)
            room = shown.height if most is None else most - destination.rows
            writer.write(shown.head(room))
            destination.rows += min(room, shown.height)
            shown = shown.slice(room)
            if most is not None and destination.rows >= most:
                self._close(place)

    def _writer(self, place: int) -> TableWriter:
        destination = self._destinations[place]
        if destination.writer is None:
            if len(self._open) >= MOST_OPEN_FILES:
                raise ConfigError(
                    f"sink {self.plan.sink.path}: more than {MOST_OPEN_FILES} files would be open "
                    "at a time: partition by fewer columns, or write fewer files"
                )
            self._begin(destination)
            self._open.append(place)
        assert destination.writer is not None
        return destination.writer

    def _begin(self, destination: _Destination) -> None:
        target = destination.target
        destination.path = self._file_path(destination)
        target.refuse_links(destination.path)
        self._sweep(destination)
        destination.staged = target.storage.stage(destination.path)
        try:
            raw = target.storage.open(destination.staged)
        except OSError as error:
            raise SinkError(
                f"{target.url}: cannot write {destination.staged.local}: {error}"
            ) from error
        destination.stream = HashingStream(raw, target.url, self._worker)
        table = self._table(destination)
        destination.writer = self.plan.sink.open(destination.stream, table)  # type: ignore[arg-type]
        destination.rows = 0

    def _sweep(self, destination: _Destination) -> None:
        """Remove what an export that was killed has left beside the file that is begun."""
        folder = destination.path.rpartition("/")[0]
        place = (destination.target.storage, folder)
        if place not in self._swept:
            self._swept.add(place)
            destination.target.storage.sweep(folder)

    def _table(self, destination: _Destination) -> Table:
        table = self._table_of(destination.target)
        own: dict[str, Any] = {}
        if destination.partition:
            own["partition"] = dict(destination.partition)
        if self.plan.sink.max_rows_per_file is not None:
            own["first_row"] = destination.files * self.plan.sink.max_rows_per_file
        return Table(table.columns, {**table.metadata, **own}) if own else table

    def _table_of(self, target: Target) -> Table:
        # There may be a target for each of many runs, and many files of one.
        if self._last_table is None or self._last_table[0] is not target:
            self._last_table = target, self.export.table(self.plan, target)
        return self._last_table[1]

    def _file_path(self, destination: _Destination) -> str:
        target = destination.target
        if not target.is_folder:
            return target.path
        state = self.states[target]
        name = data_file_path(
            destination.partition, state, destination.files, self.plan.sink.extension
        )
        return join(target.path, name)

    def _close(self, place: int) -> None:
        destination = self._destinations[place]
        self._open.remove(place)
        self._finish_file(destination)

    def _finish_file(self, destination: _Destination) -> None:
        assert destination.writer is not None
        assert destination.stream is not None
        assert destination.staged is not None
        written = destination.writer.close()
        destination.stream.close()
        folder = destination.target.folder
        file = ExportedFile(
            path=destination.path.removeprefix(folder).lstrip("/"),
            size=destination.stream.size,
            sha256=destination.stream.sha256,
            rows=written.rows,
            non_finite=written.non_finite,
            partition=dict(destination.partition),
            header_row=written.header_row,
        )
        self.done.append(StagedOutput(destination.target, destination.staged, file))
        destination.writer = destination.stream = destination.staged = None
        destination.files += 1
        destination.rows = 0

    def _close_finished(self, series_row: int) -> None:
        for place in list(self._open):
            if self._destinations[place].last_series < series_row:
                self._close(place)

    def _write_empty(self, target: Target) -> None:
        destination = _Destination(target, (), -1)
        self._destinations.append(destination)
        self._begin(destination)
        self._finish_file(destination)

    def _limit_held_rows(self) -> None:
        """Keep what row groups hold back bounded, however many files are open."""
        writers = [self._destinations[place].writer for place in self._open]
        held = [(writer.held_rows, writer) for writer in writers if writer is not None]
        while sum(rows for rows, _ in held) > self._most_held:
            largest = max(range(len(held)), key=lambda place: held[place][0])
            held[largest][1].flush()
            held[largest] = (0, held[largest][1])


def shown_sources(plan: SinkPlan) -> Iterator[str]:
    """Columns that the lazy frame must carry for a sink."""
    if not plan.measures:
        yield from (shown.source for shown in plan.shown)
