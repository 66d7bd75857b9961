"""The series files of runs, as many as they are, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress, starmap
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
        return starmap(_series_file, self._numbered())

    def __contains__(self, file: object) -> bool:
        return any(one == file for one in self)

    @property
    def rows(self) -> int:
        """Rows of all files, as their indexes say."""
        return sum(spec.points for _, _, spec, _ in self._numbered())

    @property
    def bytes(self) -> int:
        """Bytes of all files, as they were listed."""
        return sum(digest.size or 0 for _, _, _, digest in self._numbered())

    def unvouched(self) -> Iterator[SeriesFile]:
        """Return the files without a recorded sha256."""
        without = (found for found in self._numbered() if found[3].sha256 is None)
        return starmap(_series_file, without)

    def _numbered(self) -> Iterator[tuple[int, Run, SeriesSpec, FileDigest]]:
        every = (
            (run, spec, digest)
            for run in self._runs
            for spec, digest in zip(run.series, run.series.digests(), strict=True)
        )
        numbered = ((row, *found) for row, found in enumerate(every))
        return numbered if self._wanted is None else compress(numbered, self._wanted.tolist())


def series_files(runs: Iterable[Run]) -> list[SeriesFile]:
    """Return the same as a list, for a few runs."""
    return list(SeriesFiles(list(runs)))


def _series_file(row: int, run: Run, spec: SeriesSpec, digest: FileDigest) -> SeriesFile:
    return SeriesFile(
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
