"""Compressed byte streams with the same bytes on any day."""

from __future__ import annotations

import gzip
from typing import IO, Literal, Protocol, cast

import pyarrow as pa

Compression = Literal["none", "gzip", "zstd"]
SUFFIXES: dict[Compression, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}
_LEVELS: dict[Compression, range] = {"gzip": range(1, 10), "zstd": range(1, 23)}
_DEFAULT_LEVELS: dict[Compression, int] = {"gzip": 6, "zstd": 3}


class ByteSink(Protocol):
    """The part of a binary stream that text writers need."""

    def write(self, data: bytes | pa.Buffer, /) -> int:
        """Append bytes."""

    def close(self) -> None:
        """Write what is still held back."""


class _Open:
    """A stream passed on as it is, and left open."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.write = stream.write

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


def compressed(stream: IO[bytes], compression: Compression, level: int | None = None) -> ByteSink:
    """A stream that compresses into `stream`, which stays open when it is closed.

    The gzip header carries neither a time nor a name (RFC 1952: MTIME 0, no FNAME), so that
    equal rows give equal bytes.
    """
    if compression == "none":
        return _Open(stream)
    level = _DEFAULT_LEVELS[compression] if level is None else level
    if compression == "gzip":
        zipped = gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=stream, mtime=0)
        return cast(ByteSink, zipped)
    # Imported when needed, as few exports are compressed so.
    import zstandard  # noqa: PLC0415

    writer = zstandard.ZstdCompressor(level=level).stream_writer(stream, closefd=False)
    return cast(ByteSink, writer)
