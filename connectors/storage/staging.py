"""Private folders of this machine where files wait to be sent."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

from connectors.storage.contract import host_mark, is_of_the_dead

_PREFIX = "flowtime-export-"
_NAME = re.compile(_PREFIX + r"(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-[A-Za-z0-9_]{8}")


class StagingFolders:
    """The folders of this process, each for one file."""

    def __init__(self) -> None:
        # Objects of tempfile remove their directory at the end of the process, too.
        self._held: dict[Path, tempfile.TemporaryDirectory[str]] = {}
        self._lock = threading.Lock()

    def make(self) -> Path:
        """An empty file in a folder of its own.

        Raises:
            OSError: It could not be made.
        """
        holder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{host_mark()}-{os.getpid()}-")
        local = Path(holder.name) / "staged"
        local.touch()
        with self._lock:
            self._held[local] = holder
        return local

    def remove(self, local: Path) -> None:
        """Remove a file with its folder; nothing happens where it has gone."""
        with self._lock:
            holder = self._held.pop(local, None)
        if holder is not None:
            holder.cleanup()

    def remove_all(self) -> None:
        """Remove all that is left."""
        for local in list(self._held):
            self.remove(local)


def abandoned_folders() -> list[str]:
    """Folders of this user whose process lives no more."""
    root = tempfile.gettempdir()
    with os.scandir(root) as entries:
        return sorted(entry.path for entry in entries if _is_abandoned(entry))


def remove_folders(paths: list[str]) -> None:
    """Remove folders; somebody else may do so at the same time."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    match = _NAME.fullmatch(entry.name)
    if match is None or not is_of_the_dead(match["host"], int(match["pid"])):
        return False
    try:
        owned = entry.stat(follow_symlinks=False).st_uid == os.getuid()
        return owned and entry.is_dir(follow_symlinks=False)
    except FileNotFoundError:
        return False
