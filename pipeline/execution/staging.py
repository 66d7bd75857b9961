"""Gather what tasks have staged into the files of targets."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field

from connectors.errors import RunError
from connectors.flowtime.scan.scanner import ScanProgress
from connectors.storage import StagedFile
from pipeline.execution.engine import EngineChoice
from pipeline.execution.executor import Executor
from pipeline.execution.job import ExportJob
from pipeline.execution.joining import SegmentJoin
from pipeline.execution.task import PartResult
from pipeline.writing.descriptor_file import StagedTarget
from pipeline.writing.router import SinkOutput, StagedOutput


@dataclass
class StagedJob:
    """What the tasks of a job have staged.

    Attributes:
        job: The job.
        choice: Where its tasks are done; None where there is nothing to do.
        broken: Runs that are not as they should be, where they are to be left out.
        files, rows, size: Numbers of series files, rows and bytes that were read.
        worker_seconds: Processor time of other processes.
    """

    job: ExportJob
    choice: EngineChoice | None = None
    broken: list[RunError] = field(default_factory=list)
    files: int = 0
    rows: int = 0
    size: int = 0
    worker_seconds: float = 0.0
    _outputs: dict[int, list[StagedOutput]] = field(default_factory=dict)
    _joins: dict[int, SegmentJoin] = field(default_factory=dict)

    def run(self, executor: Executor, progress: ScanProgress) -> None:
        """Do all tasks.

        Raises:
            FlowtimeExportError: A task failed; nothing stays staged.
        """
        try:
            # Closed at once, as what was staged for results that are not taken is discarded then.
            with closing(executor.run(self.job, progress)) as results:
                for numbers, result in results:
                    self.files += result.files
                    self.rows += result.rows
                    self.size += result.size
                    self.worker_seconds += result.cpu_seconds
                    self.broken += result.broken
                    for number, part in zip(numbers, result.parts, strict=bool(result.parts)):
                        self._take(number, part)
            if not self.broken:
                self._complete()
        except BaseException:
            self.discard()
            raise
        if self.broken:
            self.discard()

    @property
    def targets(self) -> list[StagedTarget]:
        """The targets with their files."""
        return [(one, self._outputs[number]) for number, one in enumerate(self.job.pending)]

    def discard(self) -> None:
        """Discard what is staged."""
        for outputs in self._outputs.values():
            for output in outputs:
                output.discard()
        for join in self._joins.values():
            join.discard()
        self._outputs.clear()
        self._joins.clear()

    def _take(self, number: int, part: PartResult) -> None:
        target = self.job.pending[number].target
        if self.broken:
            part.discard(target.storage)
            return
        outputs = self._outputs.setdefault(number, [])
        outputs += [StagedOutput(target, staged, file) for staged, file in part.files]
        left: list[StagedFile] = [staged for staged, _ in part.segments]
        try:
            for staged, written in part.segments:
                here = target.storage.fetch(staged)
                left[left.index(staged)] = here
                self._join(number).add(here, written)
                left.remove(here)
        finally:
            for staged in left:
                target.storage.discard(staged)

    def _join(self, number: int) -> SegmentJoin:
        if number not in self._joins:
            one = self.job.pending[number]
            table = self.job.table(number)
            self._joins[number] = SegmentJoin(one.plan.sink, one.target, table)
        return self._joins[number]

    def _complete(self) -> None:
        """Finish the files of segments, and write one of each target that has no row."""
        for number in list(self._joins):
            self._outputs[number].append(self._joins[number].finish())
            del self._joins[number]
        for number, one in enumerate(self.job.pending):
            if not self._outputs.get(number):
                empty = SinkOutput(self.job.plan, one.plan, [self.job.parts[number][1]])
                empty.finish()
                self._outputs[number] = empty.done
