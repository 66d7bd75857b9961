"""Find out which paths lead to the same place on the disk."""

from __future__ import annotations

import os
import stat

from connectors.storage.addresses.location import Location


def locate(path: str, known: dict[str, Location]) -> Location:
    """Return where a path leads, links followed, by device and inode as far as there are any.

    Args:
        path: An absolute path; nothing need be there.
        known: What was found before; each folder is looked at once.
    """
    if path not in known:
        known[path] = _located(path, known)
    return known[path]


def _located(path: str, known: dict[str, Location]) -> Location:
    parent, name = os.path.split(path)
    above = () if parent == path else locate(parent, known).chain
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode) and (real := os.path.realpath(path)) != path:
            return locate(real, known)
    except OSError:  # nothing is there, or nothing that may be looked at
        return Location((f"{above[0] if above else ''}/{name}", *above))
    return Location((f"{status.st_dev}:{status.st_ino}", *above))
