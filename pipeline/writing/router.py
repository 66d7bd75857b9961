"""Route the rows of one sink into its staged files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from connectors.flowtime.scan.arrays import as_column
from connectors.storage import StagedFile, Storage, join
from pipeline.datapackage.descriptor import ExportedFile
from pipeline.errors import ConfigError
from pipeline.planning.partitions import Partition, data_file_path, table_file_path
from pipeline.planning.plan import ExportPlan, SinkPlan
from pipeline.planning.segments import Segment
from pipeline.planning.target import Target
from pipeline.planning.target_part import FilePlace, TargetPart
from pipeline.rows.column import Table
from pipeline.rows.wide import WideAssembler
from pipeline.sinks import TableWriter
from pipeline.sinks.run_lengths import SERIES
from pipeline.sinks.sink import EncodingThreads, Written
from pipeline.writing.staged_stream import StagedStream

MOST_OPEN_FILES = 400
# A sink's open row groups may hold a quarter of the memory, at up to 100 bytes a row while they
# are being encoded.
_BYTES_A_HELD_ROW = 400


@dataclass(frozen=True)
class StagedOutput:
    """A whole file that waits to be published.

    Attributes:
        target: The target that it belongs to.
        staged: Where it waits.
        file: What a descriptor says of it.
    """

    target: Target
    staged: StagedFile
    file: ExportedFile

    def discard(self) -> None:
        """Discard it."""
        self.target.storage.discard(self.staged)


@dataclass(frozen=True)
class StagedSegments:
    """Some segments of a file, which wait to be joined with the others.

    Attributes:
        target: The target whose file they belong to.
        staged: The file that holds them.
        written: What is in it.
    """

    target: Target
    staged: StagedFile
    written: Written


@dataclass
class _OpenFile:
    """A file that is being written."""

    part: TargetPart
    output: StagedStream
    writer: TableWriter
    rows: int = 0


@dataclass
class _Destination:
    """Where the rows of some series go: the files of a segment, or a segment of a file.

    Attributes:
        part: The part of the target they belong to.
        segment: Place of their segment in the part.
        partition: Values of the partition columns.
        last_series: After this row of the series table, no row comes any more.
        most_held_rows: Rows that the writers of its files may hold back.
        files: Number of files that were finished.
        file: The file that is open now.
    """

    part: TargetPart
    segment: int
    partition: Partition
    last_series: int
    most_held_rows: int
    files: int = 0
    file: _OpenFile | None = None

    @property
    def place(self) -> FilePlace:
        """The place of its files in their data set."""
        return self.part.places[self.segment]


@dataclass
class SinkOutput:
    """Routes the rows of one sink into files, all of them staged.

    Attributes:
        export: The plan of the export.
        plan: The plan of this sink.
        parts: What is written of each target.
        threads: So many may encode at a time.
        segments: Files that hold some of the segments of a target.
    """

    export: ExportPlan
    plan: SinkPlan
    parts: Sequence[TargetPart]
    threads: int = 1
    segments: list[StagedSegments] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._finished: list[tuple[int, StagedOutput]] = []
        self._most_held = max(1, self.export.config.execution.memory_limit // _BYTES_A_HELD_ROW)
        self._destinations, self._of_series = self._lay_out()
        self._open: list[int] = []
        self._continued: dict[Target, _OpenFile] = {}
        self._swept: set[tuple[Storage, str]] = set()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="flowtime-write")
        self._encoders = EncodingThreads(self.threads) if self.threads > 1 else None
        self._in_file = self.plan.in_file
        self._assembler = (
            WideAssembler(self.export.tables.runs, self.plan.measures)
            if self.plan.measures
            else None
        )
        self._last_table: tuple[Target, Table] | None = None

    @property
    def done(self) -> list[StagedOutput]:
        """The whole files, in the order of segments, then of partitions."""
        return [output for _, output in sorted(self._finished, key=lambda one: one[0])]

    def write(self, batch: pl.DataFrame) -> None:
        """Take a batch that holds `series_row`, `bin_index` and every column of the sink."""
        if batch.is_empty():
            return
        if self._assembler is None:
            self._route(batch)
        else:
            for wide in self._assembler.add(batch):
                self._route(self._with_metadata(wide))

    def finish(self) -> None:
        """Finish every file; of a target without rows one is written, too."""
        if self._assembler is not None:
            for wide in self._assembler.finish():
                self._route(self._with_metadata(wide))
        for place in list(self._open):
            self._close(place)
        for target in list(self._continued):
            self._finish_file(self._continued[target])
            del self._continued[target]
        written = {output.target for _, output in self._finished}
        written |= {one.target for one in self.segments}
        for part in self.parts:
            is_due = part.is_whole or (part.begins and not part.target.is_folder)
            if is_due and part.target not in written:
                self._write_empty(part)
        self._end_threads()

    def discard(self) -> None:
        """Discard all that is staged, also where some of it cannot be removed.

        Raises:
            StorageError: Some of it could not be removed.
        """
        files = [one.file for one in self._destinations if one.file is not None]
        with ExitStack() as each:
            each.callback(self._end_threads)
            for file in (*files, *self._continued.values()):
                each.callback(file.output.discard)
            for _, output in self._finished:
                each.callback(output.discard)
            for segments in self.segments:
                each.callback(segments.target.storage.discard, segments.staged)

    def _end_threads(self) -> None:
        if self._encoders is not None:
            self._encoders.shutdown(cancel_futures=True)
        self._worker.shutdown()

    # ----------------------------------------------------------------- which row goes where

    def _lay_out(self) -> tuple[list[_Destination], np.ndarray]:
        """Destinations, and the place among them of each series (-1: nowhere)."""
        of_series = np.full(self.export.starts[-1], -1, dtype=np.int64)
        destinations: list[_Destination] = []
        for part in self.parts:
            for number, segment in enumerate(part.segments):
                keys, codes = self._partitions(segment)
                of_series[segment.first : segment.end] = codes + len(destinations)
                # By the plan alone, as row groups are part of the bytes.
                is_small = segment.rows <= self._most_held
                most = self._most_held if is_small else max(1, self._most_held // len(keys))
                for code, key in enumerate(keys):
                    last = segment.first + int(np.flatnonzero(codes == code)[-1])
                    partition = tuple(zip(self.plan.sink.partition_by, key, strict=True))
                    destinations.append(_Destination(part, number, partition, last, most))
        return destinations, of_series

    def _partitions(
        self, segment: Segment
    ) -> tuple[list[tuple[str | None, ...]], np.ndarray[Any, np.dtype[np.int64]]]:
        """Partitions of a segment in the order of their first series, and that of each series."""
        codes = np.zeros(segment.end - segment.first, dtype=np.int64)
        sources = self.plan.partition_sources
        if not sources:
            return [()], codes
        keys: dict[tuple[str | None, ...], int] = {}
        for place, key in enumerate(self.export.tables.texts(sources, segment.first, segment.end)):
            codes[place] = keys.setdefault(key, len(keys))
        return list(keys), codes

    def _route(self, batch: pl.DataFrame) -> None:
        rows = batch["series_row"].to_numpy()
        places = self._of_series[rows]
        cuts = np.flatnonzero(np.diff(places))
        if len(cuts) == 0:
            self._close_finished(int(rows[0]))
            self._append(int(places[0]), batch)
        else:
            keyed = batch.with_columns(as_column(places, "\0place"))
            for part in keyed.partition_by("\0place", maintain_order=True):
                self._close_finished(int(part["series_row"][0]))
                self._append(int(part["\0place"][0]), part)
        self._close_finished(int(rows[-1]))

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
        # Not by a query: to plan one takes as long as to render a thousand rows.
        shown = pl.DataFrame(
            [
                batch["series_row"].alias(SERIES),
                *(batch[entry.source].alias(entry.column.name) for entry in self._in_file),
            ]
        )
        most = self.plan.sink.max_rows_per_file
        while shown.height:
            file = self._file(place)
            room = shown.height if most is None else most - file.rows
            file.writer.write(shown.head(room))
            file.rows += min(room, shown.height)
            shown = shown.slice(room)
            if most is not None and file.rows >= most:
                self._close(place)

    def _file(self, place: int) -> _OpenFile:
        destination = self._destinations[place]
        if destination.file is None:
            if len(self._open) >= MOST_OPEN_FILES:
                raise ConfigError(
                    f"sink {self.plan.sink.path}: more than {MOST_OPEN_FILES} files would be open "
                    "at a time: partition by fewer columns, or write fewer files"
                )
            destination.file = self._next_file(destination)
            self._open.append(place)
        return destination.file

    def _next_file(self, destination: _Destination) -> _OpenFile:
        part = destination.part
        if part.target.is_folder:
            return self._begin(part, self._file_path(destination), destination)
        if part.target in self._continued:
            return self._continued.pop(part.target)
        file = self._begin(part, part.target.path)
        if destination.segment > 0:
            file.writer.cut()  # none of the segments before has a row
        return file

    def _begin(
        self, part: TargetPart, path: str, destination: _Destination | None = None
    ) -> _OpenFile:
        target = part.target
        target.refuse_links(path)
        self._sweep(target, path)
        is_hashed = target.is_folder or part.is_whole
        output = StagedStream.open(
            target.storage, path, target.url, self._worker, is_hashed=is_hashed
        )
        sink = self.plan.sink
        begin = sink.open if target.is_folder or part.begins else sink.open_segment
        writer = output.begin(
            lambda stream: begin(stream, self._table(part, destination), self._encoders)
        )
        return _OpenFile(part, output, writer)

    def _sweep(self, target: Target, path: str) -> None:
        """Remove what an export that was killed has left beside the file that is begun."""
        folder = path.rpartition("/")[0]
        place = (target.storage, folder)
        if place not in self._swept:
            self._swept.add(place)
            target.storage.sweep(folder)

    def _table(self, part: TargetPart, destination: _Destination | None) -> Table:
        table = part.table or self._table_of(part.target)
        if destination is None:
            return replace(table, most_held_rows=self._most_held)
        own = _own_metadata(destination, self.plan.sink.max_rows_per_file)
        return replace(
            table, metadata={**table.metadata, **own}, most_held_rows=destination.most_held_rows
        )

    def _table_of(self, target: Target) -> Table:
        # There may be a target for each of many runs, and many files of one.
        if self._last_table is None or self._last_table[0] is not target:
            self._last_table = target, self.export.table(self.plan, target)
        return self._last_table[1]

    def _file_path(self, destination: _Destination) -> str:
        part = destination.part
        number = destination.place.number + destination.files
        extension = self.plan.sink.extension
        # The file of a table is named once its bytes are known.
        partition = () if part.target.table is not None else destination.partition
        name = data_file_path(partition, part.state, number, extension)
        return join(part.target.path, name)

    def _close(self, place: int) -> None:
        """Finish the open file of a destination, or a segment of a file that goes on."""
        destination = self._destinations[place]
        file = destination.file
        assert file is not None
        part = destination.part
        if part.target.is_folder:
            self._finish_file(file, place, destination)
            destination.files += 1
        else:
            if not part.is_whole or len(part.segments) > 1:
                file.writer.cut()
            if destination.segment < len(part.segments) - 1:
                self._continued[part.target] = file
            else:
                self._finish_file(file, place)
        # Not before: until it is finished it has to be discarded with the others.
        destination.file = None
        self._open.remove(place)

    def _finish_file(
        self, file: _OpenFile, order: int = 0, destination: _Destination | None = None
    ) -> None:
        written = file.writer.close()
        target, output = file.part.target, file.output
        partition = () if destination is None else destination.partition
        staged = output.staged
        described = output.finish(written, target.relative_path(staged.target), dict(partition))
        if target.table is not None:
            number = 0 if destination is None else destination.place.number + destination.files
            digest, extension = described.sha256, self.plan.sink.extension
            name = table_file_path(partition, file.part.state, number, digest, extension)
            staged = replace(staged, target=join(target.path, name))
            described = replace(described, path=name)
        if target.is_folder or file.part.is_whole:
            self._finished.append((order, StagedOutput(target, staged, described)))
        else:
            self.segments.append(StagedSegments(target, staged, written))

    def _write_empty(self, part: TargetPart) -> None:
        is_part = self.plan.sink.max_rows_per_file is not None
        alone = replace(part, places=(FilePlace(0, {} if is_part else None),))
        destination = _Destination(alone, 0, (), -1, 1)
        self._destinations.append(destination)
        destination.file = self._next_file(destination)
        self._finish_file(destination.file)
        destination.file = None

    def _close_finished(self, series_row: int) -> None:
        for place in list(self._open):
            if self._destinations[place].last_series < series_row:
                self._close(place)


def _own_metadata(destination: _Destination, most_rows: int | None) -> dict[str, Any]:
    """Return what one file of a data set says of itself, beside what all of them say."""
    own: dict[str, Any] = {}
    if destination.partition:
        own["partition"] = dict(destination.partition)
    before = destination.place.rows_before
    if before is not None:
        key = tuple(value for _, value in destination.partition)
        own["first_row"] = before.get(key, 0) + destination.files * (most_rows or 0)
    return own


def shown_sources(plan: SinkPlan) -> Iterator[str]:
    """Yield columns that the lazy frame must carry for a sink."""
    if not plan.measures:
        yield from (shown.source for shown in plan.shown)
