"""Requests to S3, each repeated while its failure may pass."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from connectors.storage.event_loop import wait_for
from connectors.storage.retry import retrying
from connectors.storage.s3.failures import S3_FAILURES
from connectors.storage.s3.listing import split_key, version_of

_T = TypeVar("_T")


class S3Requests:
    """Requests by the client of an s3fs session; what fails is botocore's own error.

    They are called by name, as the paths of s3fs take `?versionId=` and glob characters for more
    than text.

    Args:
        filesystem: The `s3fs.S3FileSystem` whose session and event loop are used.
        fields: Fields that belong to every request that knows them.
    """

    def __init__(self, filesystem: Any, fields: Mapping[str, Any]) -> None:
        self._fs = filesystem
        self._fields = fields

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
        return retrying(
            lambda seconds: self._wait(self.get_once(path, start, end, version=version), seconds),
            S3_FAILURES,
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
        return data, version_of(answer)

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

    async def _send(self, method: str, wanted: Mapping[str, Any]) -> Any:
        await self._fs.set_session()
        client = await self._fs.get_s3(wanted["Bucket"])
        known = _fields_of(client, method)
        own = {name: value for name, value in self._fields.items() if name in known}
        return await getattr(client, method)(**own, **wanted)

    def _wait(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
        return wait_for(self._fs.loop, work, seconds)


def with_digest(body: bytes) -> dict[str, Any]:
    """Return the fields of a body, with a digest for the store to compare with what arrived."""
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"Body": body, "ContentMD5": base64.b64encode(digest).decode()}


def _fields_of(client: Any, method: str) -> Collection[str]:
    """Return the names of the fields that a request of a client may have."""
    operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    return operation.input_shape.members  # type: ignore[no-any-return]
