"""Upload a large file to S3 in parts that become visible at once."""

from __future__ import annotations

import base64
import hashlib
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from connectors.storage.calls.deadline import ContextPool, check_deadline, within
from connectors.storage.contract import FileInfo
from connectors.storage.s3.failures import S3_FAILURES

PART_BYTES = 16 * 1024 * 1024
"""Larger files are sent in parts of at least this size."""
JOINED_BYTES_PER_SECOND = 32 * 1024 * 1024
"""Some stores copy the parts of an upload into one file, at the speed of a disk."""
MOST_JOINING_SECONDS = 60.0
"""More time than this is not given to them, once they have been silent."""
GIVING_UP_SECONDS = 5.0
"""Giving up an upload that failed may take this; what is not given up now is later."""
_LOOK_SECONDS = 1.0
_MOST_PARTS = 10_000
_SENDERS = 4


def needs_parts(size: int) -> bool:
    """Return whether a file of so many bytes is sent in parts."""
    return size > PART_BYTES


class UploadClient(Protocol):
    """Makes the requests of an upload."""

    def of(self, path: str, method: str, **wanted: Any) -> Any:
        """Return the answer to a request about one object."""

    def head(self, path: str) -> FileInfo:
        """Return what is stored at a path."""


class PartedUpload:
    """The upload of one file.

    Args:
        client: Makes the requests.
        target: The path of the object.
        file: The file.
        size: Its bytes.
    """

    def __init__(self, client: UploadClient, target: str, file: Path, size: int) -> None:
        self._client = client
        self._target = target
        self._file = file
        self._size = size

    def send(self) -> None:
        """Send all parts and make them one object; what fails leaves none behind."""
        upload = self._client.of(self._target, "create_multipart_upload")["UploadId"]
        try:
            self._complete(upload, self._send_parts(upload))
        except BaseException:
            # The parts of an incomplete upload are invisible, but they are paid for.
            # The failure to report is the one that led here.
            with suppress(Exception), within(None):
                self._client.of(
                    self._target,
                    "abort_multipart_upload",
                    seconds=GIVING_UP_SECONDS,
                    UploadId=upload,
                )
            raise

    def _send_parts(self, upload: str) -> list[dict[str, Any]]:
        step = max(PART_BYTES, -(-self._size // _MOST_PARTS))
        starts = range(0, self._size, step)
        with ContextPool(_SENDERS) as pool:
            jobs = [
                pool.submit(self._send_part, upload, number, start, step)
                for number, start in enumerate(starts, start=1)
            ]
            try:
                return [job.result() for job in jobs]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _send_part(self, upload: str, number: int, start: int, step: int) -> dict[str, Any]:
        with self._file.open("rb") as file:
            file.seek(start)
            body = file.read(step)
        answer = self._client.of(
            self._target,
            "upload_part",
            transfer_bytes=len(body) * _SENDERS,
            UploadId=upload,
            PartNumber=number,
            **with_digest(body),
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _complete(self, upload: str, parts: list[dict[str, Any]]) -> None:
        try:
            self._client.of(
                self._target,
                "complete_multipart_upload",
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except Exception as failure:
            # The answer of an earlier try was lost: the upload is gone because it is complete.
            # Or there is none yet, as the store is still joining the parts.
            joining = min(self._size / JOINED_BYTES_PER_SECOND, MOST_JOINING_SECONDS)
            until = time.monotonic() + (joining if S3_FAILURES.is_silence(failure) else 0)
            while not self._is_joined(parts):
                check_deadline()
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_SECONDS)

    def _is_joined(self, parts: list[dict[str, Any]]) -> bool:
        try:
            return self._client.head(self._target).version == _joined_etag(parts)
        except Exception:
            return False  # The failure to report is the one of the completion.


def with_digest(body: bytes) -> dict[str, Any]:
    """Return the fields of a body, with a digest for the store to compare with what arrived."""
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"Body": body, "ContentMD5": base64.b64encode(digest).decode()}


def _joined_etag(parts: list[dict[str, Any]]) -> str:
    """Return what S3 calls an object made of these parts; empty where the store has other names."""
    try:
        digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
