"""Cut the work of an export into tasks: one, or one for each range of segments."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from connectors.flowtime.scan.series_files import SeriesFiles
from connectors.storage import Owner, Storage, given_up, owner_of_group, remove_abandoned
from pipeline.execution.message import PartMessage, TaskMessage
from pipeline.execution.task import ExportTask
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import Pending
from pipeline.planning.segments import Segment, whole_runs
from pipeline.planning.target_part import TargetPart, target_parts
from pipeline.reading.inputs import scan_options
from pipeline.rows.column import Table


@dataclass(frozen=True)
class ExportJob:
    """What an attempt has to read and to write.

    Attributes:
        storage: Where the runs are.
        plan: The plan of the export.
        pending: The targets that are to be written.
        wanted: Whether the file of each series is read.
        owner: What other processes stage for it belongs to.
    """

    storage: Storage
    plan: ExportPlan
    pending: tuple[Pending, ...]
    wanted: np.ndarray[Any, np.dtype[np.bool_]]
    owner: Owner = field(default_factory=owner_of_group)

    @property
    def files(self) -> SeriesFiles:
        """The series files that are read."""
        return SeriesFiles(self.plan.runs, self.wanted)

    @cached_property
    def parts(self) -> tuple[tuple[int, TargetPart], ...]:
        """All of each target, in the order of `pending`, with the place of its sink."""
        places = {sink: place for place, sink in enumerate(self.plan.sinks)}
        parts = target_parts(self.plan, self.pending)
        return tuple(
            (places[one.plan], part) for one, part in zip(self.pending, parts, strict=True)
        )

    @cached_property
    def ranges(self) -> tuple[Segment, ...]:
        """The series that each task reads, where there is more than one task."""
        cuts = self.plan.segments
        if any(sink.measures for sink in self.plan.sinks):
            cuts = whole_runs(cuts)
        return tuple(cut for cut in cuts if self.wanted[cut.first : cut.end].any())

    @property
    def joins_text(self) -> bool:
        """Whether several tasks would write segments of a single text file."""
        return any(
            one.plan.sink.is_text and not one.target.is_folder and len(part.segments) > 1
            for one, (_, part) in zip(self.pending, self.parts, strict=True)
        )

    def whole(self) -> ExportTask:
        """Return one task that does everything."""
        return ExportTask(
            storage=self.storage,
            plan=self.plan,
            wanted=self.wanted,
            parts=self.parts,
            options=scan_options(self.plan.config),
            skips_broken=self.plan.config.source.on_error == "skip",
        )

    def messages(self) -> Iterator[tuple[tuple[int, ...], TaskMessage]]:
        """Yield each task for another process, and the targets that it writes to."""
        shared = [n for n, one in enumerate(self.pending) if len(one.target.runs) > 1]
        of_run: dict[int, list[int]] = {}
        for number, one in enumerate(self.pending):
            if len(one.target.runs) == 1:
                of_run.setdefault(one.target.runs[0], []).append(number)
        starts = self.plan.starts
        for cut in self.ranges:
            first, end = bisect_right(starts, cut.first) - 1, bisect_left(starts, cut.end)
            numbers = [*shared, *(n for run in range(first, end) for n in of_run.get(run, ()))]
            parts = {n: part for n in sorted(numbers) if (part := self._part(n, cut, first, end))}
            yield tuple(parts), self._message(cut, first, end, tuple(parts.values()))

    def _message(
        self, cut: Segment, first: int, end: int, parts: tuple[PartMessage, ...]
    ) -> TaskMessage:
        plan = self.plan
        begin, stop = plan.starts[first], plan.starts[end]
        wanted = np.zeros(stop - begin, dtype=bool)
        wanted[cut.first - begin : cut.end - begin] = self.wanted[cut.first : cut.end]
        runs = plan.runs[first:end]
        return TaskMessage(
            config=plan.config,
            now=plan.tables.exported_at,
            row_filter=plan.row_filter,
            is_filtered=plan.is_filtered,
            shown=tuple((sink.shown, sink.measures) for sink in plan.sinks),
            runs=runs,
            layouts={run.url: plan.layouts[run.url] for run in runs if run.url in plan.layouts},
            kept=plan.is_kept[begin:stop],
            wanted=wanted,
            parts=parts,
            owner=self.owner,
            given_up=given_up(),
        )

    def _part(self, number: int, cut: Segment, first: int, end: int) -> PartMessage | None:
        """Return what a task writes of a target, by the rows of the task's own runs."""
        sink, whole = self.parts[number]
        part = whole.within(cut.first, cut.end)
        if part is None:
            return None
        start = self.plan.starts[first]
        runs = whole.target.runs
        return PartMessage(
            sink=sink,
            run=runs[0] - first if len(runs) == 1 else None,
            runs=tuple(row - first for row in runs if first <= row < end),
            state=part.state,
            segments=tuple(
                Segment(one.first - start, one.end - start, one.rows) for one in part.segments
            ),
            places=part.places,
            begins=part.begins,
            ends=part.ends,
            table=self._table(number, part) if len(runs) > 1 else None,
        )

    def _table(self, number: int, part: TargetPart) -> Table:
        table = self.table(number)
        # Later segments of a file say nothing of it.
        return table if part.begins or part.target.is_folder else Table(table.columns)

    def remove_given_up(self) -> None:
        """Remove what workers that were killed have staged for it on this machine.

        Raises:
            StorageError: A folder could not be listed, or a file not be removed.
        """
        remove_abandoned()
        local = (one.target for one in self.pending if one.target.storage.is_local)
        for storage, path, is_folder in {(one.storage, one.folder, one.is_folder) for one in local}:
            if is_folder:  # The files of a data set may be in folders of partitions.
                storage.remove_leftovers(path)
            else:
                storage.sweep(path)

    def table(self, number: int) -> Table:
        """Return what the files of a pending target hold, and say of themselves."""
        if number not in self._tables:
            one = self.pending[number]
            self._tables[number] = self.plan.table(one.plan, one.target)
        return self._tables[number]

    @cached_property
    def _tables(self) -> dict[int, Table]:
        return {}
