"""Define what remote storages share: local staging, reads in parallel, translated errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from connectors.errors import ChangedError, NotFoundError, StorageError
from connectors.storage.addresses.location import Location
from connectors.storage.addresses.paths import join
from connectors.storage.calls.deadline import ContextPool
from connectors.storage.calls.failures import SYSTEM, StoreFailures
from connectors.storage.contract import Failed, FileInfo, StagedFile, Storage
from connectors.storage.staging.claim import bury_all
from connectors.storage.staging.folders import StagingFolders, abandoned_folders, remove_folders
from connectors.storage.staging.names import staged_name

_READERS = 16
_FETCHED_AT_ONCE = 4_000_000


class RemoteStorage(Storage):
    """A remote storage; subclasses publish, list and read.

    Args:
        protocol: The protocol of its URLs.
        secrets: Texts that no message may show.
    """

    is_local = False
    failures: StoreFailures
    """What the client library raises."""

    def __init__(self, protocol: str, secrets: Iterable[str]) -> None:
        self.protocol = protocol
        self._secrets = tuple(secrets)
        self._staging = StagingFolders()
        self._swept = False

    def locations(self, paths: Sequence[str]) -> list[Location]:
        """By what the store is reached at, whatever the credentials."""
        store = self._store()
        return [Location.of_parts(store, path) for path in paths]

    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        """Sixteen at a time."""
        if len(paths) < 2:
            return [self._read_or_error(path) for path in paths]
        with ContextPool(min(_READERS, len(paths))) as pool:
            return list(pool.map(self._read_or_error, paths))

    def blocks(self, path: str, block_bytes: int) -> Iterator[bytes]:
        """Range after range, while the file's version stays what it was."""
        entry = self.info(path)
        if entry is None:
            raise NotFoundError(
                f"reading {self.url(path)}: nothing is stored there", url=self.url(path)
            )
        for start in range(0, entry.size, block_bytes):
            stop = min(start + block_bytes, entry.size)
            block = self._range(entry, start, stop)
            if block is None or len(block) != stop - start:
                raise ChangedError(
                    f"reading {self.url(path)}: it changed while it was being read: "
                    "try again when it is at rest",
                    url=self.url(path),
                )
            yield block

    def stage(self, path: str) -> StagedFile:
        """In a private folder of this machine, as a live handle would publish a torn file."""
        try:
            return StagedFile(self._staging.make(), path)
        except OSError as failure:
            raise SYSTEM.translate(failure, self.url(path), "staging") from failure

    def hand_over(self, staged: StagedFile, folder: str) -> StagedFile:
        """Put the file into the folder, under a hidden name."""
        hidden = join(folder, staged_name(staged.target.rpartition("/")[2]))
        stored = self._committed(StagedFile(staged.local, hidden))
        return StagedFile(staged.local, staged.target, stored)

    def fetch(self, staged: StagedFile) -> StagedFile:
        """Read the file in blocks, and remove the hidden one."""
        if staged.handed_over is None:
            return staged
        own = self.stage(staged.target)
        try:
            with own.local.open("wb") as file:
                file.writelines(self.blocks(staged.handed_over.path, _FETCHED_AT_ONCE))
        except OSError as failure:
            raise self._translated(failure, staged.target, "staging") from failure
        self.delete(staged.handed_over.path)
        return own

    def discard(self, staged: StagedFile) -> None:
        """Remove the staging folder with all it holds, or what was handed over."""
        if staged.handed_over is None:
            self._staging.remove(staged.local)
        else:
            self.delete(staged.handed_over.path)

    def discard_all(self) -> None:
        """Remove the staging folders of this process."""
        self._staging.remove_all()

    def remove_folder(self, path: str) -> None:
        """Do nothing: folders are parts of names."""

    def commit(self, staged: StagedFile) -> None:
        """Put the file, then see that all of it is there.

        What was handed over is copied within the store: none of its bytes come through here.
        """
        self._committed(staged)

    def _committed(self, staged: StagedFile) -> FileInfo:
        if staged.handed_over is None:
            size = self._staged_bytes(staged)
            self._publish(staged, size)
        else:
            size = staged.handed_over.size
            self._publish_stored(staged.handed_over, staged.target)
        found = self.info(staged.target)
        if found is None or found.size != size:
            stored = "nothing" if found is None else f"{found.size} bytes"
            raise StorageError(
                f"writing {self.url(staged.target)}: {size} bytes were sent, {stored} is stored: "
                "another writer is at work there, or the store is at fault",
                url=self.url(staged.target),
            )
        self.discard(staged)
        return found

    def mark(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """Like any other file, but it is not looked at afterwards."""
        staged = self.stage(path)
        try:
            staged.local.write_bytes(data)
            self._publish(staged, len(data))
        except OSError as failure:
            raise self._translated(failure, path, "writing") from failure
        finally:
            self.discard(staged)

    def remove_leftovers(self, path: str, failed: Failed | None = None) -> list[str]:
        """Of processes of this machine that live no more, or older than a day."""
        removed = bury_all(self, path, failed)
        folders = abandoned_folders()
        remove_folders(folders)
        return removed + folders

    def sweep(self, folder: str) -> None:
        """Staging folders of this machine: files for a remote target are not staged beside it."""
        if not self._swept:
            self._swept = True
            remove_folders(abandoned_folders())

    def check_write(self, path: str) -> None:
        """Write, read back and delete."""
        target = join(path, staged_name("probe"))
        staged = self.stage(target)
        try:
            try:
                staged.local.write_bytes(b"probe")
            except OSError as failure:
                raise self._translated(failure, path, "staging a file for") from failure
            self.commit(staged)
            if self.read(target) != b"probe":
                raise StorageError(
                    f"writing {self.url(path)}: what was read back differs from what was sent: "
                    "another writer is at work there, or the store is at fault",
                    url=self.url(path),
                )
        except StorageError:
            # The trial has failed already: its clean-up failing, too, would hide why.
            with suppress(StorageError):
                self.delete(target)
            raise
        finally:
            self.discard(staged)
        self.delete(target)

    def _refuse_walk(self, path: str) -> NoReturn:
        kind = "this is a file, not a folder" if self.info(path) is not None else "nothing is there"
        raise NotFoundError(
            f"listing {self.url(path)}: {kind}: correct the URL", url=self.url(path)
        )

    @abstractmethod
    def _store(self) -> str:
        """Return what distinguishes the store from others of its protocol, such as its endpoint."""

    @abstractmethod
    def _range(self, entry: FileInfo, start: int, stop: int) -> bytes | None:
        """Return bytes of a file, or None where it is not that version any more."""

    @abstractmethod
    def _publish(self, staged: StagedFile, size: int) -> None:
        """Make a staged file visible at its target, or nothing of it."""

    def _publish_stored(self, file: FileInfo, target: str) -> None:
        """Make a stored file visible at another path, or nothing of it, and keep or remove it.

        Through this machine, where the store cannot copy.
        """
        own = self.fetch(StagedFile(Path(), target, file))
        try:
            self._publish(own, file.size)
        finally:
            self.discard(own)

    def _read_or_error(self, path: str) -> bytes | StorageError:
        try:
            return self.read(path)
        except StorageError as failure:
            return failure

    def _translated(self, failure: Exception, path: str, doing: str) -> StorageError:
        return self.failures.translate(failure, self.url(path), doing, self._secrets)

    def _staged_bytes(self, staged: StagedFile) -> int:
        try:
            return staged.local.stat().st_size
        except OSError as failure:
            raise self._translated(failure, staged.target, "writing") from failure
