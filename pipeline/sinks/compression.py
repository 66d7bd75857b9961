"""Compress byte streams, with the same bytes on any day."""

from __future__ import annotations

import gzip
from typing import IO, TYPE_CHECKING, Literal, cast

from connectors.storage import Writable

if TYPE_CHECKING:
    import pyarrow as pa

Compression = Literal["none", "gzip", "zstd"]
SUFFIXES: dict[Compression, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}
_LEVELS: dict[Compression, range] = {"gzip": range(1, 10), "zstd": range(1, 23)}
_DEFAULT_LEVELS: dict[Compression, int] = {"gzip": 6, "zstd": 3}


class _Open:
    """A stream passed on as it is, and left open."""

    def __init__(self, stream: Writable) -> None:
        self.write = stream.write
        self.flush = stream.flush

    def close(self) -> None:
        """Do nothing: no bytes are held back."""


def check_level(compression: Compression, level: int | None) -> None:
    """Refuse a level the codec does not know.

    Raises:
        ValueError: The level is out of range, or there is nothing to compress.
    """
    if level is None:
        return
    if compression == "none":
        raise ValueError("compression_level needs compression: gzip or zstd")
    levels = _LEVELS[compression]
    if level not in levels:
        raise ValueError(
            f"compression_level is {level}; {compression} takes {levels.start} to {levels.stop - 1}"
        )


class SegmentedStream:
    """Compresses into a stream, each segment as a gzip member or a zstd frame of its own.

    Readers take members and frames that follow each other for one file, as RFC 1952 and RFC 8878
    say. The gzip header carries neither a time nor a name (MTIME 0, no FNAME), so that equal rows
    give equal bytes.

    Args:
        stream: The open binary stream; it stays open.
        compression: The codec.
        level: Its level, or None for the default.
        is_later: The stream holds later segments of a file: without bytes nothing is written.
    """

    def __init__(
        self,
        stream: Writable,
        compression: Compression,
        level: int | None = None,
        *,
        is_later: bool = False,
    ) -> None:
        self._stream = stream
        self._compression = compression
        self._level = _DEFAULT_LEVELS.get(compression) if level is None else level
        self._segment = None if is_later else self._begin()

    def write(self, data: bytes | pa.Buffer) -> None:
        """Append bytes."""
        if self._segment is None:
            self._segment = self._begin()
        self._segment.write(data)

    def cut(self) -> None:
        """End the segment, if one has begun."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def close(self) -> None:
        """Write what is still held back; the stream itself stays open."""
        self.cut()

    def _begin(self) -> Writable:
        if self._compression == "none":
            return _Open(self._stream)
        assert self._level is not None
        if self._compression == "gzip":
            return gzip.GzipFile(
                filename="", mode="wb", compresslevel=self._level, fileobj=self._stream, mtime=0
            )
        # Imported when needed, as few exports are compressed so.
        import zstandard  # noqa: PLC0415

        compressor = zstandard.ZstdCompressor(level=self._level)
        return compressor.stream_writer(cast(IO[bytes], self._stream), closefd=False)
