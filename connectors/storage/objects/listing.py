"""Group the objects of a listing by folder."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.storage.addresses.paths import is_safe_name, relative
from connectors.storage.contract import FileInfo, Folder
from connectors.storage.objects.client import ListingPage, StoredObject, split_key
from connectors.storage.staging.names import is_staged_name


class FolderListing:
    """Files of a listing, by folder.

    Args:
        root: The path of the walk.
    """

    def __init__(self, root: str) -> None:
        self.seen = False
        self._root = root
        self._files: dict[str, list[FileInfo]] = {}
        self._links: dict[str, list[str]] = {}

    def add(self, page: ListingPage) -> None:
        """Take a page of the listing."""
        bucket = split_key(self._root)[0]
        for item in page.objects:
            self.add_item(bucket, item)

    def add_child(self, name: str) -> None:
        """Name a folder that no path can hold."""
        if not is_safe_name(name.removesuffix("/")):
            self.seen = True
            self._links.setdefault(self._root, []).append(name)

    def add_item(self, bucket: str, item: StoredObject) -> None:
        """Take one object."""
        self.seen = True
        path = f"{bucket}/{item.key}"
        below = relative(path, self._root) or ""
        if path.endswith("/") and not item.size:
            return  # A marker, made by consoles to show an empty folder.
        if not is_safe_name(below):
            folder, name = self._nearest(below)
            self._links.setdefault(folder, []).append(name)
            return
        folder, _, name = path.rpartition("/")
        if not is_staged_name(name):
            entry = FileInfo(path, item.size, item.version)
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
