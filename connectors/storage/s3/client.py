"""The client of S3: requests by name, each repeated while its failure may pass."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from connectors.storage.calls.event_loop import wait_for
from connectors.storage.calls.retry import Contact, retrying
from connectors.storage.contract import FileInfo, UnfinishedUpload
from connectors.storage.objects.client import (
    ABSENT,
    ListingPage,
    ObjectClient,
    StoredObject,
    split_key,
)
from connectors.storage.s3.failures import S3_FAILURES
from connectors.storage.s3.options import request_fields
from connectors.storage.s3.upload import PartedUpload, needs_parts, with_digest

_T = TypeVar("_T")


class S3Client(ObjectClient):
    """Requests by the client of an s3fs session; what fails is botocore's own error.

    They are called by name, as the paths of s3fs take `?versionId=` and glob characters for more
    than text.

    Args:
        filesystem: The `s3fs.S3FileSystem` whose session and event loop are used.
        options: Its options, in clear.
    """

    failures = S3_FAILURES
    most_copied_bytes = 5 * 10**9

    def __init__(self, filesystem: Any, options: dict[str, Any]) -> None:
        self._fs = filesystem
        self._fields = request_fields(options)
        self._contact = Contact()
        endpoint = options.get("endpoint_url")
        if endpoint is None:
            endpoint = options.get("client_kwargs", {}).get("endpoint_url")
        self.store = f"s3:{endpoint or ''}".rstrip("/").lower()

    def call(
        self, method: str, *, transfer_bytes: int = 0, seconds: float | None = None, **wanted: Any
    ) -> Any:
        """Return the answer to a request of the client.

        Args:
            method: The client's method.
            transfer_bytes: How much is moved, where it is known to be much.
            seconds: What the call may take beside that.
            wanted: The request's fields.
        """
        return retrying(
            lambda left: self._wait(self._send(method, wanted), left),
            S3_FAILURES,
            contact=self._contact,
            transfer_bytes=transfer_bytes,
            seconds=seconds,
        )

    def of(self, path: str, method: str, **wanted: Any) -> Any:
        """Return the answer to a request about one object; see `call`."""
        bucket, key = split_key(path)
        return self.call(method, Bucket=bucket, Key=key, **wanted)

    def head(self, path: str) -> FileInfo:
        """Return what is stored at a path."""
        answer = self.of(path, "head_object")
        return FileInfo(path, int(answer["ContentLength"]), _version_of(answer))

    def get(
        self, path: str, start: int, end: int | None, *, version: str | None = None
    ) -> tuple[bytes, str]:
        """Return bytes of an object with its ETag, on the condition that it is `version`."""
        return retrying(
            lambda seconds: self._wait(self.get_once(path, start, end, version=version), seconds),
            S3_FAILURES,
            contact=self._contact,
            transfer_bytes=0 if end is None else end - start,
        )

    async def get_once(
        self, path: str, start: int = 0, end: int | None = None, *, version: str | None = None
    ) -> tuple[bytes, str]:
        """Return what `get` does, on the loop of the session and without a second try."""
        bucket, key = split_key(path)
        wanted: dict[str, Any] = {"Bucket": bucket, "Key": key}
        if start or end is not None:
            wanted["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if version:
            wanted["IfMatch"] = f'"{version}"'
        answer = await self._send("get_object", wanted)
        async with answer["Body"] as body:
            data = await body.read()
        if len(data) != answer["ContentLength"]:
            raise ConnectionError("the answer was cut off")
        return data, _version_of(answer)

    def put(self, path: str, body: bytes, *, expected: str | None = None) -> None:
        """Store an object whole, with an MD5 digest; an expected version is an ETag."""
        wanted: dict[str, str] = {}
        if expected is not None:
            wanted = {"IfNoneMatch": "*"} if expected == ABSENT else {"IfMatch": f'"{expected}"'}
        self.of(path, "put_object", transfer_bytes=len(body), **with_digest(body), **wanted)

    def send(self, path: str, file: Path, size: int) -> None:
        """Store a file by an upload in parts."""
        PartedUpload(self, path, file, size).send()

    def needs_parts(self, size: int) -> bool:
        """Above 16 MiB."""
        return needs_parts(size)

    def delete(self, path: str) -> None:
        """S3 does not say whether there was an object."""
        self.of(path, "delete_object")

    def copy(self, file: FileInfo, path: str) -> None:
        """Copy an object within the store, on the condition that it still is that version."""
        bucket, key = split_key(file.path)
        wanted: dict[str, Any] = {"CopySource": {"Bucket": bucket, "Key": key}}
        if file.version:
            wanted["CopySourceIfMatch"] = f'"{file.version}"'
        for name in ("SSECustomerAlgorithm", "SSECustomerKey"):  # to read it with, too
            if name in self._fields:
                wanted[f"CopySource{name}"] = self._fields[name]
        self.of(path, "copy_object", transfer_bytes=file.size, **wanted)

    def listing(
        self,
        bucket: str,
        prefix: str,
        *,
        delimiter: bool,
        most: int | None = None,
        after: str = "",
    ) -> Iterator[ListingPage]:
        """Yield the pages of a listing.

        Args:
            bucket: The bucket.
            prefix: How the keys begin.
            delimiter: Whether folders below appear by name only.
            most: How many objects a page may have.
            after: The listing begins behind this key, if the store knows how.
        """
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        if after:
            wanted["StartAfter"] = after
        if delimiter:
            wanted["Delimiter"] = "/"
        if most is not None:
            wanted["MaxKeys"] = most
        while True:
            page: dict[str, Any] = self.call("list_objects_v2", **wanted)
            yield ListingPage(
                tuple(map(_stored_object, page.get("Contents", ()))),
                tuple(child["Prefix"] for child in page.get("CommonPrefixes", ())),
            )
            if not page.get("IsTruncated"):
                return
            wanted.pop("StartAfter", None)
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def uploads(self, bucket: str, prefix: str) -> Iterator[UnfinishedUpload]:
        """Yield the uploads in parts to keys of a prefix that were begun and not completed."""
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            page = self.call("list_multipart_uploads", **wanted)
            for one in page.get("Uploads", ()):
                path = f"{bucket}/{one['Key']}"
                yield UnfinishedUpload(path, one["UploadId"], one["Initiated"].timestamp())
            if not page.get("IsTruncated"):
                return
            wanted |= {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def abort(self, upload: UnfinishedUpload) -> None:
        """Abort an upload, so that its parts are removed."""
        self.of(upload.path, "abort_multipart_upload", UploadId=upload.id)

    async def _send(self, method: str, wanted: Mapping[str, Any]) -> Any:
        await self._fs.set_session()
        client = await self._fs.get_s3(wanted["Bucket"])
        known = _fields_of(client, method)
        own = {name: value for name, value in self._fields.items() if name in known}
        return await getattr(client, method)(**own, **wanted)

    def _wait(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
        return wait_for(self._fs.loop, work, seconds)


def _stored_object(item: dict[str, Any]) -> StoredObject:
    modified = item["LastModified"].timestamp()
    return StoredObject(item["Key"], int(item["Size"]), _version_of(item), modified)


def _version_of(answer: dict[str, Any]) -> str:
    """Return the ETag without its quotes, which some stores leave out of listings."""
    return str(answer.get("ETag", "")).strip('"')


def _fields_of(client: Any, method: str) -> Collection[str]:
    """Return the names of the fields that a request of a client may have."""
    operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    return operation.input_shape.members  # type: ignore[no-any-return]
