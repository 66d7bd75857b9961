"""From what an export did to its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import ExportConfig
from pipeline.exports.report import ExportedTarget, Report, RunNote, Status
from pipeline.planning.choice import Choice
from pipeline.planning.published import Pending, PublishedTargets
from pipeline.reading.source import Source
from pipeline.writing.descriptor_file import StagedTarget
from pipeline.writing.router import StagedOutput


@dataclass
class Tally:
    """What has been read."""

    files: int = 0
    rows: int = 0
    size: int = 0

    def add(self, files: int, rows: int, size: int) -> None:
        """Count so many more."""
        self.files += files
        self.rows += rows
        self.size += size


def untouched(choice: Choice, standing: PublishedTargets) -> list[ExportedTarget]:
    """The targets that were not written, why, and what stands there."""
    return [
        *(_unwritten(pending, standing, "unchanged") for pending in choice.current),
        *(_unwritten(pending, standing, "kept") for pending in choice.kept),
    ]


def _unwritten(pending: Pending, standing: PublishedTargets, status: Status) -> ExportedTarget:
    target = pending.target
    listed = standing.resources(pending.plan, target)
    return ExportedTarget(
        format=pending.plan.sink.format,
        url=target.url,
        descriptor=target.storage.url(target.descriptor),
        status=status,
        files=len(listed),
        rows=sum(item["rowCount"] for item in listed),
        size=sum(item["bytes"] for item in listed),
        non_finite=sum(item["nonFiniteCount"] for item in listed),
    )


def summarise(
    config: ExportConfig,
    source: Source,
    written: Sequence[StagedTarget],
    untouched: Sequence[ExportedTarget],
    tally: Tally,
    sink_notes: tuple[str, ...],
    seconds: dict[str, float],
) -> Report:
    """Return the report of an export."""
    return Report(
        name=config.name,
        source=source.storage.url(source.path),
        runs=len(source.runs),
        series=sum(len(run.series) for run in source.runs),
        rows_read=tally.rows,
        bytes_read=tally.size,
        targets=(*(_exported(p, outputs) for p, outputs in written), *untouched),
        left_out=source.left_out,
        sink_notes=sink_notes,
        run_notes=tuple(RunNote(run.name, note) for run in source.runs for note in run.notes),
        seconds=dict(seconds),
    )


def _exported(pending: Pending, outputs: Sequence[StagedOutput]) -> ExportedTarget:
    target = pending.target
    return ExportedTarget(
        format=pending.plan.sink.format,
        url=target.url,
        descriptor=target.storage.url(target.descriptor),
        status="exported",
        files=len(outputs),
        rows=sum(output.file.rows for output in outputs),
        size=sum(output.file.size for output in outputs),
        non_finite=sum(output.file.non_finite for output in outputs),
    )
