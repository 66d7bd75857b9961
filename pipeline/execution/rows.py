"""Read series files and stage the files of every sink, in one pass over the rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from connectors.flowtime.scan.scanner import ScanProgress, scan
from connectors.flowtime.scan.series_file import SeriesFile
from connectors.flowtime.scan.series_files import SeriesFiles
from connectors.storage.deadline import check_deadline
from pipeline.execution.engine import Engine
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import Pending
from pipeline.planning.target import Target
from pipeline.reading.inputs import BATCH_ROWS, scan_options
from pipeline.reading.recheck import refuse_changed
from pipeline.reading.source import Source
from pipeline.writing.descriptor_file import StagedTarget
from pipeline.writing.router import SinkOutput, StagedOutput, shown_sources
from pipeline.writing.sink_thread import SinkThread


def lazy_rows(plan: ExportPlan, source: Source, files: Collection[SeriesFile]) -> pl.LazyFrame:
    """Return the rows of an export, with every column that a sink needs, as a lazy frame."""
    return _with_columns(plan, scan(source.storage, files, scan_options(plan.config)))


def stage_rows(
    plan: ExportPlan,
    source: Source,
    engine: Engine,
    files: SeriesFiles,
    pending: Sequence[Pending],
    progress: ScanProgress,
) -> list[StagedTarget]:
    """Read files once, and stage the files of the targets that are to be written.

    Args:
        plan: The plan of the export.
        source: Where the runs are.
        engine: Reads the files.
        files: What is read.
        pending: The targets.
        progress: Receives what has been read.

    Raises:
        RunError: A file is not as its run promises.
        SinkError: An output could not be written.
    """
    narrow = engine.scan(source, files, scan_options(plan.config), progress)
    lanes = [SinkThread(output) for output in _outputs(plan, pending)]
    try:
        rows = _with_columns(plan, narrow)
        for batch in rows.collect_batches(
            maintain_order=True, lazy=True, chunk_size=BATCH_ROWS, engine="streaming"
        ):
            check_deadline()
            for lane in lanes:
                lane.write(batch)
        for lane in lanes:
            lane.end()
        staged = [output for lane in lanes for output in lane.staged()]
        refuse_changed(plan, source, files)
    except BaseException:
        for lane in lanes:
            lane.discard()
        raise
    return _by_target(pending, staged)


def _with_columns(plan: ExportPlan, narrow: pl.LazyFrame) -> pl.LazyFrame:
    """Filter a narrow frame and add the columns of the sinks; lazy throughout."""
    if plan.row_filter is not None:
        narrow = plan.row_filter.apply(narrow, plan.tables)
    needed = dict.fromkeys(name for sink in plan.sinks for name in shown_sources(sink))
    return plan.tables.apply(narrow, list(dict.fromkeys([*needed, "value"])))


def _outputs(plan: ExportPlan, pending: Sequence[Pending]) -> list[SinkOutput]:
    outputs = []
    for sink in plan.sinks:
        states = {one.target: one.state for one in pending if one.plan is sink}
        if states:
            outputs.append(SinkOutput(plan, sink, states))
    return outputs


def _by_target(pending: Sequence[Pending], staged: Sequence[StagedOutput]) -> list[StagedTarget]:
    of_target: dict[Target, list[StagedOutput]] = {one.target: [] for one in pending}
    for output in staged:
        of_target[output.target].append(output)
    return [(one, of_target[one.target]) for one in pending]
