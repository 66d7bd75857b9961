"""Standard output as a storage that keeps nothing: what is committed to it is copied there."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO

from connectors.errors import NotFoundError, StorageError
from connectors.storage.addresses.location import Location
from connectors.storage.calls.failures import SYSTEM
from connectors.storage.contract import (
    Denied,
    Enter,
    Failed,
    FileInfo,
    Folder,
    Mark,
    StagedFile,
    Storage,
)
from connectors.storage.staging.folders import StagingFolders

_COPIED_AT_ONCE = 1_000_000
_NAME = "stdout"


class StandardOutput(Storage):
    """The standard output of this process.

    Files are staged in private folders of this machine. Nothing that was written can be read,
    listed or removed, and there is nothing to claim.
    """

    protocol = "stdout"
    is_local = True

    def __init__(self) -> None:
        self._staging = StagingFolders()

    def url(self, path: str) -> str:
        """`stdout`."""
        return _NAME

    def locations(self, paths: Sequence[str]) -> list[Location]:
        """One place, whatever the paths."""
        return [Location((_NAME,)) for _ in paths]

    def stage(self, path: str) -> StagedFile:
        """In a private folder of this machine."""
        try:
            return StagedFile(self._staging.make(), path)
        except OSError as failure:
            raise SYSTEM.translate(failure, _NAME, "staging") from failure

    def commit(self, staged: StagedFile) -> None:
        """Copy a staged file to standard output.

        A reader that has read enough, as `head` does, is no error.

        Raises:
            StorageError: It cannot be written; a part of it may be.
        """
        try:
            with staged.local.open("rb") as file, suppress(BrokenPipeError):
                _copy(file, _binary_stdout())
        except OSError as failure:
            raise SYSTEM.translate(failure, _NAME, "writing") from failure
        finally:
            self.discard(staged)

    def discard(self, staged: StagedFile) -> None:
        """Remove the staging folder."""
        self._staging.remove(staged.local)

    def discard_all(self) -> None:
        """Remove the staging folders of this process."""
        self._staging.remove_all()

    def check_write(self, path: str) -> None:
        """Find out whether standard output takes bytes."""
        _binary_stdout()

    # ----------------------------------------------------------------- nothing is kept

    def walk(
        self, path: str, *, enter: Enter | None = None, denied: Denied | None = None
    ) -> Iterator[Folder]:
        """Nothing can be listed."""
        raise _nothing_kept()

    def check_list(self, path: str) -> None:
        """Nothing can be listed."""
        raise _nothing_kept()

    def info(self, path: str) -> FileInfo | None:
        """None, as nothing is kept."""
        return None

    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """Nothing can be read."""
        raise _nothing_kept()

    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        """Return an error for each path."""
        return [_nothing_kept() for _ in paths]

    def blocks(self, path: str, block_bytes: int) -> Iterator[bytes]:
        """Nothing can be read."""
        raise _nothing_kept()

    def mark(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """Do nothing."""

    def marks(self, folder: str, prefix: str) -> list[Mark]:
        """Return none."""
        return []

    def delete(self, path: str) -> None:
        """Do nothing."""

    def remove_folder(self, path: str) -> None:
        """Do nothing."""

    def abandoned(self, path: str) -> list[Mark]:
        """Return none."""
        return []

    def remove_leftovers(self, path: str, failed: Failed | None = None) -> list[str]:
        """Return none."""
        return []

    def sweep(self, folder: str) -> None:
        """Do nothing."""


def _nothing_kept() -> NotFoundError:
    return NotFoundError("standard output cannot be read back", url=_NAME)


def _binary_stdout() -> BinaryIO:
    buffer: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        raise StorageError(
            "writing standard output: it takes text alone here, as in a notebook: name a file",
            url=_NAME,
        )
    return buffer


def _copy(file: BinaryIO, stdout: BinaryIO) -> None:
    sys.stdout.flush()  # what was printed before comes first
    while piece := file.read(_COPIED_AT_ONCE):
        stdout.write(piece)
    stdout.flush()
