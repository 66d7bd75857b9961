"""Summarise what an export did as its report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from pipeline.datapackage import descriptor
from pipeline.exports.attempt import WrittenTargets
from pipeline.exports.report import ExportedTarget, Report, RunNote, TargetStatus
from pipeline.exports.session import ExportSession
from pipeline.planning.choice import Choice
from pipeline.planning.published import Pending, PublishedTargets
from pipeline.reading.source import Source
from pipeline.writing.pruning import Pruned
from pipeline.writing.router import StagedOutput


def summarise(session: ExportSession, source: Source, done: WrittenTargets) -> Report:
    """Return the report of an export."""
    written = [_exported(pending, outputs) for pending, outputs in done.published.written]
    targets = (*written, *_untouched(done.choice, done.published.current))
    return replace(
        nothing_to_do(session, source),
        rows_read=done.staged.rows,
        bytes_read=done.staged.size,
        targets=(*_by_table(targets, done.published.changed), *_removed(done.pruned)),
        sink_notes=(
            *done.plan.notes,
            *(note for sink in done.plan.sinks for note in sink.notes),
            *done.choice.notes,
            *done.pruning.notes,
            *_kept(done.pruned),
        ),
        seconds=_seconds(session, done.staged.worker_seconds),
        engine=done.staged.choice,
    )


def _by_table(
    targets: Iterable[ExportedTarget], changed: Collection[str]
) -> Iterator[ExportedTarget]:
    """Yield targets, the runs of each lake table as one: what it holds after the export.

    Args:
        targets: All targets.
        changed: URLs of tables that have lost runs and gained none.
    """
    tables: dict[str, list[ExportedTarget]] = {}
    for target in targets:
        if target.is_part:
            tables.setdefault(target.url, []).append(target)
        else:
            yield target
    for url, parts in tables.items():
        exported = url in changed or any(part.status == "exported" for part in parts)
        yield replace(
            parts[0],
            status="exported" if exported else parts[0].status,
            files=sum(part.files for part in parts),
            rows=sum(part.rows for part in parts),
            size=sum(part.size for part in parts),
            non_finite=sum(part.non_finite for part in parts),
            is_part=False,
        )


def nothing_to_do(session: ExportSession, source: Source) -> Report:
    """Return the report of an export that has found no run to export."""
    return Report(
        name=session.config.name,
        source=source.url,
        runs=len(source.runs),
        series=sum(len(run.series) for run in source.runs),
        left_out=source.left_out,
        run_notes=tuple(RunNote(run.name, note) for run in source.runs for note in run.notes),
        seconds=_seconds(session),
    )


def _seconds(session: ExportSession, workers: float = 0.0) -> dict[str, Any]:
    spent = {"parent": round(session.clock.cpu_seconds, 3), "workers": round(workers, 3)}
    return {**session.clock.seconds, "cpu": spent}


def _untouched(choice: Choice, published: PublishedTargets) -> Iterator[ExportedTarget]:
    """Yield the targets that were not written, with what is published there."""
    for pending in choice.current:
        yield _unwritten(pending, published, "unchanged")
    for pending in choice.kept:
        yield _unwritten(pending, published, "kept")


def _removed(pruned: Sequence[Pruned]) -> Iterator[ExportedTarget]:
    for one in pruned:
        if one.kept is None:
            target = one.export.target
            yield ExportedTarget(
                format=one.export.sink.format,
                url=target.url,
                descriptor=target.descriptor_url,
                status="removed",
                files=one.files,
            )


def _kept(pruned: Sequence[Pruned]) -> Iterator[str]:
    for one in pruned:
        if one.kept is not None:
            yield f"{one.export.target.url}: its run is gone, and it was not removed: {one.kept}"


def _unwritten(
    pending: Pending, published: PublishedTargets, status: TargetStatus
) -> ExportedTarget:
    target = pending.target
    listed = published.resources(pending.plan, target)
    return ExportedTarget(
        format=pending.plan.sink.format,
        url=target.url,
        descriptor=target.descriptor_url,
        status=status,
        files=len(listed),
        rows=descriptor.total_of(listed, "rowCount"),
        size=sum(item["bytes"] for item in listed),
        non_finite=descriptor.total_of(listed, "nonFiniteCount"),
        is_part=target.run_url is not None,
    )


def _exported(pending: Pending, outputs: Sequence[StagedOutput]) -> ExportedTarget:
    target = pending.target
    return ExportedTarget(
        format=pending.plan.sink.format,
        url=target.url,
        descriptor=target.descriptor_url,
        status="exported",
        files=len(outputs),
        rows=sum(output.file.rows for output in outputs),
        size=sum(output.file.size for output in outputs),
        non_finite=sum(output.file.non_finite for output in outputs),
        is_part=target.run_url is not None,
    )
