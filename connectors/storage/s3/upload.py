"""A large file to an S3 object, sent in parts that become visible at once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from connectors.errors import StorageError
from connectors.storage.contract import FileInfo, StagedFile
from connectors.storage.deadline import ContextPool, check_deadline, within
from connectors.storage.s3.failures import S3_FAILURES
from connectors.storage.s3.requests import S3Requests, with_digest

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


class PartedUpload:
    """The upload of one staged file.

    Args:
        requests: How the store is asked.
        staged: The file.
        size: Its bytes.
        look: Returns what is stored at a path, as `Storage.info` does.
    """

    def __init__(
        self,
        requests: S3Requests,
        staged: StagedFile,
        size: int,
        look: Callable[[str], FileInfo | None],
    ) -> None:
        self._requests = requests
        self._staged = staged
        self._size = size
        self._look = look

    def send(self) -> None:
        """Send all parts and make them one object; what fails leaves none behind."""
        target = self._staged.target
        upload = self._requests.of(target, "create_multipart_upload")["UploadId"]
        try:
            self._complete(upload, self._send_parts(upload))
        except BaseException:
            # The parts of an incomplete upload are invisible, but they are paid for.
            # The failure to report is the one that led here.
            with suppress(Exception), within(None):
                self._requests.of(
                    target, "abort_multipart_upload", seconds=GIVING_UP_SECONDS, UploadId=upload
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
        with self._staged.local.open("rb") as file:
            file.seek(start)
            body = file.read(step)
        answer = self._requests.of(
            self._staged.target,
            "upload_part",
            transfer_bytes=len(body) * _SENDERS,
            UploadId=upload,
            PartNumber=number,
            **with_digest(body),
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def _complete(self, upload: str, parts: list[dict[str, Any]]) -> None:
        try:
            self._requests.of(
                self._staged.target,
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
            found = self._look(self._staged.target)
        except StorageError:
            return False
        return found is not None and found.version == _joined_etag(parts)


def _joined_etag(parts: list[dict[str, Any]]) -> str:
    """Return what S3 calls an object made of these parts; empty where the store has other names."""
    try:
        digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
