"""Serialise tasks for other processes and machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from connectors.flowtime.model.run import Run
from connectors.flowtime.scan.arrays import as_column
from connectors.storage import Owner, give_up
from pipeline.config import ExportConfig
from pipeline.execution.discovery import refuse_other_version
from pipeline.execution.task import ExportTask
from pipeline.planning.make_plan import metadata_tables
from pipeline.planning.plan import ExportPlan, Shown, SinkPlan
from pipeline.planning.segments import Segment
from pipeline.planning.target import TargetResolver
from pipeline.planning.target_part import FilePlace, TargetPart
from pipeline.reading.inputs import scan_options
from pipeline.rows.column import Table
from pipeline.rows.row_filter import RowFilter
from pipeline.version import VERSION


@dataclass(frozen=True)
class PartMessage:
    """What a task writes of a target.

    Attributes:
        sink: Place of the sink in the config.
        run: Place of the target's run among those of the task; None for a target of all runs.
        runs: Places of its runs among those of the task.
        state, segments, places, begins, ends, table: As in `TargetPart`.
    """

    sink: int
    run: int | None
    runs: tuple[int, ...]
    state: str
    segments: tuple[Segment, ...]
    places: tuple[FilePlace, ...]
    begins: bool
    ends: bool
    table: Table | None


@dataclass(frozen=True)
class TaskMessage:
    """A task without open connections: runs, and what of the plan depends on other runs, too.

    Secrets of the config are in it: it is for pipes and connections, not for files or logs.

    Attributes:
        config: The settings.
        now: When the export began, UTC.
        row_filter: The condition on rows.
        is_filtered: Whether it may leave rows of the export out.
        shown: The columns of each sink, and its measures in a wide layout.
        runs: The runs of the task.
        layouts: As in `ExportPlan`.
        kept: Whether the file of each of their series is kept in the export.
        wanted: Whether it is read by this task.
        parts: What is written.
        owner: The process that what is staged belongs to.
        given_up: What that process has given up, and sweeping removes.
        version: Version of the program that has made it.
    """

    config: ExportConfig
    now: datetime
    row_filter: RowFilter | None
    is_filtered: bool
    shown: tuple[tuple[tuple[Shown, ...], tuple[str, ...]], ...]
    runs: tuple[Run, ...]
    layouts: Mapping[str, tuple[str | None, ...]]
    kept: np.ndarray[Any, np.dtype[np.bool_]]
    wanted: np.ndarray[Any, np.dtype[np.bool_]]
    parts: tuple[PartMessage, ...]
    owner: Owner
    given_up: frozenset[Owner]
    version: str = VERSION

    def task(self) -> ExportTask:
        """Return the task, connected to the storages.

        Raises:
            ConfigError: It was made by another version of the program.
            StorageError: A storage cannot be used here.
        """
        refuse_other_version(self.version)
        give_up(*self.given_up)
        config = self.config
        resolver = TargetResolver.of(config, self.now)
        sinks = tuple(
            SinkPlan(sink, shown, (), measures, ())
            for sink, (shown, measures) in zip(config.sinks, self.shown, strict=True)
        )
        plan = ExportPlan(
            config=config,
            runs=self.runs,
            tables=metadata_tables(config, self.runs, self.row_filter, self.now),
            kept=as_column(np.flatnonzero(self.kept).astype(np.uint32), "series_row"),
            row_filter=self.row_filter,
            sinks=sinks,
            is_filtered=self.is_filtered,
            layouts=self.layouts,
        )
        return ExportTask(
            storage=resolver.storage,
            plan=plan,
            wanted=self.wanted,
            parts=tuple((one.sink, self._part(one, resolver)) for one in self.parts),
            options=replace(scan_options(config), workers=1, read_ahead=2),
            skips_broken=config.source.on_error == "skip",
        )

    def _part(self, one: PartMessage, resolver: TargetResolver) -> TargetPart:
        run = None if one.run is None else self.runs[one.run]
        target = resolver.target(self.config.sinks[one.sink], run, one.runs)
        return TargetPart(
            target, one.state, one.segments, one.places, one.begins, one.ends, one.table
        )
