"""Resolve the URL of a source: one folder, or the folders that a pattern matches."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from connectors.storage import Storage, StorageOptions, connect, relative, split_glob

_ANY_DEPTH = "**"


@dataclass(frozen=True, slots=True)
class SourceRoot:
    """A folder that runs are looked for in.

    Attributes:
        path: The folder that listing begins with, as its storage names it.
        pattern: Globs on the folders below it, one for each level; `**` is any number of levels.
            Runs at or below a folder that all of them match are wanted.
    """

    path: str
    pattern: tuple[str, ...] = ()

    def url(self, storage: Storage) -> str:
        """Return the URL of the folder, followed by the pattern."""
        return "/".join((storage.url(self.path).rstrip("/") or "/", *self.pattern))

    def covers(self, path: str) -> bool:
        """Return whether a path is at or below a folder that is wanted."""
        below = relative(path, self.path)
        return below is not None and _covers(_levels(below), self.pattern)

    def leads_to(self, path: str) -> bool:
        """Return whether a folder is wanted, or may hold one that is."""
        below = relative(path, self.path)
        return below is not None and _leads(_levels(below), self.pattern)


def connect_root(url: str, options: StorageOptions | None = None) -> tuple[Storage, SourceRoot]:
    """Return the storage of a URL that may hold globs, and the root there; no request is made.

    Raises:
        StorageError: The URL is not one.
    """
    fixed, pattern = split_glob(url)
    storage, path = connect(fixed, options)
    return storage, SourceRoot(path, pattern)


def _levels(below: str) -> tuple[str, ...]:
    return tuple(below.split("/")) if below else ()


def _covers(levels: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return True
    if pattern[0] == _ANY_DEPTH:
        return any(_covers(levels[start:], pattern[1:]) for start in range(len(levels) + 1))
    return bool(levels) and fnmatchcase(levels[0], pattern[0]) and _covers(levels[1:], pattern[1:])


def _leads(levels: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern or not levels or pattern[0] == _ANY_DEPTH:
        return True
    return fnmatchcase(levels[0], pattern[0]) and _leads(levels[1:], pattern[1:])
