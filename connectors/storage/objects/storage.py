"""Buckets and keys as a storage, over the client of any object store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.errors import ConflictError, NotFoundError, StorageError
from connectors.storage.addresses.paths import is_safe_name
from connectors.storage.contract import Denied, Enter, FileInfo, Folder, Mark, StagedFile, entered
from connectors.storage.objects.client import (
    ABSENT,
    ListingPage,
    ObjectClient,
    StoredObject,
    key_prefix,
    split_key,
)
from connectors.storage.objects.listing import FolderListing
from connectors.storage.remote import RemoteStorage
from connectors.storage.staging.names import is_abandoned

_NOT_REPLACED = frozenset({404, 409, 412})
_CONDITIONS_UNKNOWN = 501
_RANGE_BEHIND_THE_END = 416


class ObjectStorage(RemoteStorage):
    """Objects, their keys taken literally; paths are `bucket/key`.

    Args:
        protocol: The protocol of its URLs.
        client: Makes the requests.
        secrets: Texts that no message may show.
    """

    def __init__(self, protocol: str, client: ObjectClient, secrets: Iterable[str]) -> None:
        super().__init__(protocol, secrets)
        self.failures = client.failures
        self._client = client

    def url(self, path: str) -> str:
        """`protocol://bucket/key`."""
        return f"{self.protocol}://{path}"

    def walk(
        self, path: str, *, enter: Enter | None = None, denied: Denied | None = None
    ) -> Iterator[Folder]:
        """Yield from one flat listing, which is permitted as a whole or not at all."""
        return entered(self._walk(path), path, enter)

    def _walk(self, path: str) -> Iterator[Folder]:
        """Yield the folders of one flat listing, child by child of `path`, in bounded memory.

        The files of `path` itself are listed first, because in the order of keys they may come
        last, and a folder is to come before those below it.
        """
        bucket, prefix = key_prefix(path)
        top = FolderListing(path)
        children = 0
        for page in self._pages(bucket, prefix, delimiter=True):
            for child in page.prefixes:
                children += 1
                top.add_child(child[len(prefix) :])
            top.add(page)
        if not (top.seen or children or not prefix):
            self._refuse_walk(path)
        yield from top.folders()
        if children:
            yield from self._walk_children(path, self._items(bucket, prefix))

    def _walk_children(self, path: str, items: Iterable[StoredObject]) -> Iterator[Folder]:
        """Yield the folders of objects below the children of `path`, in the order of keys."""
        bucket, prefix = key_prefix(path)
        done: set[str] = set()
        child: str | None = None
        gathered = FolderListing(path)
        for item in items:
            head, found, _ = item.key[len(prefix) :].partition("/")
            if not found or not is_safe_name(head):
                continue
            if head != child:
                yield from gathered.folders()
                if child is not None:
                    done.add(child)
                if head in done:
                    raise StorageError(
                        f"listing {self.url(path)}: the store does not list in the order of keys; "
                        "directory buckets are not supported",
                        url=self.url(path),
                    )
                gathered, child = FolderListing(path), head
            gathered.add_item(bucket, item)
        yield from gathered.folders()

    def info(self, path: str) -> FileInfo | None:
        """By one request for the object's properties."""
        try:
            return self._client.head(path)
        except Exception as failure:
            error = self._translated(failure, path, "looking for")
            # Not every store distinguishes here a missing bucket from a missing key.
            if isinstance(error, NotFoundError):
                return None
            raise error from failure

    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """In one request, its length compared with what the store announced."""
        if end is not None and end <= start:
            return b""
        try:
            return self._client.get(path, start, end)[0]
        except Exception as failure:
            if self.failures.status(failure) == _RANGE_BEHIND_THE_END:
                return b""
            raise self._translated(failure, path, "reading") from failure

    def stage(self, path: str) -> StagedFile:
        """Stage a file; the path needs a key besides the bucket."""
        if not split_key(path)[1]:
            raise StorageError(
                f"writing {self.url(path)}: this is a {self.failures.container}: name a file in it",
                url=self.url(path),
            )
        return super().stage(path)

    def delete(self, path: str) -> None:
        """Remove an object; not every store says whether there was one."""
        try:
            self._client.delete(path)
        except Exception as failure:
            error = self._translated(failure, path, "deleting")
            if not isinstance(error, NotFoundError):
                raise error from failure

    def commit_over(self, staged: StagedFile, before: FileInfo | None) -> None:
        """By a put on the condition that the version is still the one that was seen.

        Stores that know no conditions take it for a plain put: there the look just before counts.
        """
        if self.info(staged.target) != before:
            raise self._conflict(staged.target)
        if self._client.needs_parts(self._staged_bytes(staged)) or (before and not before.version):
            super().commit_over(staged, before)
            return
        body = staged.local.read_bytes()
        try:
            expected = ABSENT if before is None else before.version
            self._client.put(staged.target, body, expected=expected)
        except Exception as failure:
            if self.failures.status(failure) == _CONDITIONS_UNKNOWN:
                super().commit_over(staged, before)
            elif not self._holds(staged.target, body):
                raise self._refused(failure, staged.target) from failure
        self.discard(staged)

    def _holds(self, path: str, body: bytes) -> bool:
        """Return whether the stored bytes are ours although the answer was lost or a conflict."""
        try:
            return self.read(path) == body
        except StorageError:
            return False

    def _refused(self, failure: Exception, path: str) -> StorageError:
        if self.failures.status(failure) not in _NOT_REPLACED:
            return self._translated(failure, path, "writing")
        return self._conflict(path)

    def _conflict(self, path: str) -> ConflictError:
        return ConflictError(
            f"writing {self.url(path)}: another exporter has written it meanwhile",
            url=self.url(path),
        )

    def sends_in_parts(self, size: int) -> bool:
        """Large files, by the client's measure."""
        return self._client.needs_parts(size)

    def marks(self, folder: str, prefix: str) -> list[Mark]:
        """By the beginning of their keys."""
        bucket, start = key_prefix(folder)
        return [
            Mark(f"{bucket}/{item.key}", item.modified)
            for page in self._pages(bucket, f"{start}{prefix}", delimiter=True)
            for item in page.objects
        ]

    def abandoned(self, path: str) -> list[Mark]:
        """From one flat listing."""
        bucket, prefix = key_prefix(path)
        return [
            Mark(f"{bucket}/{item.key}", item.modified)
            for item in self._items(bucket, prefix)
            if is_abandoned(item.key.rpartition("/")[2], item.modified)
        ]

    def check_list(self, path: str) -> None:
        """List one key."""
        bucket, prefix = key_prefix(path)
        page = next(self._pages(bucket, prefix, delimiter=False, most=1), None)
        if prefix and not (page and page.objects):
            self._refuse_walk(path)

    def _pages(
        self, bucket: str, prefix: str, *, delimiter: bool, most: int | None = None
    ) -> Iterator[ListingPage]:
        try:
            yield from self._client.listing(bucket, prefix, delimiter=delimiter, most=most)
        except Exception as failure:
            raise self._translated(failure, f"{bucket}/{prefix}", "listing") from failure

    def _items(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        for page in self._pages(bucket, prefix, delimiter=False):
            yield from page.objects

    def _store(self) -> str:
        return self._client.store

    def _range(self, entry: FileInfo, start: int, stop: int) -> bytes | None:
        try:
            block, version = self._client.get(entry.path, start, stop, version=entry.version)
        except Exception as failure:
            raise self._translated(failure, entry.path, "reading") from failure
        # Some stores ignore the condition, so it is looked at here as well.
        return block if version == entry.version else None

    def _publish_stored(self, file: FileInfo, target: str) -> None:
        """Have the store copy it; through this machine where it does not copy such a file."""
        if file.size <= self._client.most_copied_bytes:
            try:
                self._client.copy(file, target)
            except Exception as failure:
                known = self.failures.diagnose(failure)
                if known is None or known.is_transient:
                    raise self._translated(failure, target, "writing") from failure
                # The store refuses it: it copies no such files, or this one is not what it was.
                self._refuse_other(file, target, failure)
            else:
                return
        super()._publish_stored(file, target)

    def _refuse_other(self, file: FileInfo, target: str, failure: Exception) -> None:
        """Raise an error where a file that was to be copied is not what it was."""
        if self.info(file.path) != file:
            raise StorageError(
                f"writing {self.url(target)}: its content, which was stored as "
                f"{self.url(file.path)}, has been removed or replaced there: run the export again",
                url=self.url(target),
            ) from failure

    def _publish(self, staged: StagedFile, size: int) -> None:
        try:
            if self._client.needs_parts(size):
                self._client.send(staged.target, staged.local, size)
            else:
                self._client.put(staged.target, staged.local.read_bytes())
        except Exception as failure:
            raise self._translated(failure, staged.target, "writing") from failure
