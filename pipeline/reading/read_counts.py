"""Count what an export reads, before it does."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from pipeline.planning.plan import ExportPlan


@dataclass(frozen=True)
class ReadCounts:
    """Numbers of what is read.

    Attributes:
        runs: Runs of which a series file is read.
        series: Series files.
        rows: Rows in them.
        bytes: Their size.
    """

    runs: int
    series: int
    rows: int
    bytes: int


def read_counts(plan: ExportPlan, wanted: np.ndarray[Any, np.dtype[np.bool_]]) -> ReadCounts:
    """Return the numbers of what is read.

    Args:
        plan: The plan of the export.
        wanted: Whether the file of each series is read.
    """
    files = [
        int(np.count_nonzero(wanted[start : start + len(run.series)]))
        for run, start in zip(plan.runs, plan.starts[:-1], strict=True)
    ]
    sizes = (size for run in plan.runs for size in run.series.sizes())
    return ReadCounts(
        runs=sum(count > 0 for count in files),
        series=sum(files),
        rows=sum(run.grid.bins * count for run, count in zip(plan.runs, files, strict=True)),
        bytes=sum(compress(sizes, wanted)),
    )
