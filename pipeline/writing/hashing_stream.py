"""Hash and write a staged file while the next rows are being rendered."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress

import pyarrow as pa

from connectors.storage import Writable
from pipeline.errors import SinkError

_MOST_PENDING_BYTES = 8_000_000
_FEWEST_BYTES = 65_536
"""Less is gathered first: Parquet is written in forty pieces a row group, most of them small."""

_BYTES_A_CALL = 1_000_000
"""Written by one system call: 3.2 GB took ext4 under Linux 6 a second in calls of 1 MB, and five
to eight in calls of 8 MB, which make it look for larger stretches of free memory."""


class HashingStream:
    """A binary file that is hashed and counted in passing, behind the writer's back.

    Hashing and writing take about as long as rendering text, and both let other threads run:
    they are done on a thread of their own. What waits for it is bounded.

    Args:
        raw: The file.
        url: What it is to become, for messages.
        worker: An executor of one thread, so that bytes keep their order.
        is_hashed: Whether the bytes are hashed; those of a part of a file need not be.
    """

    def __init__(
        self, raw: Writable, url: str, worker: Executor, *, is_hashed: bool = True
    ) -> None:
        self._raw = raw
        self._url = url
        self._worker = worker
        self._digest = hashlib.sha256()
        self._is_hashed = is_hashed
        self._pending: deque[tuple[int, Future[None]]] = deque()
        self._pending_bytes = 0
        self._gathered = bytearray()
        self._abandoned = False
        self.size = 0
        self.closed = False

    def write(self, data: bytes | pa.Buffer) -> int:
        """Append bytes; an Arrow buffer must not be changed afterwards.

        Raises:
            SinkError: Bytes given earlier could not be written.
        """
        count = memoryview(data).nbytes
        if self._abandoned:
            return count
        self.size += count
        if count < _FEWEST_BYTES:
            self._gathered += memoryview(data)
            if len(self._gathered) >= _FEWEST_BYTES:
                self._hand_over_gathered()
        else:
            self._hand_over_gathered()
            # Of anything else, e.g. the memoryviews of a BufferedWriter, the bytes may change.
            self._hand_over(data if isinstance(data, (bytes, pa.Buffer)) else bytes(data))
        return count

    def tell(self) -> int:
        """Return bytes given so far."""
        return self.size

    def flush(self) -> None:
        """Wait until all bytes are with the operating system.

        Raises:
            SinkError: They could not be written.
        """
        if not self._abandoned:
            self._hand_over_gathered()
        while self._pending:
            self._settle_one()
        if not self._abandoned:
            with self._translated():
                self._raw.flush()

    def close(self) -> None:
        """Write what is left and close the file.

        Raises:
            SinkError: It could not be written.
        """
        self.closed = True
        try:
            self.flush()
        finally:
            with self._translated():
                self._raw.close()

    def abandon(self) -> None:
        """Close the file and take no more bytes: writers still try to write their ends."""
        self._abandoned = True
        for _, future in self._pending:
            future.cancel()
        with suppress(OSError):  # what it could not write is thrown away in any case
            self._worker.submit(self._raw.close).result()

    def readable(self) -> bool:
        """Return False: this stream is written."""
        return False

    def writable(self) -> bool:
        """Return True: this stream is written."""
        return True

    def seekable(self) -> bool:
        """Return False: a hash cannot go back."""
        return False

    @property
    def sha256(self) -> str:
        """Lower-case hex digest of all bytes, once the file is closed."""
        return self._digest.hexdigest()

    def _hand_over_gathered(self) -> None:
        if self._gathered:
            self._hand_over(bytes(self._gathered))
            self._gathered.clear()

    def _hand_over(self, content: bytes | pa.Buffer) -> None:
        while self._pending_bytes > _MOST_PENDING_BYTES:
            self._settle_one()
        self._pending.append((len(content), self._worker.submit(self._put, content)))
        self._pending_bytes += len(content)

    def _put(self, content: bytes | pa.Buffer) -> None:
        view = memoryview(content)
        for start in range(0, len(view), _BYTES_A_CALL):
            piece = view[start : start + _BYTES_A_CALL]
            if self._is_hashed:
                self._digest.update(piece)
            self._raw.write(piece)

    def _settle_one(self) -> None:
        size, future = self._pending.popleft()
        self._pending_bytes -= size
        with self._translated():
            future.result()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(
                f"{self._url}: its staged file could not be written: {error.strerror or error}; "
                "nothing was published"
            ) from error
