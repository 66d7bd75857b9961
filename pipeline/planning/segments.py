"""Cut the rows of an export into segments, each of which is read and encoded on its own.

Where the cuts are follows from the runs and the config alone. A file's bytes are therefore the
same whether one process writes all segments or many processes write one each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

SEGMENT_ROWS = 1_500_000
"""Rows of a segment at the most, unless one series has more: about half a second of work."""

MOST_SEGMENT_ROWS = 10_000_000
"""Rows of a segment at the most where files of so many rows are asked for."""

_FILE_ROWS = 256
"""To open and check a file takes about as long as to read so many rows."""


_ROW_READ = 0.25
"""What reading a row costs of one that is written, where several rows become one."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive series: whole runs, or a part of one large run.

    Attributes:
        first: Row of the first series in the table of series.
        end: Row after the last one.
        rows: Rows that the kept ones among them hold.
        run: Place of the run that it is a part of; None for whole runs.
    """

    first: int
    end: int
    rows: int
    run: int | None = None


def cut_segments(
    counts: Sequence[np.ndarray[Any, np.dtype[np.int64]]],
    most_rows: int = SEGMENT_ROWS,
    factors: Sequence[int] | None = None,
) -> tuple[Segment, ...]:
    """Cut runs into segments.

    Args:
        counts: Of each run, the rows that each series gives; 0 where a file is not read.
        most_rows: Rows of a segment at the most, a file counting for some more; one series is
            never cut.
        factors: Of each run, the rows that are read for each row; default 1.
    """
    costs = [max(1.0, _ROW_READ * factor) for factor in factors or [1] * len(counts)]
    return tuple(_segments(counts, most_rows, costs))


def _segments(
    counts: Sequence[np.ndarray[Any, np.dtype[np.int64]]],
    most_rows: int,
    costs: Sequence[float],
) -> Iterator[Segment]:
    first = end = rows = 0
    work = 0.0
    for run, (of_run, cost) in enumerate(zip(counts, costs, strict=True)):
        size = int(of_run.sum())
        more = size * cost + _FILE_ROWS * int(np.count_nonzero(of_run))
        if end > first and work + more > most_rows:
            yield Segment(first, end, rows)
            first, rows, work = end, 0, 0.0
        if more > most_rows:
            yield from _parts(end, run, of_run, most_rows, cost)
            first = end + len(of_run)
        else:
            rows += size
            work += more
        end += len(of_run)
    if end > first:
        yield Segment(first, end, rows)


def _parts(
    start: int,
    run: int,
    of_series: np.ndarray[Any, np.dtype[np.int64]],
    most_rows: int,
    cost: float,
) -> Iterator[Segment]:
    """Segments of a run that has too many rows for one."""
    first = rows = 0
    work = 0.0
    for place, count in enumerate(of_series.tolist()):
        more = count * cost + _FILE_ROWS if count else 0
        if work and work + more > most_rows:
            yield Segment(start + first, start + place, rows, run)
            first, rows, work = place, 0, 0.0
        rows += count
        work += more
    yield Segment(start + first, start + len(of_series), rows, run)


def whole_runs(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Join the segments of each run, for layouts that need all series of a run at once."""
    joined: list[Segment] = []
    for run, members in groupby(segments, key=lambda segment: segment.run):
        parts = list(members)
        if run is None:
            joined += parts
        else:
            rows = sum(part.rows for part in parts)
            joined.append(Segment(parts[0].first, parts[-1].end, rows))
    return tuple(joined)
