"""Make private local folders for files that wait to be sent or are worked on."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from connectors.storage.calls.failures import SYSTEM
from connectors.storage.staging.names import (
    Owner,
    host_mark,
    is_of_none,
    stages_for_another,
    staging_owner,
)

_PREFIX = "flowtime-export-"
_NAME = re.compile(
    _PREFIX
    + r"(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-(?P<group>(?:[0-9a-f]{8})?)[A-Za-z0-9_]{8}"
)


_place: ContextVar[Path | None] = ContextVar("flowtime_export_scratch", default=None)


@contextmanager
def scratch_below(folder: Path) -> Iterator[None]:
    """Have the present context make its scratch folders in a folder instead of TMPDIR."""
    token = _place.set(folder)
    try:
        yield
    finally:
        _place.reset(token)


class StagingFolders:
    """The folders of this process, each for one file."""

    def __init__(self) -> None:
        # Objects of tempfile remove their directory at the end of the process, too.
        self._held: dict[Path, tempfile.TemporaryDirectory[str]] = {}
        self._of_another: set[Path] = set()
        self._lock = threading.Lock()

    def make(self) -> Path:
        """Return an empty file in a folder of its own.

        Raises:
            OSError: It could not be made.
        """
        local = self.make_folder() / "staged"
        local.touch()
        return local

    def make_folder(self) -> Path:
        """Return an empty folder.

        Raises:
            OSError: It could not be made.
        """
        prefix = f"{_PREFIX}{staging_owner().mark}"
        if stages_for_another():
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_place.get()))
            self._of_another.add(folder)
            return folder
        holder = tempfile.TemporaryDirectory(
            prefix=prefix, dir=_place.get(), ignore_cleanup_errors=True
        )
        folder = Path(holder.name)
        with self._lock:
            self._held[folder] = holder
        return folder

    def remove(self, local: Path) -> None:
        """Remove a file with its folder; nothing happens where it has gone."""
        self.remove_folder(local.parent)

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder with all it holds; nothing happens where it has gone."""
        with self._lock:
            holder = self._held.pop(folder, None)
        if holder is not None:
            holder.cleanup()
        elif folder in self._of_another or _is_own(folder):
            self._of_another.discard(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove all that is left."""
        for folder in (*self._held, *self._of_another):
            self.remove_folder(folder)


_scratch = StagingFolders()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a private folder to work in, for as long as the context lasts.

    Its name says whose it is: what a process leaves that was killed is removed by the next one
    that needs such a folder, and by `clean`.

    Raises:
        StorageError: There is no temporary directory that can be written.
    """
    _sweep()
    try:
        folder = _scratch.make_folder()
    except OSError as failure:
        raise SYSTEM.translate(
            failure, "the temporary directory (TMPDIR)", "writing to"
        ) from failure
    try:
        yield folder
    finally:
        _scratch.remove_folder(folder)


@cache
def _sweep() -> None:
    """Once, as a process may need thousands of folders."""
    remove_abandoned()


def remove_scratch() -> None:
    """Remove the scratch folders of this process."""
    _scratch.remove_all()


def abandoned_folders() -> list[str]:
    """Return folders of this user whose process lives no more, or has given them up.

    Raises:
        StorageError: There is no temporary directory that can be listed.
    """
    try:
        with os.scandir(tempfile.gettempdir()) as entries:
            return sorted(entry.path for entry in entries if _is_abandoned(entry))
    except OSError as failure:
        raise SYSTEM.translate(failure, "the temporary directory (TMPDIR)", "listing") from failure


def remove_abandoned() -> None:
    """Remove folders of this user whose process lives no more, or has given them up.

    Raises:
        StorageError: There is no temporary directory that can be listed.
    """
    remove_folders(abandoned_folders())


def remove_folders(paths: list[str]) -> None:
    """Remove folders; another process may do so at the same time."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def _is_own(folder: Path) -> bool:
    """Return whether another process has made a folder of this one."""
    owner = _owner_of(folder.name)
    return owner is not None and (owner.host, owner.pid) == (host_mark(), os.getpid())


def _owner_of(name: str) -> Owner | None:
    """Return whose folder a name says that it is, if it says so."""
    match = _NAME.fullmatch(name)
    return None if match is None else Owner(match["host"], int(match["pid"]), match["group"])


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    owner = _owner_of(entry.name)
    if owner is None or not is_of_none(owner):
        return False
    try:
        owned = entry.stat(follow_symlinks=False).st_uid == os.getuid()
        return owned and entry.is_dir(follow_symlinks=False)
    except FileNotFoundError:
        return False
