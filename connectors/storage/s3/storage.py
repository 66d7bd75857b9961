"""S3, and what speaks its language, as a storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any

import s3fs

from connectors.errors import NotFoundError, StorageError
from connectors.storage.addresses.paths import is_safe_name, relative
from connectors.storage.contract import (
    Denied,
    Enter,
    Folder,
    StoreAccess,
    UnfinishedUpload,
    entered,
)
from connectors.storage.objects.client import StoredObject, key_prefix, split_key
from connectors.storage.objects.storage import ObjectStorage
from connectors.storage.options import session_arguments
from connectors.storage.s3.bulk import BulkReader
from connectors.storage.s3.client import S3Client
from connectors.storage.s3.failures import S3_FAILURES
from connectors.storage.s3.options import client_config, s3fs_options
from connectors.storage.staging.names import is_staged_name

_UPLOADS_UNKNOWN = frozenset({404, 405, 501})


class S3Storage(ObjectStorage):
    """Buckets of S3.

    s3fs holds the session: it knows every way to credentials. Whole objects are read through
    obstore, several times as fast for small ones, where the options allow.

    Args:
        options: The arguments of `s3fs.S3FileSystem`, in clear, with `region` as a short form.
        secrets: Texts that no message may show.
    """

    _client: S3Client

    def __init__(self, options: dict[str, Any], secrets: Iterable[str]) -> None:
        own = s3fs_options(options)
        self._fs = _filesystem(own, secrets)
        super().__init__("s3", S3Client(self._fs, own), secrets)
        self._bulk = BulkReader(self._fs, own, self._client, self._translated)

    def access(self, path: str) -> StoreAccess:
        """Return the URL, and the session's own way to the bucket.

        Raises:
            StorageError: There are no credentials, or the store failed.
        """
        try:
            options = self._bulk.access(split_key(path)[0])
        except Exception as failure:
            raise self._translated(failure, path, "connecting to") from failure
        return StoreAccess(self.url(path), options)

    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        """Through obstore where it knows all options, else through s3fs."""
        if len(paths) < 2 or not self._bulk.is_able:
            return super().read_many(paths)
        try:
            self._bulk.connect({split_key(one)[0] for one in paths})
        except Exception as failure:
            error = self._translated(failure, paths[0], "connecting to")
            return [error for _ in paths]
        return self._bulk.read(paths)

    def folders(self, path: str) -> list[str] | None:
        """By a listing with a delimiter; None where a name is one that no path can hold."""
        bucket, prefix = key_prefix(path)
        names: list[str] = []
        for page in self._pages(bucket, prefix, delimiter=True):
            files = (one.key[len(prefix) :] for one in page.objects)
            if any(name and not is_staged_name(name) for name in files):
                return None
            names += (one[len(prefix) :].removesuffix("/") for one in page.prefixes)
        return names if all(map(is_safe_name, names)) else None

    def walk_some(
        self,
        path: str,
        names: Set[str],
        *,
        enter: Enter | None = None,
        denied: Denied | None = None,
    ) -> Iterator[Folder]:
        """Yield from a flat listing of the keys from the first of the folders to the last."""
        found = self._walk_children(path, self._items_of(path, names)) if names else ()
        wanted = (one for one in found if one.path[len(path) + 1 :].partition("/")[0] in names)
        return entered(wanted, path, enter)

    def _items_of(self, path: str, names: Set[str]) -> Iterator[StoredObject]:
        bucket, prefix = key_prefix(path)
        below = sorted(f"{prefix}{name}/" for name in names)
        first, last = below[0], f"{below[-1]}\U0010ffff"
        try:
            for page in self._client.listing(bucket, prefix, delimiter=False, after=first):
                for item in page.objects:
                    if item.key > last:
                        return
                    if item.key >= first:  # Some stores list from the beginning all the same.
                        yield item
        except Exception as failure:
            raise self._translated(failure, path, "listing") from failure

    def unfinished_uploads(self, path: str) -> list[UnfinishedUpload]:
        """From the bucket's list of uploads; a store without such a list is taken to have none."""
        try:
            found = list(self._client.uploads(*split_key(path)))
        except Exception as failure:
            if self.failures.status(failure) in _UPLOADS_UNKNOWN:
                return []
            raise self._translated(failure, path, "listing uploads to") from failure
        return [upload for upload in found if relative(upload.path, path) is not None]

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """By its id, so that no other upload to the same key is concerned."""
        try:
            self._client.abort(upload)
        except Exception as failure:
            error = self._translated(failure, upload.path, "aborting an upload to")
            if not isinstance(error, NotFoundError):
                raise error from failure


def open_storage(protocol: str, options: dict[str, Any], secrets: Iterable[str]) -> S3Storage:
    """Return a storage for `s3://` URLs."""
    return S3Storage(options, secrets)


def _filesystem(options: dict[str, Any], secrets: Iterable[str]) -> Any:
    wanted = {**options, "config_kwargs": client_config(options)}
    try:
        return s3fs.S3FileSystem(**session_arguments(wanted))
    except (TypeError, ValueError, KeyError) as failure:
        raise S3_FAILURES.translate(failure, "s3://", "connecting to", secrets) from failure
