"""The disk of this machine as a storage."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from operator import attrgetter
from pathlib import Path
from typing import NoReturn

from connectors.errors import ChangedError, DeniedError, NotFoundError, StorageError
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
from connectors.storage.disk.steady_file import SteadyFile
from connectors.storage.staging.claim import bury, bury_all
from connectors.storage.staging.folders import abandoned_folders, remove_folders
from connectors.storage.staging.names import is_abandoned, is_staged_name, staged_name

# Not following links, and not waiting for the other end of a pipe, whatever the path names.
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


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
        return [_location(path, known) for path in paths]

    def walk(
        self, path: str, *, enter: Enter | None = None, denied: Denied | None = None
    ) -> Iterator[Folder]:
        """Yield folders depth first, names in order."""
        _refuse_absent(path)
        return _walked([path], path, enter, denied)

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
        return _walked([one for one in folders if not os.path.islink(one)], path, enter, denied)

    def folders(self, path: str) -> list[str] | None:
        """Return the names in order; a link is no folder."""
        _refuse_absent(path)
        files, _, below = _listed(path)
        return None if files else [folder.rpartition("/")[2] for folder in below]

    def info(self, path: str) -> FileInfo | None:
        """Return the file; a link counts as none."""
        check_deadline()
        with _translating(path, "looking for"):
            try:
                status = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                return None
        return _entry(path, status) if stat.S_ISREG(status.st_mode) else None

    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """From one open file, checked for changes in between."""
        check_deadline()
        with _translating(path, "reading"), _opened(path) as (file, before):
            stop = before.st_size if end is None else min(end, before.st_size)
            data = _read_exactly(file, start, stop)
            _check_unchanged(path, file, before, whole=len(data) == max(stop - start, 0))
            return data

    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        """Read one after the other: the page cache answers faster than a thread starts."""
        return [_whole(path) for path in paths]

    def blocks(self, path: str, block_bytes: int) -> Iterator[bytes]:
        """From one open file, checked for changes after each block."""
        with _translating(path, "reading"), _opened(path) as (file, before):
            for start in range(0, before.st_size, block_bytes):
                check_deadline()
                stop = min(start + block_bytes, before.st_size)
                block = _read_exactly(file, start, stop)
                _check_unchanged(path, file, before, whole=len(block) == stop - start)
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
        with _translating(path, "writing"):
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
        with _translating(staged.target, "writing"):
            _sync(staged.local)
            staged.local.replace(staged.target)
            _sync(staged.local.parent)
        self._staged.discard(staged.local)

    def mark(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """In place, so that the same bytes written again are whole at any instant."""
        with _translating(path, "writing"):
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
        with _translating(folder, "listing"):
            try:
                names = [name for name in os.listdir(folder) if name.startswith(prefix)]
            except FileNotFoundError:
                return []
        found = []
        for name in sorted(names):
            with suppress(FileNotFoundError):
                found.append(_mark(f"{folder}/{name}"))
        return found

    def discard(self, staged: StagedFile) -> None:
        """Remove the staged file; folders made for it stay."""
        with _translating(staged.target, "discarding"):
            staged.local.unlink(missing_ok=True)
        self._staged.discard(staged.local)

    def discard_all(self) -> None:
        """Staged files and marks."""
        for local in list(self._staged):
            local.unlink(missing_ok=True)
        self._staged.clear()

    def delete(self, path: str) -> None:
        """Remove the file, or the link itself where it is one."""
        with _translating(path, "deleting"):
            Path(path).unlink(missing_ok=True)

    def remove_folder(self, path: str) -> None:
        """Only the folder itself, never through a link."""
        with _translating(path, "deleting"):
            try:
                Path(path).rmdir()
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError as failure:
                if failure.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise

    def abandoned(self, path: str) -> list[Mark]:
        """Of processes of this machine that live no more, or older than a day."""
        return list(_abandoned(path))

    def leftovers(self, path: str) -> list[str]:
        """Return the abandoned files, and folders in the temporary directory."""
        return [*(mark.path for mark in _abandoned(path)), *abandoned_folders()]

    def remove_leftovers(self, path: str, failed: Failed | None = None) -> list[str]:
        """Remove what `leftovers` finds, but for claims that record files, and return it."""
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
        for mark in _abandoned_among(folder, names):
            self._bury(mark)

    def _bury(self, mark: Mark) -> list[str]:
        return bury(self, mark.path.rpartition("/")[0], mark)

    def check_list(self, path: str) -> None:
        """Open the folder."""
        with _translating(path, "listing"), os.scandir(path) as entries:
            next(entries, None)

    def check_write(self, path: str) -> None:
        """In the nearest folder that exists, so that none is made for a trial."""
        folder = Path(path)
        while not os.path.exists(folder) and folder != folder.parent:
            folder = folder.parent
        with _translating(path, "writing"):
            if not os.path.isdir(folder):
                raise NotADirectoryError
        staged = self.stage(str(folder / "probe"))
        try:
            with _translating(path, "writing"):
                staged.local.write_bytes(b"probe")
                _sync(staged.local)
        finally:
            self.discard(staged)


# --------------------------------------------------------------------------- listing


def _walked(
    pending: list[str], root: str, enter: Enter | None, denied: Denied | None
) -> Iterator[Folder]:
    """Yield some folders, the last one first, each before those below it."""
    while pending:
        check_deadline()
        folder = pending.pop()
        if folder != root and enter is not None and not enter(folder):
            continue
        try:
            files, links, below = _listed(folder)
        except DeniedError as error:
            if folder == root or denied is None:
                raise
            denied(folder, error)
            continue
        if files or links:
            yield Folder(folder, tuple(files), tuple(links))
        pending.extend(reversed(below))


def _refuse_absent(path: str) -> None:
    with _translating(path, "listing"):
        try:
            os.stat(path)
        except FileNotFoundError as failure:
            raise NotFoundError(
                f"listing {path}: there is no such file or folder: correct the path", url=path
            ) from failure


def _location(path: str, known: dict[str, Location]) -> Location:
    """Look at each folder once; what is known already is looked up."""
    if path not in known:
        known[path] = _located(path, known)
    return known[path]


def _located(path: str, known: dict[str, Location]) -> Location:
    parent, name = os.path.split(path)
    above = () if parent == path else _location(parent, known).chain
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode) and (real := os.path.realpath(path)) != path:
            return _location(real, known)
    except OSError:  # nothing is there, or nothing that may be looked at
        return Location((f"{above[0] if above else ''}/{name}", *above))
    return Location((f"{status.st_dev}:{status.st_ino}", *above))


def _listed(path: str) -> tuple[list[FileInfo], list[str], list[str]]:
    """Return files, names of links and paths of folders, each in order."""
    files: list[FileInfo] = []
    links: list[str] = []
    folders: list[str] = []
    with _translating(path, "listing"):
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=attrgetter("name"))
        except FileNotFoundError:
            # What vanishes between two looks is as if it had gone before both.
            return files, links, folders
        except NotADirectoryError as failure:
            raise NotFoundError(
                f"listing {path}: this is a file, not a folder: name the folder above", url=path
            ) from failure
        for entry in found:
            name = entry.name
            if not name.isascii() and not _is_text(name):
                links.append(name.encode("utf-8", "backslashreplace").decode())
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                links.append(name)
            elif not is_staged_name(name):
                try:
                    files.append(_entry(entry.path, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
    return files, links, folders


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mark(path: str) -> Mark:
    return Mark(path, os.lstat(path).st_mtime)


def _entry(path: str, status: os.stat_result) -> FileInfo:
    return FileInfo(path, status.st_size, str(status.st_mtime_ns))


def _abandoned(path: str) -> Iterator[Mark]:
    """Yield abandoned files; what may not be listed could not be removed either."""

    def refuse(failure: OSError) -> None:
        if failure.filename != path and isinstance(failure, PermissionError):
            return
        if not isinstance(failure, FileNotFoundError | NotADirectoryError):
            raise SYSTEM.translate(failure, path, "listing") from failure

    for folder, _, names in os.walk(path, onerror=refuse):
        yield from _abandoned_among(folder, names)


def _abandoned_among(folder: str, names: Iterable[str]) -> Iterator[Mark]:
    for name in sorted(filter(is_staged_name, names)):
        try:
            mark = _mark(f"{folder.rstrip('/')}/{name}")
        except FileNotFoundError:
            continue
        if is_abandoned(name, mark.modified):
            yield mark


# --------------------------------------------------------------------------- reading


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, os.stat_result]]:
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


def _read_exactly(file: int, start: int, stop: int) -> bytes:
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


def _check_unchanged(path: str, file: int, before: os.stat_result, *, whole: bool) -> None:
    after = os.fstat(file)
    if not whole or (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        _refuse_change(path)


def _refuse_change(path: str) -> NoReturn:
    raise ChangedError(
        f"reading {path}: it changed while it was being read: try again when it is at rest",
        url=path,
    )


def _whole(path: str) -> bytes | StorageError:
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
                data = _read_exactly(file, 0, size)
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


# --------------------------------------------------------------------------- writing


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


@contextmanager
def _translating(path: str, doing: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as failure:
        raise SYSTEM.translate(failure, path, doing) from failure
