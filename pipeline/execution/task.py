"""Do one task of an export: read a range of series, and stage its part of every target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from connectors.errors import RunError
from connectors.flowtime.scan.scanner import ScanOptions, ScanProgress, damaged_runs
from connectors.flowtime.scan.series_files import SeriesFiles
from connectors.storage import StagedFile, Storage
from connectors.storage.calls.deadline import check_deadline
from pipeline.datapackage.descriptor import ExportedFile
from pipeline.execution.rows import narrow_rows, with_columns
from pipeline.planning.plan import ExportPlan
from pipeline.planning.target import Target
from pipeline.planning.target_part import TargetPart
from pipeline.reading.inputs import BATCH_ROWS
from pipeline.reading.recheck import refuse_changed
from pipeline.sinks.sink import Written
from pipeline.writing.router import SinkOutput
from pipeline.writing.sink_thread import SinkThread


@dataclass(frozen=True)
class ExportTask:
    """What one task reads and writes.

    Attributes:
        storage: Where the runs are.
        plan: The plan of its runs; its rows of series are those of the other attributes.
        wanted: Whether the file of each series is read.
        parts: What is written of targets, each with the place of its sink in the plan.
        options: How files are read.
        skips_broken: Whether all broken runs are reported, as they are left out, in the place of
            the first one.
    """

    storage: Storage
    plan: ExportPlan
    wanted: np.ndarray[Any, np.dtype[np.bool_]]
    parts: tuple[tuple[int, TargetPart], ...]
    options: ScanOptions
    skips_broken: bool

    @property
    def files(self) -> SeriesFiles:
        """The files that are read."""
        return SeriesFiles(self.plan.runs, self.wanted)


@dataclass(frozen=True)
class PartResult:
    """What a task has staged of a target.

    Attributes:
        files: Whole files, with what a descriptor says of them.
        segments: Files that hold segments of a single file, in order.
    """

    files: tuple[tuple[StagedFile, ExportedFile], ...] = ()
    segments: tuple[tuple[StagedFile, Written], ...] = ()

    def discard(self, storage: Storage) -> None:
        """Discard what is still staged."""
        for staged, _ in (*self.files, *self.segments):
            storage.discard(staged)


@dataclass(frozen=True)
class TaskResult:
    """What a task has done.

    Attributes:
        parts: What was staged, in the order of the task's parts.
        broken: Runs that are not as they should be; nothing is staged then.
        files, rows, size: Numbers of series files, rows and bytes that were read.
        cpu_seconds: Processor time that another process than the export's own has spent.
    """

    parts: tuple[PartResult, ...] = ()
    broken: tuple[RunError, ...] = ()
    files: int = 0
    rows: int = 0
    size: int = 0
    cpu_seconds: float = 0.0

    def with_seconds(self, spent: float) -> TaskResult:
        """Return the same result with the processor time that it took."""
        return replace(self, cpu_seconds=spent)


@dataclass
class _Tally:
    """Counts what is read, and passes it on."""

    callback: ScanProgress
    files: int = 0
    rows: int = 0
    size: int = 0

    def __call__(self, files: int, rows: int, size: int) -> None:
        self.files += files
        self.rows += rows
        self.size += size
        self.callback(files, rows, size)


def _ignore(files: int, rows: int, size: int) -> None:
    """Receive progress where the whole result is reported at once."""


def run_task(
    task: ExportTask,
    progress: ScanProgress = _ignore,
    check: Callable[[], None] = check_deadline,
) -> TaskResult:
    """Read the files of a task, and stage what it writes.

    Args:
        task: The task.
        progress: Receives what has been read.
        check: Called between batches; may raise to stop.

    Raises:
        RunError: A file is not as its run promises, and broken runs are not skipped.
        ChangedError: A run changes while it is read.
        SinkError: An output could not be written.
        StorageError: A store failed.
    """
    tally = _Tally(progress)
    try:
        outputs = _staged(task, tally, check)
    except RunError as fault:
        if not task.skips_broken:
            raise
        found = damaged_runs(task.storage, task.files, task.options) or {fault.run_url: fault}
        return TaskResult(broken=tuple(found.values()))
    return TaskResult(_by_part(task, outputs), (), tally.files, tally.rows, tally.size)


def _staged(
    task: ExportTask, progress: ScanProgress, check: Callable[[], None]
) -> list[SinkOutput]:
    narrow = narrow_rows(task.plan, task.storage, task.files, task.options, progress)
    parts: dict[int, list[TargetPart]] = {}
    for sink, part in task.parts:
        parts.setdefault(sink, []).append(part)
    sinks = task.plan.sinks
    outputs = [
        SinkOutput(task.plan, sinks[sink], of_sink, task.options.workers)
        for sink, of_sink in parts.items()
    ]
    threads = [SinkThread(output) for output in outputs]
    try:
        rows = with_columns(task.plan, narrow)
        for batch in rows.collect_batches(
            maintain_order=True, lazy=True, chunk_size=BATCH_ROWS, engine="streaming"
        ):
            check()
            # In pieces, each operation on a column would wait for threads of Polars.
            whole = batch.rechunk()
            for thread in threads:
                thread.write(whole)
        for thread in threads:
            thread.end()
        for thread in threads:
            thread.wait()
        refuse_changed(task.plan, task.storage, task.files)
    except BaseException:
        for thread in threads:
            thread.discard()
        raise
    return outputs


def _by_part(task: ExportTask, outputs: Sequence[SinkOutput]) -> tuple[PartResult, ...]:
    files: dict[Target, list[tuple[StagedFile, ExportedFile]]] = {}
    segments: dict[Target, list[tuple[StagedFile, Written]]] = {}
    for output in outputs:
        for done in output.done:
            files.setdefault(done.target, []).append((done.staged, done.file))
        for part in output.segments:
            segments.setdefault(part.target, []).append((part.staged, part.written))
    return tuple(
        PartResult(tuple(files.get(part.target, ())), tuple(segments.get(part.target, ())))
        for _, part in task.parts
    )
