"""S3, and what speaks its language, as a storage."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import s3fs

from connectors.errors import ChangedError, ConflictError, NotFoundError, StorageError
from connectors.storage.contract import (
    Entry,
    Folder,
    Mark,
    StagedFile,
    is_abandoned,
    is_safe_name,
)
from connectors.storage.remote import RemoteStorage
from connectors.storage.retry import is_silence, retrying, wait_for
from connectors.storage.s3_bulk import BulkReader
from connectors.storage.s3_listing import S3Listing, split_key, version_of

PART_BYTES = 16 * 1024 * 1024
"""Larger files are sent in parts of at least this size."""
JOINED_BYTES_PER_SECOND = 32 * 1024 * 1024
"""Some stores copy the parts of an upload into one file, at the speed of a disk."""
MOST_JOINING_SECONDS = 60.0
"""More time than this is not given to them, once they have been silent."""
GIVING_UP_SECONDS = 5.0
"""Giving up an upload that failed may take this; what is not given up now is later."""
SILENCE_SECONDS = 30.0
"""A store that says nothing for so long has not answered."""
_LOOK_SECONDS = 1.0
_MOST_PARTS = 10_000
_SENDERS = 4
_ALIASES = {"username": "key", "password": "secret"}

_T = TypeVar("_T")


class S3Storage(RemoteStorage):
    """Buckets and keys, taken literally; paths are `bucket/key`.

    s3fs holds the session: it knows every way to credentials. Its requests are called by name,
    as its paths take `?versionId=` and glob characters for more than text. Whole objects are read
    through obstore, several times as fast for small ones, where the options allow.

    Args:
        options: The arguments of `s3fs.S3FileSystem`, in clear, with `region` as a short form.
        secrets: Texts that no message may show.
    """

    def __init__(self, options: dict[str, Any], secrets: Iterable[str]) -> None:
        super().__init__("s3", secrets)
        self._options = _s3fs_options(options)
        try:
            self._fs: Any = s3fs.S3FileSystem(
                use_listings_cache=False,
                skip_instance_cache=True,
                **{**self._options, "config_kwargs": _client_config(self._options)},
            )
        except (TypeError, ValueError, KeyError) as failure:
            raise self._translated(failure, "", "connecting to") from failure
        self._fs.retries = 1  # The tries are counted in one place, here.
        self._bulk = BulkReader(self._fs, self._options, self.url, self._translated)

    def url(self, path: str) -> str:
        """`s3://bucket/key`."""
        return f"s3://{path}"

    def walk(self, path: str) -> Iterator[Folder]:
        """One flat listing, handed on child by child of `path`, as memory must not grow with it.

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

    def info(self, path: str) -> Entry | None:
        """By HEAD."""
        try:
            answer = self._request("head_object", path)
        except Exception as failure:
            error = self._translated(failure, path, "looking for")
            # A HEAD's 404 has no body to tell a missing bucket from a missing key.
            if isinstance(error, NotFoundError):
                return None
            raise error from failure
        return Entry(path, int(answer["ContentLength"]), version_of(answer))

    def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """In one request, its length compared with what the store announced."""
        if end is not None and end <= start:
            return b""
        try:
            return self._get(path, start, end)[0]
        except Exception as failure:
            if _status(failure) == 416:
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

    def blocks(self, path: str, block_bytes: int) -> Iterator[bytes]:
        """Range after range, each on the condition that the ETag is the first one's."""
        entry = self.info(path)
        if entry is None:
            raise NotFoundError(
                f"reading {self.url(path)}: nothing is stored there", url=self.url(path)
            )
        for start in range(0, entry.size, block_bytes):
            stop = min(start + block_bytes, entry.size)
            try:
                block, version = self._get(path, start, stop, version=entry.version)
            except Exception as failure:
                raise self._translated(failure, path, "reading") from failure
            # Some stores ignore the condition, so it is looked at here as well.
            if version != entry.version or len(block) != stop - start:
                raise ChangedError(
                    f"reading {self.url(path)}: it changed while it was being read: "
                    "try again when it is at rest",
                    url=self.url(path),
                )
            yield block

    def stage(self, path: str) -> StagedFile:
        """A key needs a bucket before it."""
        if not split_key(path)[1]:
            raise StorageError(
                f"writing {self.url(path)}: this is a bucket: name a file in it",
                url=self.url(path),
            )
        return super().stage(path)

    def delete(self, path: str) -> None:
        """S3 does not say whether there was an object."""
        try:
            self._request("delete_object", path)
        except Exception as failure:
            error = self._translated(failure, path, "deleting")
            if not isinstance(error, NotFoundError):
                raise error from failure

    def commit_over(self, staged: StagedFile, before: Entry | None) -> None:
        """By a put on the condition that the ETag is still the one that was seen.

        Stores that know no conditions take it for a plain put: there the look just before counts.
        """
        if self.info(staged.target) != before:
            raise self._conflict(staged.target)
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": f'"{before.version}"'}
        if self._staged_bytes(staged) > PART_BYTES or (before is not None and not before.version):
            super().commit_over(staged, before)
            return
        body = staged.local.read_bytes()
        try:
            self._put(staged.target, body, **condition)
        except Exception as failure:
            if _status(failure) == 501:  # It says that it knows no conditions.
                super().commit_over(staged, before)
            elif not self._holds(staged.target, body):
                raise self._refused(failure, staged.target) from failure
        self.discard(staged)

    def _holds(self, path: str, body: bytes) -> bool:
        """Whether a put whose answer was lost, or spoke of another's, was ours all the same."""
        try:
            return self.read(path) == body
        except StorageError:
            return False

    def _refused(self, failure: Exception, path: str) -> StorageError:
        if _status(failure) not in (404, 409, 412):
            return self._translated(failure, path, "writing")
        return self._conflict(path)

    def _conflict(self, path: str) -> ConflictError:
        return ConflictError(
            f"writing {self.url(path)}: another exporter has written it meanwhile",
            url=self.url(path),
        )

    def sends_in_parts(self, size: int) -> bool:
        """Above 16 MiB."""
        return size > PART_BYTES

    def marks(self, folder: str, prefix: str) -> list[Mark]:
        """By the beginning of their keys."""
        bucket, start = _prefix(folder)
        return [
            Mark(f"{bucket}/{item['Key']}", item["LastModified"].timestamp())
            for page in self._pages(bucket, f"{start}{prefix}", delimiter=True)
            for item in page.get("Contents", ())
        ]

    def abort_uploads(self, paths: Sequence[str], since: float) -> list[str]:
        """Stores that cannot list uploads are taken to have none."""
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
                page = self._call("list_multipart_uploads", **wanted)
            except Exception as failure:
                if _status(failure) in (404, 405, 501):
                    return found
                raise self._translated(failure, path, "listing uploads to") from failure
            found += [one for one in page.get("Uploads", ()) if one["Key"] == key]
            if not page.get("IsTruncated"):
                return found
            wanted |= {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def _abandoned(self, path: str) -> list[Mark]:
        bucket, prefix = _prefix(path)
        return [
            Mark(f"{bucket}/{item['Key']}", item["LastModified"].timestamp())
            for item in self._items(bucket, prefix)
            if is_abandoned(item["Key"].rpartition("/")[2], item["LastModified"].timestamp())
        ]

    def _abort(self, path: str, upload: str) -> None:
        try:
            self._request("abort_multipart_upload", path, UploadId=upload)
        except Exception as failure:
            raise self._translated(failure, path, "giving up an upload to") from failure

    def check_list(self, path: str) -> None:
        """The first key is enough."""
        bucket, prefix = _prefix(path)
        if not self._list(path, Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents") and prefix:
            self._refuse_walk(path)

    # ----------------------------------------------------------------------- requests

    def _wait(self, work: Coroutine[Any, Any, _T], seconds: float | None) -> _T:
        return wait_for(self._fs.loop, work, seconds)

    def _request(
        self,
        method: str,
        path: str,
        *,
        transfer_bytes: int = 0,
        seconds: float | None = None,
        **more: Any,
    ) -> Any:
        bucket, key = split_key(path)
        return retrying(
            lambda left: self._wait(
                self._fs._call_s3(method, Bucket=bucket, Key=key, **more), left
            ),
            transfer_bytes=transfer_bytes,
            seconds=seconds,
        )

    def _call(self, method: str, **more: Any) -> Any:
        return retrying(lambda seconds: self._wait(self._fs._call_s3(method, **more), seconds))

    def _get(
        self, path: str, start: int, end: int | None, *, version: str | None = None
    ) -> tuple[bytes, str]:
        """Bytes with their version."""
        bucket, key = split_key(path)
        wanted: dict[str, str] = {}
        if start or end is not None:
            wanted["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if version:
            wanted["IfMatch"] = f'"{version}"'

        async def attempt() -> tuple[bytes, str]:
            answer = await self._fs._call_s3("get_object", Bucket=bucket, Key=key, **wanted)
            async with answer["Body"] as body:
                data = await body.read()
            if len(data) != answer["ContentLength"]:
                raise ConnectionError("the answer was cut off")
            return data, version_of(answer)

        transfer_bytes = 0 if end is None else end - start
        return retrying(
            lambda seconds: self._wait(attempt(), seconds), transfer_bytes=transfer_bytes
        )

    # ----------------------------------------------------------------------- listing

    def _list(self, path: str, **wanted: Any) -> dict[str, Any]:
        try:
            page: dict[str, Any] = retrying(
                lambda seconds: self._wait(self._fs._call_s3("list_objects_v2", **wanted), seconds)
            )
        except Exception as failure:
            raise self._translated(failure, path, "listing") from failure
        return page

    def _pages(self, bucket: str, prefix: str, *, delimiter: bool) -> Iterator[dict[str, Any]]:
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        if delimiter:
            wanted["Delimiter"] = "/"
        while True:
            page = self._list(f"{bucket}/{prefix}", **wanted)
            yield page
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def _items(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self._pages(bucket, prefix, delimiter=False):
            yield from page.get("Contents", ())

    def _refuse_walk(self, path: str) -> None:
        file = self.info(path) is not None
        kind = "this is a file, not a folder" if file else "nothing is there"
        raise NotFoundError(
            f"listing {self.url(path)}: {kind}: correct the URL", url=self.url(path)
        )

    # ----------------------------------------------------------------------- writing

    def _publish(self, staged: StagedFile, size: int) -> None:
        try:
            if not self.sends_in_parts(size):
                self._put(staged.target, staged.local.read_bytes())
            else:
                self._publish_parts(staged, size)
        except Exception as failure:
            raise self._translated(failure, staged.target, "writing") from failure

    def _put(self, path: str, body: bytes, **more: Any) -> None:
        self._request(
            "put_object", path, transfer_bytes=len(body), Body=body, ContentMD5=_md5(body), **more
        )

    def _publish_parts(self, staged: StagedFile, size: int) -> None:
        target = staged.target
        upload = self._request("create_multipart_upload", target)["UploadId"]
        try:
            step = max(PART_BYTES, -(-size // _MOST_PARTS))
            starts = range(0, size, step)
            with ThreadPoolExecutor(_SENDERS) as pool:
                jobs = [
                    pool.submit(self._send_part, staged, upload, number, start, step)
                    for number, start in enumerate(starts, start=1)
                ]
                try:
                    parts = [job.result() for job in jobs]
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
            self._complete(target, upload, parts, size)
        except BaseException:
            # Nobody sees the parts of an upload that is not complete, but they are paid for.
            # The failure to report is the one that led here.
            with suppress(Exception):
                self._request(
                    "abort_multipart_upload", target, seconds=GIVING_UP_SECONDS, UploadId=upload
                )
            raise

    def _send_part(
        self, staged: StagedFile, upload: str, number: int, start: int, step: int
    ) -> dict[str, Any]:
        with staged.local.open("rb") as file:
            file.seek(start)
            body = file.read(step)
        answer = self._request(
            "upload_part",
            staged.target,
            transfer_bytes=len(body) * _SENDERS,
            UploadId=upload,
            PartNumber=number,
            Body=body,
            ContentMD5=_md5(body),
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _complete(self, target: str, upload: str, parts: list[dict[str, Any]], size: int) -> None:
        try:
            self._request(
                "complete_multipart_upload",
                target,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except Exception as failure:
            # The answer of an earlier try was lost: the upload is gone because it is complete.
            # Or there is none yet, as the store is still joining the parts.
            joining = min(size / JOINED_BYTES_PER_SECOND, MOST_JOINING_SECONDS)
            until = time.monotonic() + (joining if is_silence(failure) else 0)
            while not self._is_joined(target, parts):
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_SECONDS)

    def _is_joined(self, target: str, parts: list[dict[str, Any]]) -> bool:
        try:
            found = self.info(target)
        except StorageError:
            return False
        return found is not None and found.version == _multipart_etag(parts)


# --------------------------------------------------------------------------- keys and listings


def open_storage(protocol: str, options: dict[str, Any], secrets: Iterable[str]) -> S3Storage:
    """A storage for `s3://` URLs."""
    return S3Storage(options, secrets)


def _s3fs_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options in s3fs' own words; a region belongs to its client."""
    own = {_ALIASES.get(name, name): value for name, value in options.items()}
    region = own.pop("region", None) or own.pop("region_name", None)
    own.pop("region_name", None)
    own.pop("protocol", None)
    if region:
        own["client_kwargs"] = {"region_name": region, **own.get("client_kwargs", {})}
    return {name: value for name, value in own.items() if value is not None}


def _client_config(options: dict[str, Any]) -> dict[str, Any]:
    """Timeouts in seconds, and no tries but ours."""
    config = {
        "connect_timeout": 10,
        "read_timeout": SILENCE_SECONDS,
        "max_pool_connections": 64,
        # Newer checksums are unknown to many stores; each upload carries an MD5 digest instead.
        "request_checksum_calculation": "when_required",
        **options.get("config_kwargs", {}),
    }
    return {**config, "retries": {"total_max_attempts": 1, "mode": "standard"}}


def _prefix(path: str) -> tuple[str, str]:
    bucket, key = split_key(path)
    return bucket, f"{key}/" if key else ""


def _status(failure: BaseException) -> int | None:
    response = getattr(failure.__cause__, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None if status is None else int(status)


def _md5(body: bytes) -> str:
    """For the store to compare with what arrived; nothing is kept safe by it."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _multipart_etag(parts: list[dict[str, Any]]) -> str:
    """What S3 calls an object made of these parts; empty where the store has other names."""
    try:
        digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
