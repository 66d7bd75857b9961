"""The disk of this machine as a storage."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path

from connectors.errors import StorageError
from connectors.storage.addresses.location import Location
from connectors.storage.addresses.paths import relative
from connectors.storage.calls.deadline import check_deadline
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
    StoreAccess,
    Writable,
)
from connectors.storage.disk.failures import translating
from connectors.storage.disk.listing import (
    abandoned_among,
    abandoned_below,
    file_info,
    list_folder,
    mark_of,
    refuse_absent,
    walk_below,
)
from connectors.storage.disk.location import locate
from connectors.storage.disk.reading import (
    check_unchanged,
    open_regular,
    read_range,
    read_whole,
)
from connectors.storage.disk.steady_file import SteadyFile
from connectors.storage.staging.claim import bury, bury_all
from connectors.storage.staging.folders import abandoned_folders, remove_folders
from connectors.storage.staging.names import staged_name


class LocalStorage(Storage):
    """Plain files; os-level calls throughout, as thousands of small files are read."""

    protocol = "file"
    is_local = True

    def __init__(self) -> None:
        # Noted before it is made, so that a signal finds every file that was.
        self._staged: set[Path] = set()

    def url(self, path: str) -> str:
        """Return the path itself."""
        return path

    def access(self, path: str) -> StoreAccess:
        """Return the path itself."""
        return StoreAccess(path)

    def locations(self, paths: Sequence[str]) -> list[Location]:
        """By device and inode, as far as there are any: links, mounts and case do not count."""
        known: dict[str, Location] = {}
        return [locate(path, known) for path in paths]

    def walk(
        self, path: str, *, enter: Enter | None = None, denied: Denied | None = None
    ) -> Iterator[Folder]:
        """Yield folders depth first, names in order."""
        refuse_absent(path)
        return walk_below([path], path, enter, denied)

    def walk_some(
        self,
        path: str,
        names: Set[str],
        *,
        enter: Enter | None = None,
        denied: Denied | None = None,
    ) -> Iterator[Folder]:
        """Yield from each folder by its name, as their parent may hold very many."""
        if not names:
            return super().walk_some(path, names, enter=enter, denied=denied)
        folders = (f"{path.rstrip('/')}/{name}" for name in sorted(names, reverse=True))
        # One may have become a link since it was listed.
        return walk_below([one for one in folders if not os.path.islink(one)], path, enter, denied)

    def folders(self, path: str) -> list[str] | None:
        """Return the names in order; a link is no folder."""
        refuse_absent(path)
        listed = list_folder(path)
        return None if listed.files else [one.rpartition("/")[2] for one in listed.folders]

    def info(self, path: str) -> FileInfo | None:
        """Return the file; a link counts as none."""
        check_deadline()
        with translating(path, "looking for"):
            try:
                status = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
        return file_info(path, status) if stat.S_ISREG(status.st_mode) else None

    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """From one open file, checked for changes in between."""
        check_deadline()
        with translating(path, "reading"), open_regular(path) as (file, before):
            stop = before.st_size if end is None else min(end, before.st_size)
            data = read_range(file, start, stop)
            check_unchanged(path, file, before, whole=len(data) == max(stop - start, 0))
            return data

    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        """Read one after the other: the page cache answers faster than a thread starts."""
        return [read_whole(path) for path in paths]

    def blocks(self, path: str, block_bytes: int) -> Iterator[bytes]:
        """From one open file, checked for changes after each block."""
        with translating(path, "reading"), open_regular(path) as (file, before):
            for start in range(0, before.st_size, block_bytes):
                check_deadline()
                stop = min(start + block_bytes, before.st_size)
                block = read_range(file, start, stop)
                check_unchanged(path, file, before, whole=len(block) == stop - start)
                yield block

    def refuse_links(self, root: str, path: str) -> None:
        """Look at every folder below `root` without following it."""
        place = Path(root)
        for part in (relative(path, root) or "").split("/"):
            place /= part
            if os.path.islink(place):  # unlike Path.is_symlink, also where nothing may be looked at
                raise StorageError(
                    f"{place} is a link, and what it points to may be anywhere: "
                    "remove it, or choose another folder to write to",
                    url=str(place),
                )

    def stage(self, path: str) -> StagedFile:
        """Beside the target, so that the commit is one rename within a file system."""
        check_deadline()
        target = Path(path)
        _refuse_folder(path)
        with translating(path, "writing"):
            _make_folders(target.parent)
            local = target.parent / staged_name(target.name)
            self._staged.add(local)
            # Mode 0666 less the umask: what a file has that is simply written.
            os.close(os.open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        return StagedFile(local, path)

    def open(self, staged: StagedFile) -> Writable:
        """Open it in place; Linux writes it back to the disk meanwhile."""
        return SteadyFile(staged.local) if sys.platform == "linux" else super().open(staged)

    def commit(self, staged: StagedFile) -> None:
        """Sync the bytes, then rename, then sync the folder."""
        check_deadline()
        _refuse_folder(staged.target)
        with translating(staged.target, "writing"):
            _sync(staged.local)
            staged.local.replace(staged.target)
            _sync(staged.local.parent)
        self._staged.discard(staged.local)

    def mark(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """In place, so that the same bytes written again are whole at any instant."""
        with translating(path, "writing"):
            _make_folders(Path(path).parent)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                with os.fdopen(file, "wb", closefd=False) as stream:
                    stream.write(data)
                os.ftruncate(file, len(data))
                if durable:
                    os.fsync(file)
            finally:
                os.close(file)
            if durable:
                _sync(Path(path).parent)

    def marks(self, folder: str, prefix: str) -> list[Mark]:
        """In the order of names."""
        with translating(folder, "listing"):
            try:
                names = [name for name in os.listdir(folder) if name.startswith(prefix)]
            except FileNotFoundError:
                return []
        found = []
        for name in sorted(names):
            with suppress(FileNotFoundError):
                found.append(mark_of(f"{folder}/{name}"))
        return found

    def discard(self, staged: StagedFile) -> None:
        """Remove the staged file; folders made for it stay."""
        with translating(staged.target, "discarding"):
            staged.local.unlink(missing_ok=True)
        self._staged.discard(staged.local)

    def discard_all(self) -> None:
        """Staged files and marks."""
        for local in list(self._staged):
            local.unlink(missing_ok=True)
        self._staged.clear()

    def delete(self, path: str) -> None:
        """Remove the file, or the link itself where it is one."""
        with translating(path, "deleting"):
            Path(path).unlink(missing_ok=True)

    def remove_folder(self, path: str) -> None:
        """Only the folder itself, never through a link."""
        with translating(path, "deleting"):
            try:
                Path(path).rmdir()
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError as failure:
                if failure.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise

    def abandoned(self, path: str) -> list[Mark]:
        """Of processes of this machine that live no more, or older than a day."""
        return list(abandoned_below(path))

    def remove_leftovers(self, path: str, failed: Failed | None = None) -> list[str]:
        """Files of processes that live no more, and folders in the temporary directory."""
        files = bury_all(self, path, failed)
        folders = abandoned_folders()
        remove_folders(folders)
        return files + folders

    def sweep(self, folder: str) -> None:
        """Remove what dead exporters left in staging directly in `folder`."""
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as failure:
            raise SYSTEM.translate(failure, folder, "listing") from failure
        for mark in abandoned_among(folder, names):
            self._bury(mark)

    def _bury(self, mark: Mark) -> list[str]:
        return bury(self, mark.path.rpartition("/")[0], mark)

    def check_list(self, path: str) -> None:
        """Open the folder."""
        with translating(path, "listing"), os.scandir(path) as entries:
            next(entries, None)

    def check_write(self, path: str) -> None:
        """In the nearest folder that exists, so that none is made for a trial."""
        folder = Path(path)
        while not os.path.exists(folder) and folder != folder.parent:
            folder = folder.parent
        with translating(path, "writing"):
            if not os.path.isdir(folder):
                raise NotADirectoryError
        staged = self.stage(str(folder / "probe"))
        try:
            with translating(path, "writing"):
                staged.local.write_bytes(b"probe")
                _sync(staged.local)
        finally:
            self.discard(staged)


def _refuse_folder(path: str) -> None:
    if os.path.isdir(path):  # unlike Path.is_dir, also where nothing may be looked at
        raise StorageError(
            f"writing {path}: a folder is there: choose another name, or remove it", url=path
        )


def _make_folders(folder: Path) -> None:
    """Make a folder that outlives a power cut, with those above it."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
