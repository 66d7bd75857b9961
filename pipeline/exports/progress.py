"""Define the callbacks on the progress of an export."""

from __future__ import annotations


class ProgressCallback:
    """Receives the progress of an export; every method may be overridden."""

    def discovered(self, runs: int) -> None:
        """Receive the number of runs that were found and selected."""

    def began(self, files: int, rows: int, size: int) -> None:
        """Receive the numbers of series files, rows and bytes that will be read."""

    def read(self, files: int, rows: int, size: int) -> None:
        """Receive the numbers of files, rows and bytes read since the last call."""

    def publishing(self, files: int) -> None:
        """Receive the number of files that are published now, as all rows are staged."""
