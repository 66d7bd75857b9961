"""Define what one task writes of a target: all of it, or some of its segments."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.planning.plan import ExportPlan, SinkPlan
from pipeline.planning.published import Pending
from pipeline.planning.segments import Segment
from pipeline.planning.target import Target
from pipeline.rows.column import Table
from pipeline.rows.wide import groups_of


@dataclass(frozen=True)
class FilePlace:
    """The place of a segment's files in their data set.

    Attributes:
        number: Number of the first file.
        rows_before: Rows of earlier segments that are in the same hive folder, by the values of
            the partition columns; None where the target has no other file.
    """

    number: int
    rows_before: Mapping[tuple[str | None, ...], int] | None


@dataclass(frozen=True)
class TargetPart:
    """Segments of a target that one task writes.

    Attributes:
        target: The target.
        state: Digest of what shapes its bytes.
        segments: The segments, by the rows of the series in them.
        places: Where the files of each segment are in a data set.
        begins: Whether the first segment of the target is among them.
        ends: Whether the last one is.
        table: What the files hold and say of themselves, where it is known already.
    """

    target: Target
    state: str
    segments: tuple[Segment, ...]
    places: tuple[FilePlace, ...]
    begins: bool = True
    ends: bool = True
    table: Table | None = None

    @property
    def is_whole(self) -> bool:
        """Whether these are all segments of the target."""
        return self.begins and self.ends

    def within(self, first: int, end: int) -> TargetPart | None:
        """Return the segments in a range of series; None where there is none."""
        low = bisect_left(self.segments, first, key=lambda one: one.first)
        high = bisect_right(self.segments, end, key=lambda one: one.end)
        if low >= high:
            return None
        return replace(
            self,
            segments=self.segments[low:high],
            places=self.places[low:high],
            begins=self.begins and low == 0,
            ends=self.ends and high == len(self.segments),
        )


def target_parts(plan: ExportPlan, pending: Sequence[Pending]) -> list[TargetPart]:
    """Return all of each target, in the same order."""
    cuts = {sink.sink: plan.segments_of(sink) for sink in plan.sinks}
    return [_whole(plan, one, cuts[one.plan.sink]) for one in pending]


def _whole(plan: ExportPlan, pending: Pending, cuts: Sequence[Segment]) -> TargetPart:
    target = pending.target
    segments = tuple(_of_target(plan, target, cuts))
    return TargetPart(
        target, pending.state, segments, tuple(_places(plan, pending.plan, target, segments))
    )


def _of_target(plan: ExportPlan, target: Target, cuts: Sequence[Segment]) -> Iterator[Segment]:
    """Yield the parts of segments that hold rows of a target."""
    if not target.runs:
        return
    first, end = plan.starts[target.runs[0]], plan.starts[target.runs[-1] + 1]
    low = bisect_right(cuts, first, key=lambda one: one.end)
    for cut in cuts[low:]:
        if cut.first >= end:
            return
        if first <= cut.first and cut.end <= end:
            rows = cut.rows
        else:  # of whole runs, of which this target has one
            rows = sum(plan.rows_per_run[run] for run in target.runs)
        if rows:
            yield Segment(max(cut.first, first), min(cut.end, end), rows, cut.run)


def _places(
    plan: ExportPlan, sink: SinkPlan, target: Target, segments: Sequence[Segment]
) -> Iterator[FilePlace]:
    most = sink.sink.max_rows_per_file
    is_single = not target.is_folder or (most is None and len(segments) < 2)
    before: dict[tuple[str | None, ...], int] = {}
    number = 0
    for segment in segments:
        yield FilePlace(number, None if is_single else dict(before))
        number += 1 if most is None else -(-segment.rows // most)
        if not is_single and segment is not segments[-1]:
            for key, rows in _rows_by_partition(plan, sink, segment).items():
                before[key] = before.get(key, 0) + rows


def _rows_by_partition(
    plan: ExportPlan, sink: SinkPlan, segment: Segment
) -> dict[tuple[str | None, ...], int]:
    """Return the rows of a segment in each hive folder, before any condition on rows."""
    rows = _shown_rows(plan, sink, segment)
    if not sink.partition_sources:
        return {(): int(rows.sum())}
    totals: dict[tuple[str | None, ...], int] = {}
    texts = plan.tables.texts(sink.partition_sources, segment.first, segment.end)
    for key, count in zip(texts, rows.tolist(), strict=True):
        totals[key] = totals.get(key, 0) + count
    return totals


def _shown_rows(
    plan: ExportPlan, sink: SinkPlan, segment: Segment
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the rows that each series gives; in a wide layout the first one of each block."""
    rows = plan.rows_of_series[segment.first : segment.end]
    if not sink.measures:
        return rows
    shown = np.zeros_like(rows)
    first = bisect_left(plan.starts, segment.first)
    for run, start in zip(plan.runs[first:], plan.starts[first:], strict=False):
        if start >= segment.end:
            break
        for group in groups_of(run):
            places = [start - segment.first + place for _, place in group.members]
            shown[places[0]] = rows[places].max()
    return shown
