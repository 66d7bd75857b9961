"""Divide the folders of a source, so that several processes find its runs."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.storage import Storage


def folders_to_divide(storage: Storage, path: str, fewest: int) -> list[str] | None:
    """Return the names of the folders directly in a folder that several processes can divide.

    None where there are fewer, where files are beside them, or where the folder is a run.

    Raises:
        StorageError: The folder could not be listed.
    """
    names = storage.folders(path)
    if names is None or len(names) < fewest or "series" in names:
        return None
    return names


def in_parts(names: Sequence[str], size: int) -> list[frozenset[str]]:
    """Return names some at a time, as `only` of `discover` takes them.

    The last part is empty: it is of the links in the folder itself.

    >>> [len(part) for part in in_parts(["a", "b", "c"], 2)]
    [2, 1, 0]
    """
    parts = [frozenset(names[first : first + size]) for first in range(0, len(names), size)]
    return [*parts, frozenset()]
