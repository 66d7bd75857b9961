"""Stage and publish the files of one run directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from connectors.errors import NotFoundError, RunError, StorageError
from connectors.flowtime.model.run import NEVER_READ_FOLDERS
from connectors.flowtime.parse.dialects import MANIFEST_FILE
from connectors.flowtime.restore.run_files import DESCRIBING_FILES
from connectors.storage import StagedFile, Storage, join, relative
from connectors.storage.calls.deadline import ContextPool

_COMMITS = 8
_OWN_FOLDERS = frozenset({"series", "model"})


class RunDirectoryWriter:
    """A run directory that is being written.

    `stage` any number of files, then `show` them all or `discard` them. Exports in `gold/` and
    `aggregates/` are not of the run: they are neither seen nor touched.

    Args:
        storage: Where it is.
        path: The storage's own path of the run directory.

    Attributes:
        existing: Files that exist before anything is published, relative to `path`.

    Raises:
        RunError: There is a link in its place.
        StorageError: It could not be listed.
    """

    def __init__(self, storage: Storage, path: str) -> None:
        self._storage = storage
        self.path = path
        self.existing = frozenset(_existing(storage, path))
        self._staged: dict[str, StagedFile] = {}
        self._shown: list[str] = []
        self._made: dict[str, None] = {}

    @property
    def url(self) -> str:
        """URL of the run directory."""
        return self._storage.url(self.path)

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """Yield the local file to write what is to become `name`; the same one each time.

        Raises:
            StorageError: It could not be made or written.
        """
        if name not in self._staged:
            path = join(self.path, name)
            with self._translated(path):
                self._made.update(dict.fromkeys(_absent_folders(self._storage, path)))
            self._staged[name] = self._storage.stage(path)
        with self._translated(self._staged[name].target):
            yield self._staged[name].local

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            url = self._storage.url(path)
            raise StorageError(f"staging {url}: {error.strerror or error}", url=url) from error

    def is_staged(self, name: str) -> bool:
        """Return whether a file was staged."""
        return name in self._staged

    def show(self) -> None:
        """Make every staged file visible: series first, manifest.json last.

        An existing manifest.json is removed before anything else, so that there is no
        complete run until the new one is; other files of the old run follow it.

        Raises:
            StorageError: A store refused a file.
        """
        stale = [name for name in self.existing if _is_of_run(name) and name not in self._staged]
        first = [MANIFEST_FILE] if MANIFEST_FILE in self.existing else []
        for name in (*first, *stale):
            self._storage.delete(join(self.path, name))
        self._commit(name for name in self._staged if name not in DESCRIBING_FILES)
        for name in DESCRIBING_FILES:
            if name in self._staged:
                self._commit([name])

    def discard(self) -> None:
        """Remove what was staged or shown, and the folders made for it.

        Raises:
            StorageError: Something could not be removed.
        """
        for staged in self._staged.values():
            self._storage.discard(staged)
        # manifest.json was shown last.
        while self._shown:
            self._storage.delete(join(self.path, self._shown[-1]))
            self._shown.pop()
        for folder in sorted(self._made, key=len, reverse=True):
            self._storage.remove_folder(folder)
        self._staged.clear()
        self._made.clear()

    def _commit(self, names: Iterable[str]) -> None:
        with ContextPool(_COMMITS, thread_name_prefix="flowtime-restore") as pool:
            futures = []
            for name in names:
                # Before it is, because after a lost answer it may be.
                self._shown.append(name)
                futures.append(pool.submit(self._storage.commit, self._staged[name]))
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


def _existing(storage: Storage, path: str) -> Iterator[str]:
    if storage.is_local and os.path.islink(path):
        raise RunError(
            "the directory is a link, which is not written through: remove it",
            run_url=storage.url(path),
        )

    def is_written(folder: str) -> bool:
        return (relative(folder, path) or "").partition("/")[0] not in NEVER_READ_FOLDERS

    try:
        for folder in storage.walk(path, enter=is_written):
            if folder.links:
                raise RunError(
                    f"{folder.links[0]} is a link, which is not written through: remove it",
                    run_url=storage.url(folder.path),
                )
            yield from (relative(entry.path, path) or "" for entry in folder.files)
    except NotFoundError:
        return


def _is_of_run(name: str) -> bool:
    top, _, below = name.partition("/")
    return top in _OWN_FOLDERS if below else top.endswith(".csv") or top in DESCRIBING_FILES


def _absent_folders(storage: Storage, path: str) -> Iterator[str]:
    """Yield folders that staging will make; none where folders are no more than parts of names."""
    if storage.is_local:
        for folder in Path(path).parents:
            if os.path.exists(folder):
                return
            yield str(folder)
