"""Keep what does not fit into memory in a local file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from connectors.errors import StorageError


class ScratchFile:
    """A local file that is written and read at any place, by one process.

    Args:
        path: A fresh file.
        size: Bytes to reserve on the disk, so that writing them cannot fail for want of room.

    Raises:
        StorageError: The file cannot be made, or the disk has no room for it.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self._path = path
        self._size = size
        with scratch_errors(path):
            self.file: FileIO = path.open("w+b", buffering=0)
            try:
                if size:
                    os.posix_fallocate(self.file.fileno(), 0, size)
            except OSError:
                self.file.close()
                raise

    def append(self, data: bytes) -> int:
        """Write bytes behind all others, and return where they are.

        Raises:
            StorageError: The disk is full, or failed.
        """
        offset = self._size
        self.write(offset, data)
        return offset

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes at a place.

        Raises:
            StorageError: The disk is full, or failed.
        """
        self._size = max(self._size, offset + len(data))
        left = memoryview(data)
        with scratch_errors(self._path):
            while left:
                written = os.pwrite(self.file.fileno(), left, offset)
                left, offset = left[written:], offset + written

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes that were written.

        Raises:
            StorageError: They cannot be read.
        """
        parts: list[bytes] = []
        while size:
            try:
                part = os.pread(self.file.fileno(), size, offset)
            except OSError as error:
                raise StorageError(
                    f"the temporary file {self._path} could not be read ({error}): run it again"
                ) from error
            if not part:
                raise StorageError(
                    f"the temporary file {self._path} is shorter than it was written: something "
                    "else has changed it; run it again"
                )
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file; nothing is written or read afterwards."""
        self.file.close()


@contextmanager
def scratch_errors(path: Path) -> Iterator[None]:
    """Translate failures to write a temporary file.

    Raises:
        StorageError: It could not be written.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the temporary file {path} could not be written ({error}): free the disk, or set "
            "TMPDIR to one with more room"
        ) from error
