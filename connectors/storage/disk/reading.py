"""Read files of the disk, and notice those that change meanwhile."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from connectors.errors import ChangedError, StorageError
from connectors.storage.calls.deadline import check_deadline
from connectors.storage.calls.failures import SYSTEM

# Not following links, and not waiting for the other end of a pipe, whatever the path names.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def open_regular(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """Open a file, and refuse folders, devices and pipes; links are not followed.

    Yields:
        Its descriptor, and its status when it was opened.

    Raises:
        StorageError: It is no regular file.
    """
    file = os.open(path, _OPEN)
    try:
        status = os.fstat(file)
        _refuse_special(path, status)
        yield file, status
    finally:
        os.close(file)


def _refuse_special(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise StorageError(f"reading {path}: it is {kind}, not a file", url=path)


def read_range(file: int, start: int, stop: int) -> bytes:
    """Return the bytes from `start` to `stop`; fewer only where the file has been cut meanwhile."""
    if stop <= start:
        return b""
    data = os.pread(file, stop - start, start)
    if len(data) == stop - start:
        return data
    pieces = [data]
    at = start + len(data)
    while pieces[-1] and at < stop:
        pieces.append(os.pread(file, stop - at, at))
        at += len(pieces[-1])
    return b"".join(pieces)


def check_unchanged(path: str, file: int, before: os.stat_result, *, whole: bool) -> None:
    """Check that an open file is as it was when it was opened.

    Args:
        path: Its path.
        file: Its descriptor.
        before: Its status when it was opened.
        whole: Whether as many bytes were read as it should have.

    Raises:
        ChangedError: It is not.
    """
    after = os.fstat(file)
    if not whole or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        _refuse_change(path)


def _refuse_change(path: str) -> NoReturn:
    raise ChangedError(
        f"reading {path}: it changed while it was being read: try again when it is at rest",
        url=path,
    )


def read_whole(path: str) -> bytes | StorageError:
    """Read a whole file, without the steps that only parts of files need."""
    check_deadline()
    try:
        file = os.open(path, _OPEN)
        try:
            # Called for each of many thousand files, so that steps are inlined where all is well.
            before = os.fstat(file)
            _refuse_special(path, before)
            size = before.st_size
            data = os.pread(file, size, 0)
            if len(data) != size:
                data = read_range(file, 0, size)
            after = os.fstat(file)
            if (after.st_size, after.st_mtime_ns, len(data)) != (size, before.st_mtime_ns, size):
                _refuse_change(path)
        finally:
            os.close(file)
    except StorageError as failure:
        return failure
    except (OSError, ValueError) as failure:
        error = SYSTEM.translate(failure, path, "reading")
        error.__cause__ = failure
        return error
    return data
