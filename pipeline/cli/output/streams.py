"""Handle standard streams that are closed, full, or read by a process that has ended."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING

from pipeline.errors import SinkError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def prepare_standard_streams() -> None:
    """Make the standard streams of this process safe to write, whatever they are connected to.

    A closed one leads to `/dev/null` from now on: else the next file that is opened would get its
    number, and what a library prints would end up in an export. What cannot be encoded is
    escaped. Messages that cannot be written are dropped; results that cannot be written raise
    `SinkError`, unless their reader has ended.
    """
    for number in range(3):
        _open_if_closed(number)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - open as long as the process
    sys.stdout = _text(_StandardStream(1, is_result=True))
    sys.stderr = _text(_StandardStream(2, is_result=False))


def reader_is_gone() -> bool:
    """Return whether the process that read stdout has ended, as `head` does."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _StandardStream) and raw.is_unread()


class _StandardStream(io.FileIO):
    """The descriptor of stdout or stderr.

    Args:
        number: The descriptor; it stays open.
        is_result: Whether a failure to write is an error.
    """

    def __init__(self, number: int, *, is_result: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._is_result = is_result
        self.reader_is_gone = False

    def is_unread(self) -> bool:
        """Return whether nothing can read what is written; no write is needed to find out."""
        poll = select.poll()
        poll.register(self.fileno(), 0)
        return self.reader_is_gone or any(event & select.POLLERR for _, event in poll.poll(0))

    def write(self, data: ReadableBuffer, /) -> int:
        """Write bytes, or drop them where nothing reads them any more.

        Raises:
            SinkError: Results cannot be written.
        """
        if not self.reader_is_gone:
            try:
                return super().write(data)
            except BrokenPipeError:
                self.reader_is_gone = True
            except OSError as failure:
                if self._is_result:
                    raise SinkError(
                        f"stdout cannot be written: {failure.strerror or failure}; what was "
                        "printed is not complete, files that were published are not affected"
                    ) from failure
        return memoryview(data).nbytes


def _open_if_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        os.dup2(opened, number)
        if opened != number:
            os.close(opened)


def _text(raw: _StandardStream) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if sys.flags.utf8_mode else None,
        errors="backslashreplace",
        line_buffering=True,
    )
