"""S3, and what speaks its language, as a storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import s3fs

from connectors.errors import ConflictError, NotFoundError, StorageError
from connectors.storage.contract import (
    Denied,
    Enter,
    FileInfo,
    Folder,
    Mark,
    StagedFile,
    StoreAccess,
    entered,
)
from connectors.storage.paths import is_safe_name
from connectors.storage.remote import RemoteStorage
from connectors.storage.s3.bulk import BulkReader
from connectors.storage.s3.failures import S3_FAILURES
from connectors.storage.s3.listing import S3Listing, split_key, version_of
from connectors.storage.s3.options import client_config, request_fields, s3fs_options
from connectors.storage.s3.requests import S3Requests
from connectors.storage.s3.upload import PartedUpload, needs_parts
from connectors.storage.staged_names import is_abandoned


class S3Storage(RemoteStorage):
    """Buckets and keys, taken literally; paths are `bucket/key`.

    s3fs holds the session: it knows every way to credentials. Whole objects are read through
    obstore, several times as fast for small ones, where the options allow.

    Args:
        options: The arguments of `s3fs.S3FileSystem`, in clear, with `region` as a short form.
        secrets: Texts that no message may show.
    """

    failures = S3_FAILURES

    def __init__(self, options: dict[str, Any], secrets: Iterable[str]) -> None:
        super().__init__("s3", secrets)
        self._options = s3fs_options(options)
        try:
            self._fs: Any = s3fs.S3FileSystem(
                **{
                    **self._options,
                    "config_kwargs": client_config(self._options),
                    "use_listings_cache": False,
                    "skip_instance_cache": True,
                }
            )
        except (TypeError, ValueError, KeyError) as failure:
            raise self._translated(failure, "", "connecting to") from failure
        self._requests = S3Requests(self._fs, request_fields(self._options))
        self._bulk = BulkReader(self._fs, self._options, self._requests, self._translated)

    def url(self, path: str) -> str:
        """`s3://bucket/key`."""
        return f"s3://{path}"

    def access(self, path: str) -> StoreAccess:
        """Return the URL, and the session's own way to the bucket.

        Raises:
            StorageError: There are no credentials, or the store failed.
        """
        try:
            options = self._bulk.access(path.partition("/")[0])
        except Exception as failure:
            raise self._translated(failure, path, "connecting to") from failure
        return StoreAccess(self.url(path), options)

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
        bucket, prefix = _prefix(path)
        top = S3Listing(path)
        children = 0
        for page in self._pages(bucket, prefix, delimiter=True):
            for child in page.get("CommonPrefixes", ()):
                children += 1
                top.add_child(child["Prefix"][len(prefix) :])
            top.add(page)
        if not (top.seen or children or not prefix):
            self._refuse_walk(path)
        yield from top.folders()
        if children:
            yield from self._walk_children(path, bucket, prefix)

    def _walk_children(self, path: str, bucket: str, prefix: str) -> Iterator[Folder]:
        done: set[str] = set()
        child: str | None = None
        gathered = S3Listing(path)
        for item in self._items(bucket, prefix):
            head, found, _ = item["Key"][len(prefix) :].partition("/")
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
                gathered, child = S3Listing(path), head
            gathered.add_item(bucket, item)
        yield from gathered.folders()

    def info(self, path: str) -> FileInfo | None:
        """By HEAD."""
        try:
            answer = self._requests.of(path, "head_object")
        except Exception as failure:
            error = self._translated(failure, path, "looking for")
            # A HEAD's 404 has no body that distinguishes a missing bucket from a missing key.
            if isinstance(error, NotFoundError):
                return None
            raise error from failure
        return FileInfo(path, int(answer["ContentLength"]), version_of(answer))

    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """In one request, its length compared with what the store announced."""
        if end is not None and end <= start:
            return b""
        try:
            return self._requests.get(path, start, end)[0]
        except Exception as failure:
            if S3_FAILURES.status(failure) == 416:
                return b""
            raise self._translated(failure, path, "reading") from failure

    def read_many(self, paths: Sequence[str]) -> list[bytes | StorageError]:
        """Through obstore where the options can be said to it, else through s3fs."""
        if len(paths) < 2 or not self._bulk.is_able:
            return super().read_many(paths)
        try:
            self._bulk.connect({split_key(one)[0] for one in paths})
        except Exception as failure:
            error = self._translated(failure, paths[0], "connecting to")
            return [error for _ in paths]
        return self._bulk.read(paths)

    def stage(self, path: str) -> StagedFile:
        """Stage a file; the path needs a key besides the bucket."""
        if not split_key(path)[1]:
            raise StorageError(
                f"writing {self.url(path)}: this is a bucket: name a file in it",
                url=self.url(path),
            )
        return super().stage(path)

    def delete(self, path: str) -> None:
        """S3 does not say whether there was an object."""
        try:
            self._requests.of(path, "delete_object")
        except Exception as failure:
            error = self._translated(failure, path, "deleting")
            if not isinstance(error, NotFoundError):
                raise error from failure

    def commit_over(self, staged: StagedFile, before: FileInfo | None) -> None:
        """By a put on the condition that the ETag is still the one that was seen.

        Stores that know no conditions take it for a plain put: there the look just before counts.
        """
        if self.info(staged.target) != before:
            raise self._conflict(staged.target)
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": f'"{before.version}"'}
        if needs_parts(self._staged_bytes(staged)) or (before is not None and not before.version):
            super().commit_over(staged, before)
            return
        body = staged.local.read_bytes()
        try:
            self._requests.put(staged.target, body, **condition)
        except Exception as failure:
            if S3_FAILURES.status(failure) == 501:  # It says that it knows no conditions.
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
        if S3_FAILURES.status(failure) not in (404, 409, 412):
            return self._translated(failure, path, "writing")
        return self._conflict(path)

    def _conflict(self, path: str) -> ConflictError:
        return ConflictError(
            f"writing {self.url(path)}: another exporter has written it meanwhile",
            url=self.url(path),
        )

    def sends_in_parts(self, size: int) -> bool:
        """Above 16 MiB."""
        return needs_parts(size)

    def marks(self, folder: str, prefix: str) -> list[Mark]:
        """By the beginning of their keys."""
        bucket, start = _prefix(folder)
        return [
            Mark(f"{bucket}/{item['Key']}", item["LastModified"].timestamp())
            for page in self._pages(bucket, f"{start}{prefix}", delimiter=True)
            for item in page.get("Contents", ())
        ]

    def abort_uploads(self, paths: Sequence[str], since: float) -> list[str]:
        """Abort uploads of these paths; stores that cannot list uploads are taken to have none."""
        removed = []
        for path in paths:
            for upload in self._uploads(path):
                if upload["Initiated"].timestamp() >= since:
                    with suppress(NotFoundError):
                        self._abort(path, upload["UploadId"])
                        removed.append(self.url(path))
        return removed

    def _uploads(self, path: str) -> list[dict[str, Any]]:
        bucket, key = split_key(path)
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": key}
        found: list[dict[str, Any]] = []
        while True:
            try:
                page = self._requests.call("list_multipart_uploads", **wanted)
            except Exception as failure:
                if S3_FAILURES.status(failure) in (404, 405, 501):
                    return found
                raise self._translated(failure, path, "listing uploads to") from failure
            found += [one for one in page.get("Uploads", ()) if one["Key"] == key]
            if not page.get("IsTruncated"):
                return found
            wanted |= {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def abandoned(self, path: str) -> list[Mark]:
        """From one flat listing."""
        bucket, prefix = _prefix(path)
        return [
            Mark(f"{bucket}/{item['Key']}", item["LastModified"].timestamp())
            for item in self._items(bucket, prefix)
            if is_abandoned(item["Key"].rpartition("/")[2], item["LastModified"].timestamp())
        ]

    def _abort(self, path: str, upload: str) -> None:
        try:
            self._requests.of(path, "abort_multipart_upload", UploadId=upload)
        except Exception as failure:
            raise self._translated(failure, path, "giving up an upload to") from failure

    def check_list(self, path: str) -> None:
        """List one key."""
        bucket, prefix = _prefix(path)
        try:
            page = self._requests.call("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
        except Exception as failure:
            raise self._translated(failure, path, "listing") from failure
        if prefix and not page.get("Contents"):
            self._refuse_walk(path)

    # ----------------------------------------------------------------------- listing

    def _pages(self, bucket: str, prefix: str, *, delimiter: bool) -> Iterator[dict[str, Any]]:
        try:
            yield from self._requests.listing(bucket, prefix, delimiter=delimiter)
        except Exception as failure:
            raise self._translated(failure, f"{bucket}/{prefix}", "listing") from failure

    def _items(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self._pages(bucket, prefix, delimiter=False):
            yield from page.get("Contents", ())

    # ----------------------------------------------------------------------- writing

    def _store(self) -> str:
        endpoint = self._options.get("endpoint_url")
        if endpoint is None:
            endpoint = self._options.get("client_kwargs", {}).get("endpoint_url")
        return f"s3:{endpoint or ''}".rstrip("/").lower()

    def _range(self, entry: FileInfo, start: int, stop: int) -> bytes | None:
        try:
            block, version = self._requests.get(entry.path, start, stop, version=entry.version)
        except Exception as failure:
            raise self._translated(failure, entry.path, "reading") from failure
        # Some stores ignore the condition, so it is looked at here as well.
        return block if version == entry.version else None

    def _publish(self, staged: StagedFile, size: int) -> None:
        try:
            if needs_parts(size):
                PartedUpload(self._requests, staged, size, self.info).send()
            else:
                self._requests.put(staged.target, staged.local.read_bytes())
        except Exception as failure:
            raise self._translated(failure, staged.target, "writing") from failure


# --------------------------------------------------------------------------- keys and listings


def open_storage(protocol: str, options: dict[str, Any], secrets: Iterable[str]) -> S3Storage:
    """Return a storage for `s3://` URLs."""
    return S3Storage(options, secrets)


def _prefix(path: str) -> tuple[str, str]:
    bucket, key = split_key(path)
    return bucket, f"{key}/" if key else ""
