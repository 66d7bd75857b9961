"""Expand patterns of URLs to the run directories and data files that they match."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from connectors.errors import NotFoundError
from connectors.storage import Storage, StorageOptions, connect, relative
from pipeline.config.path_template import format_of

_PATTERN = re.compile(r"[*?\[]")
_RUN_FILES = frozenset({"run.json", "manifest.json"})


def matching_urls(url: str, options: StorageOptions | None = None) -> list[str]:
    """Return the URLs that a pattern names, sorted; a URL without one is returned as it is.

    Args:
        url: Segments may hold `*`, `?` and `[...]`; `**` is any number of folders.
        options: Of the storage.

    Raises:
        NotFoundError: The pattern names nothing.
        StorageError: The folder before the pattern could not be listed.
    """
    found = _PATTERN.search(url)
    if found is None:
        return [url]
    base, _, _ = url[: found.start()].rpartition("/")
    pattern = url[len(base) :].lstrip("/")
    storage, path = connect(base or ("/" if url.startswith("/") else "."), options)
    segments = pattern.split("/")
    names = sorted(name for name in _names(storage, path) if _matches(name.split("/"), segments))
    if not names:
        raise NotFoundError(f"{url}: no run directory and no table matches this pattern", url=url)
    root = path.rstrip("/")
    return [storage.url(f"{root}/{name}") for name in names]


def _names(storage: Storage, path: str) -> Iterator[str]:
    """Run directories and data files below a folder, relative to it."""
    for folder in storage.walk(path):
        below = relative(folder.path, path)
        if below is None:
            continue
        files = [entry.path.rpartition("/")[2] for entry in folder.files]
        if below and not _RUN_FILES.isdisjoint(files):
            yield below
        for name in files:
            if format_of(name) is not None:
                yield f"{below}/{name}".lstrip("/")


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the segments of a name are those of a pattern."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[first:], pattern[1:]) for first in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
