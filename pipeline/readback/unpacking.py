"""Decompress gzip and zstd streams in bounded pieces."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import zstandard

from pipeline.datapackage.descriptor import Codec

PIECE_BYTES = 1 << 20
FREE_BYTES = 64 * 1024 * 1024
"""Every compressed file may unpack to this many bytes ..."""
MAX_EXPANSION = 200
"""... or to this many times its size, whichever is more."""
MAGIC: dict[bytes, Codec] = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}
"""The first bytes of a stream of each codec."""

DAMAGE = (EOFError, zlib.error, zstandard.ZstdError)
"""What `unpack` raises for a damaged or truncated stream."""

# A block of a zstd frame holds up to 128 kB and may take 4 bytes: small bites bound memory.
_ZSTD_BITE = 1024
_ZSTD_WINDOW = 1 << 27  # the largest that the zstd command accepts without an option


class ExpansionError(Exception):
    """A stream unpacks to more bytes than allowed."""


def unpack(
    codec: Codec, blocks: Iterator[bytes], most_bytes: Callable[[], int | None]
) -> Iterator[bytes]:
    """Yield the plain bytes of a compressed stream.

    Args:
        codec: How the stream is compressed; several members or frames may follow one another.
        blocks: The compressed bytes.
        most_bytes: Returns how many bytes may be unpacked by now; None for any number.

    Raises:
        EOFError: The stream is truncated.
        ExpansionError: It unpacks to more than `most_bytes`.
        zlib.error: A gzip stream is damaged.
        zstandard.ZstdError: A zstd stream is damaged.
    """
    total = 0
    for piece in _gunzip(blocks) if codec == "gz" else _unzstd(blocks):
        total += len(piece)
        most = most_bytes()
        if most is not None and total > most:
            raise ExpansionError(f"more than {most} bytes")
        yield piece


def _gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the members of a gzip file, one after the other (RFC 1952)."""
    member: Any = zlib.decompressobj(31)
    for block in blocks:
        data = block
        while data:
            if member.eof:
                data = data.lstrip(b"\0")  # tapes and some tools pad with zeros
                if not data:
                    break
                member = zlib.decompressobj(31)
            if piece := member.decompress(data, PIECE_BYTES):
                yield piece
            data = member.unconsumed_tail or member.unused_data
    while not member.eof:
        piece = member.decompress(b"", PIECE_BYTES)
        if not piece:
            raise EOFError("the end is missing")
        yield piece


def _unzstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the frames of a zstd file, one after the other (RFC 8878)."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame: Any = decompressor.decompressobj()
    ended = False
    for block in blocks:
        for start in range(0, len(block), _ZSTD_BITE):
            data = block[start : start + _ZSTD_BITE]
            while data:
                if ended:
                    frame, ended = decompressor.decompressobj(), False
                if piece := frame.decompress(data):
                    yield piece
                ended = frame.eof
                data = frame.unused_data if ended else b""
    if not ended:
        raise EOFError("the end is missing")
