"""Objects of an S3 listing, by folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from connectors.storage.contract import FileInfo, Folder
from connectors.storage.paths import is_safe_name, relative
from connectors.storage.staged_names import is_staged_name


class S3Listing:
    """Files of a listing, by folder.

    Args:
        root: The path of the walk.
    """

    def __init__(self, root: str) -> None:
        self.seen = False
        self._root = root
        self._files: dict[str, list[FileInfo]] = {}
        self._links: dict[str, list[str]] = {}

    def add(self, page: dict[str, Any]) -> None:
        """Take a page of the listing."""
        bucket = split_key(self._root)[0]
        for item in page.get("Contents", ()):
            self.add_item(bucket, item)

    def add_child(self, name: str) -> None:
        """Name a folder that no path can hold."""
        if not is_safe_name(name.removesuffix("/")):
            self.seen = True
            self._links.setdefault(self._root, []).append(name)

    def add_item(self, bucket: str, item: dict[str, Any]) -> None:
        """Take one object."""
        self.seen = True
        path = f"{bucket}/{item['Key']}"
        below = relative(path, self._root) or ""
        if path.endswith("/") and not item["Size"]:
            return  # A marker, made by consoles to show an empty folder.
        if not is_safe_name(below):
            folder, name = self._nearest(below)
            self._links.setdefault(folder, []).append(name)
            return
        folder, _, name = path.rpartition("/")
        if not is_staged_name(name):
            entry = FileInfo(path, int(item["Size"]), version_of(item))
            self._files.setdefault(folder, []).append(entry)

    def _nearest(self, below: str) -> tuple[str, str]:
        """Return the last good folder of a key that no path can hold, and the rest of the key."""
        folder = self._root
        rest = below
        while is_safe_name(rest.partition("/")[0]) and "/" in rest:
            head, _, rest = rest.partition("/")
            folder = f"{folder}/{head}"
        return folder, rest

    def folders(self) -> Iterator[Folder]:
        """Yield the folders of all that was taken, in their order."""
        for path in sorted({*self._files, *self._links}, key=lambda one: one.split("/")):
            files = sorted(self._files.get(path, ()), key=lambda entry: entry.path)
            yield Folder(path, tuple(files), tuple(sorted(self._links.get(path, ()))))


def split_key(path: str) -> tuple[str, str]:
    """Bucket and key of a path."""
    bucket, _, key = path.partition("/")
    return bucket, key


def version_of(answer: dict[str, Any]) -> str:
    """Return the ETag without its quotes, which some stores leave out of listings."""
    return str(answer.get("ETag", "")).strip('"')
