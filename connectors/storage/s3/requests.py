"""Requests to S3, each repeated while its failure may pass."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from connectors.storage.event_loop import wait_for
from connectors.storage.retry import retrying
from connectors.storage.s3.listing import split_key, version_of

_T = TypeVar("_T")


class S3Requests:
    """Requests by the session of s3fs; what fails is the client's own error.

    They are called by name, as the paths of s3fs take `?versionId=` and glob characters for more
    than text.

    Args:
        filesystem: The `s3fs.S3FileSystem` whose session and event loop are used.
    """

    def __init__(self, filesystem: Any) -> None:
        self._fs = filesystem
        self._fs.retries = 1  # The tries are counted in one place, here.

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
            lambda left: self._wait(self._fs._call_s3(method, **wanted), left),
            transfer_bytes=transfer_bytes,
            seconds=seconds,
        )

    def of(self, path: str, method: str, **wanted: Any) -> Any:
        """Return the answer to a request about one object; see `call`."""
        bucket, key = split_key(path)
        return self.call(method, Bucket=bucket, Key=key, **wanted)

    def get(
        self, path: str, start: int, end: int | None, *, version: str | None = None
    ) -> tuple[bytes, str]:
        """Return bytes of an object with their version, on the condition that it is `version`."""
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

        return retrying(
            lambda seconds: self._wait(attempt(), seconds),
            transfer_bytes=0 if end is None else end - start,
        )

    def put(self, path: str, body: bytes, **wanted: Any) -> None:
        """Store an object whole."""
        self.of(path, "put_object", transfer_bytes=len(body), **with_digest(body), **wanted)

    def listing(self, bucket: str, prefix: str, *, delimiter: bool) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing; with a delimiter, folders below appear by name only."""
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        if delimiter:
            wanted["Delimiter"] = "/"
        while True:
            page: dict[str, Any] = self.call("list_objects_v2", **wanted)
            yield page
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def _wait(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
        return wait_for(self._fs.loop, work, seconds)


def with_digest(body: bytes) -> dict[str, Any]:
    """Return the fields of a body, with a digest for the store to compare with what arrived."""
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"Body": body, "ContentMD5": base64.b64encode(digest).decode()}


def status_of(failure: BaseException) -> int | None:
    """Return the HTTP status behind a failure of s3fs, if there is one."""
    response = getattr(failure.__cause__, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return None if status is None else int(status)
