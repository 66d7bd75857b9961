"""Check and join the paths of storages."""

from __future__ import annotations

import re

from connectors.errors import StorageError

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line ends, and bytes that are not UTF-8: no descriptor can name them."""


def join(path: str, *names: str) -> str:
    """Return a path below `path`.

    Args:
        path: A storage's own path.
        names: Relative paths, appended one after the other.

    Raises:
        StorageError: A name is empty, absolute, climbs out, or holds what no file name should.

    >>> join("bucket/runs", "run_1", "series/a.csv")
    'bucket/runs/run_1/series/a.csv'
    >>> join("/", "tmp")
    '/tmp'
    """
    for name in names:
        if not is_safe_name(name):
            raise StorageError(
                f"{name!r} is not a plain relative path: give names between single slashes, "
                "without `.`, `..`, backslashes or control characters",
                url=path,
            )
    return "/".join((path.rstrip("/") if names else path, *names))


def is_safe_name(name: str) -> bool:
    """Return whether a relative path stays below its folder in every kind of store.

    >>> [is_safe_name(name) for name in ("a/b", "a//b", "../a", "/a")]
    [True, False, False, False]
    """
    if UNPRINTABLE.search(name) or "\\" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def relative(path: str, root: str) -> str | None:
    """Return the part of `path` below `root`, or None where it is not below.

    >>> relative("b/runs/x", "b/runs"), relative("b/runs", "b/runs"), relative("b/runs2", "b/runs")
    ('x', '', None)
    """
    root = root.rstrip("/")
    if path.rstrip("/") == root:
        return ""
    return path[len(root) + 1 :] if path.startswith(f"{root}/") else None
