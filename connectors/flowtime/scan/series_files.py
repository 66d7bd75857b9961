"""Enumerate the series files of runs, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, compress, count
from typing import Any

import numpy as np

from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series import FileDigest, SeriesSpec
from connectors.flowtime.scan.series_file import SeriesFile


class SeriesFiles(Collection[SeriesFile]):
    """The series files of runs in the order of their rows: runs, then each index's order.

    Each is made when it is come to: all of them at once would take as much memory as the runs.
    `SeriesSpec.path` has been checked to stay below its run when the index was read.

    Args:
        runs: The runs.
        wanted: Whether each file is one of them; None for all.
    """

    def __init__(self, runs: Sequence[Run], wanted: np.ndarray[Any, Any] | None = None) -> None:
        self._runs = runs
        self._wanted = wanted

    def __len__(self) -> int:
        if self._wanted is None:
            return sum(len(run.series) for run in self._runs)
        return int(np.count_nonzero(self._wanted))

    def __iter__(self) -> Iterator[SeriesFile]:
        for first, run in self._placed():
            yield from self._of_run(first, run)

    def __contains__(self, file: object) -> bool:
        return any(one == file for one in self)

    @property
    def rows(self) -> int:
        """Rows of all files, as their indexes say."""
        return sum(run.grid.bins * self._count(first, run) for first, run in self._placed())

    @property
    def bytes(self) -> int:
        """Bytes of all files, as they were listed."""
        sizes = chain.from_iterable(run.series.sizes() for run in self._runs)
        return sum(sizes if self._wanted is None else compress(sizes, self._wanted.tolist()))

    def unvouched(self) -> Iterator[SeriesFile]:
        """Return the files without a recorded sha256."""
        for first, run in self._placed():
            if not run.series.is_vouched:
                yield from (file for file in self._of_run(first, run) if file.sha256 is None)

    def _placed(self) -> Iterator[tuple[int, Run]]:
        """Yield each run with the row of its first series."""
        first = 0
        for run in self._runs:
            yield first, run
            first += len(run.series)

    def _count(self, first: int, run: Run) -> int:
        """Return how many files of a run there are."""
        if self._wanted is None:
            return len(run.series)
        return int(np.count_nonzero(self._wanted[first : first + len(run.series)]))

    def _of_run(self, first: int, run: Run) -> Iterator[SeriesFile]:
        numbered: Iterable[tuple[int, SeriesSpec, FileDigest]]
        numbered = zip(count(first), run.series, run.series.digests(), strict=False)
        if self._wanted is not None:
            numbered = compress(numbered, self._wanted[first : first + len(run.series)].tolist())
        for row, spec, digest in numbered:
            yield SeriesFile(
                row=row,
                run_path=run.path,
                file=spec.path,
                run_url=run.url,
                series_id=spec.id,
                points=spec.points,
                size=digest.size,
                sha256=digest.sha256,
                bundle_class=spec.class_name if run.is_bundle else None,
            )


def series_files(runs: Iterable[Run]) -> list[SeriesFile]:
    """Return the same as a list, for a few runs."""
    return list(SeriesFiles(list(runs)))
