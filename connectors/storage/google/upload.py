"""Upload a large file to Google Cloud Storage in parts that become visible at once."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.storage.calls.event_loop import wait_for
from connectors.storage.calls.retry import retrying
from connectors.storage.google.failures import GOOGLE_FAILURES

PART_BYTES = 16 * 1024 * 1024
"""Larger files are sent in parts of this size, a multiple of 256 KiB as the store wants it."""
_INCOMPLETE = 308


@dataclass(frozen=True, slots=True)
class GoogleAnswer:
    """An answer of the store; `resource` is what its body says where that is JSON."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    resource: dict[str, Any]


class ResumableUpload:
    """The upload of one file.

    A part is not sent twice: after a failure, sending continues behind what the store has.

    Args:
        put: Sends bytes to the upload with a `Content-Range`.
        loop: The event loop that it is done on.
        file: The file.
        size: Its bytes.
    """

    def __init__(
        self,
        put: Callable[[bytes, str], Awaitable[GoogleAnswer]],
        loop: AbstractEventLoop,
        file: Path,
        size: int,
    ) -> None:
        self._put = put
        self._loop = loop
        self._file = file
        self._size = size
        self._kept: int | None = 0  # None while it is not known

    def send(self) -> dict[str, Any]:
        """Send all parts, and return what the store says of the object."""
        while True:
            answer = retrying(
                lambda seconds: wait_for(self._loop, self._send_next(), seconds),
                GOOGLE_FAILURES,
                transfer_bytes=min(PART_BYTES, self._size),
            )
            if answer.status != _INCOMPLETE:
                return answer.resource
            self._kept = _kept_bytes(answer)

    async def _send_next(self) -> GoogleAnswer:
        if self._kept is None:
            answer = await self._put(b"", f"bytes */{self._size}")
            if answer.status != _INCOMPLETE:
                return answer
            self._kept = _kept_bytes(answer)
        start, self._kept = self._kept, None
        with self._file.open("rb") as opened:
            opened.seek(start)
            body = opened.read(PART_BYTES)
        return await self._put(body, f"bytes {start}-{start + len(body) - 1}/{self._size}")


def _kept_bytes(answer: GoogleAnswer) -> int:
    """Return how many bytes the store has, by the range that it names; without one, none."""
    last = answer.headers.get("Range", "").rpartition("-")[2]
    return int(last) + 1 if last.isdigit() else 0
