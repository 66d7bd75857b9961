"""Write a file so that it reaches the disk steadily, in a bounded part of the page cache."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

_WINDOW_BYTES = 64_000_000
"""Written between two flushes: seldom enough that the disk does not flush all the time."""

_CACHED_BYTES = 512_000_000
"""What stays in the page cache for the next reader of the file."""


class SteadyFile:
    """Writes a new file, and sees to it that the disk never lags far behind.

    A file that is only flushed when it is whole waits for all its bytes at once, and its pages
    drive out of memory what other programs read. On virtual machines that give free memory back
    to their host each new page costs ten times that of a used one: here, pages are used again.

    Args:
        path: The file; made, or cut to nothing.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._flusher = ThreadPoolExecutor(1, thread_name_prefix="flowtime-flush")
        self._flushing: Future[None] | None = None
        self._written = 0
        self._flushed = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes.

        Raises:
            OSError: These, or some given earlier, could not be written.
        """
        self._written += self._file.write(data)
        if self._written - self._flushed >= _WINDOW_BYTES:
            self._flush_window()
        return len(data)

    def flush(self) -> None:
        """Hand all bytes to the operating system.

        Raises:
            OSError: It could not take them.
        """
        self._file.flush()

    def close(self) -> None:
        """Hand all bytes to the operating system and close the file.

        Raises:
            OSError: Some bytes could not be written.
        """
        try:
            self._settle()
        finally:
            self._flusher.shutdown()
            self._file.close()

    def _flush_window(self) -> None:
        self._settle()
        self._file.flush()
        self._flushing = self._flusher.submit(_to_disk, self._file.fileno(), self._written)
        self._flushed = self._written

    def _settle(self) -> None:
        flushing, self._flushing = self._flushing, None
        if flushing is not None:
            flushing.result()


def _to_disk(file: int, size: int) -> None:
    os.fdatasync(file)
    if size > _CACHED_BYTES:
        os.posix_fadvise(file, 0, size - _CACHED_BYTES, os.POSIX_FADV_DONTNEED)
