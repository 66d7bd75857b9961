"""A progress bar on a terminal: runs, series, rows, bytes and the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from pipeline.exports.progress import ProgressCallback


@contextmanager
def shown_progress() -> Iterator[ProgressCallback]:
    """Show an export on stderr while it runs."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        yield _ProgressBar(progress, progress.add_task("looking for runs", total=None))


class _ProgressBar(ProgressCallback):
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._runs = 0
        self._files = 0
        self._rows = 0

    def discovered(self, runs: int) -> None:
        """So many runs were found."""
        self._runs = runs
        self._describe(f"{runs:,} runs found")

    def began(self, files: int, rows: int, size: int) -> None:
        """Set the bar's full length; it starts anew when runs are left out."""
        self._files, self._rows = 0, 0
        self._progress.reset(self._task, total=size)

    def read(self, files: int, rows: int, size: int) -> None:
        """Move the bar."""
        self._files += files
        self._rows += rows
        self._progress.advance(self._task, size)
        self._describe(f"{self._runs:,} runs  {self._files:,} series  {self._rows:,} rows")

    def publishing(self, files: int) -> None:
        """Show that all rows are staged."""
        self._describe(f"publishing {files:,} files")

    def _describe(self, text: str) -> None:
        self._progress.update(self._task, description=text)
