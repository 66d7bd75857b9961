"""List folders of the disk: files, links, and what dead exporters left there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from connectors.errors import DeniedError, NotFoundError, printable
from connectors.storage.addresses.paths import is_safe_name
from connectors.storage.calls.deadline import check_deadline
from connectors.storage.calls.failures import SYSTEM
from connectors.storage.contract import Denied, Enter, FileInfo, Folder, Mark
from connectors.storage.disk.failures import translating
from connectors.storage.staging.names import is_abandoned, is_staged_name


@dataclass(slots=True)
class ListedFolder:
    """What is directly in a folder, each in order.

    Attributes:
        files: The files.
        links: Names of what is never read, as in `Folder`.
        special: Those of them that are devices, pipes and sockets.
        folders: Paths of the folders.
    """

    files: list[FileInfo] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def walk_below(
    pending: list[str], root: str, enter: Enter | None, denied: Denied | None
) -> Iterator[Folder]:
    """Yield some folders, the last one first, each before those below it."""
    while pending:
        check_deadline()
        folder = pending.pop()
        if folder != root and enter is not None and not enter(folder):
            continue
        try:
            found = list_folder(folder)
        except DeniedError as error:
            if folder == root or denied is None:
                raise
            denied(folder, error)
            continue
        if found.files or found.links:
            special = frozenset(found.special)
            yield Folder(folder, tuple(found.files), tuple(found.links), special)
        pending.extend(reversed(found.folders))


def refuse_absent(path: str) -> None:
    """Check that a file or folder is at the path.

    Raises:
        NotFoundError: Nothing is there.
    """
    with translating(path, "listing"):
        try:
            os.stat(path)
        except FileNotFoundError as failure:
            raise NotFoundError(
                f"listing {path}: there is no such file or folder: correct the path", url=path
            ) from failure


def list_folder(path: str) -> ListedFolder:
    """Return what is directly in a folder.

    Raises:
        NotFoundError: It is a file.
        DeniedError: It may not be listed.
        StorageError: It cannot be listed.
    """
    listed = ListedFolder()
    with translating(path, "listing"):
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=attrgetter("name"))
        except FileNotFoundError:
            # What vanishes between two looks is as if it had gone before both.
            return listed
        except NotADirectoryError as failure:
            raise NotFoundError(
                f"listing {path}: this is a file, not a folder: name the folder above", url=path
            ) from failure
        for entry in found:
            name = entry.name
            # Most names are printable, which is found out sooner.
            if ("\\" in name or not name.isprintable()) and not is_safe_name(name):
                listed.links.append(printable(name))
            elif entry.is_dir(follow_symlinks=False):
                listed.folders.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                listed.links.append(name)
                if not entry.is_symlink():
                    listed.special.append(name)
            elif not is_staged_name(name):
                try:
                    listed.files.append(file_info(entry.path, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
    return listed


def mark_of(path: str) -> Mark:
    """Return the mark at a path, with the time of its last change."""
    return Mark(path, os.lstat(path).st_mtime)


def file_info(path: str, status: os.stat_result) -> FileInfo:
    """Return what a storage says of a file."""
    return FileInfo(path, status.st_size, str(status.st_mtime_ns))


def abandoned_below(path: str) -> Iterator[Mark]:
    """Yield abandoned files; what may not be listed could not be removed either."""

    def refuse(failure: OSError) -> None:
        if failure.filename != path and isinstance(failure, PermissionError):
            return
        if not isinstance(failure, FileNotFoundError | NotADirectoryError):
            raise SYSTEM.translate(failure, path, "listing") from failure

    for folder, _, names in os.walk(path, onerror=refuse):
        yield from abandoned_among(folder, names)


def abandoned_among(folder: str, names: Iterable[str]) -> Iterator[Mark]:
    """Yield those of the names in a folder that dead exporters left."""
    for name in sorted(filter(is_staged_name, names)):
        try:
            mark = mark_of(f"{folder.rstrip('/')}/{name}")
        except FileNotFoundError:
            continue
        if is_abandoned(name, mark.modified):
            yield mark
