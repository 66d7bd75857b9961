"""Files of a foreign table as streams of plain bytes, hashed in passing and bounded."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import zstandard

from connectors.storage import Storage, StorageOptions, connect
from pipeline.errors import StorageError
from pipeline.imports.telemetry.report import Findings

Format = Literal["csv", "ndjson", "parquet"]

BLOCK_BYTES = 2_000_000
FREE_BYTES = 64_000_000
MOST_RATIO = 200
"""A file may unpack to `FREE_BYTES`, or to this many times its size where that is more."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PARQUET = b"PAR1"
_OTHERS = {b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}
# One block of a zstd frame holds up to 128 kB and may take 4 bytes: a small bite bounds memory.
_ZSTD_BITE = 1024
_ZSTD_WINDOW = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """One file of a foreign table.

    Attributes:
        storage: Where it is.
        path: The file, as its storage names it.
        url: The same for people.
        size: Bytes.
    """

    storage: Storage
    path: str
    url: str
    size: int

    @property
    def most_bytes(self) -> int:
        """Bytes that it may hold once it is unpacked."""
        return max(FREE_BYTES, MOST_RATIO * self.size)


def find_files(
    urls: Sequence[str], storage_options: StorageOptions | None = None
) -> list[ForeignFile]:
    """The files of a table; a folder stands for the data files directly in it.

    Raises:
        StorageError: There is no such file, or the store failed.
    """
    files: list[ForeignFile] = []
    for url in urls:
        storage, path = connect(url, storage_options)
        entry = storage.info(path)
        if entry is not None:
            files.append(ForeignFile(storage, path, storage.url(path), entry.size))
            continue
        folder = next((one for one in storage.walk(path) if one.path == path), None)
        found = [one for one in folder.files if _is_data(one.path)] if folder else []
        if not found:
            raise StorageError(
                f"{storage.url(path)} holds no CSV, NDJSON or Parquet file: name the files",
                url=storage.url(path),
            )
        files += [ForeignFile(storage, f.path, storage.url(f.path), f.size) for f in found]
    return files


def _is_data(path: str) -> bool:
    # Spark and others mark what is no data by its first character.
    return not path.rpartition("/")[2].startswith(("_", ".")) and _named_format(path) is not None


def _named_format(path: str) -> Format | None:
    name = path.rpartition("/")[2].lower().removesuffix(".gz").removesuffix(".zst")
    return _SUFFIXES.get(f".{name.rpartition('.')[2]}")


def format_of(file: ForeignFile) -> Format:
    """The format that a file's first bytes or its name tell."""
    head = file.storage.read(file.path, start=0, end=4)
    if head == _PARQUET:
        return "parquet"
    return _named_format(file.path) or ("ndjson" if head[:1] == b"{" else "csv")


def plain_blocks(
    file: ForeignFile, findings: Findings, seen: Callable[[bytes], None]
) -> Iterator[bytes]:
    """The bytes of a file, unpacked where they are gzip or zstd, in bounded pieces.

    Args:
        file: The file.
        findings: Where it is noted that it cannot be unpacked.
        seen: Told every byte as it is stored.

    Raises:
        StopReadingError: It is damaged, cut off, or unpacks to too much.
        StorageError: It could not be read.
    """
    raw = _told(file.storage.blocks(file.path, BLOCK_BYTES), seen)
    first = next(raw, b"")
    for magic, name in _OTHERS.items():
        if first.startswith(magic):
            raise findings.stop_in_file(f"the file is {name} compressed", "use gzip or zstd")
    blocks = chain((first,), raw)
    total = 0
    for piece in _unpacked(first, blocks, findings):
        total += len(piece)
        if total > file.most_bytes:
            raise findings.stop_in_file(
                f"its {file.size:,} bytes unpack to more than {file.most_bytes:,}",
                "unpack it yourself if it is what it should be",
            )
        yield piece


def _told(blocks: Iterator[bytes], seen: Callable[[bytes], None]) -> Iterator[bytes]:
    for block in blocks:
        seen(block)
        yield block


def _unpacked(first: bytes, blocks: Iterator[bytes], findings: Findings) -> Iterator[bytes]:
    if first.startswith(_GZIP):
        pieces, name = _gunzipped(blocks), "gzip"
    elif first.startswith(_ZSTD):
        pieces, name = _unzstd(blocks), "zstd"
    else:
        yield from blocks
        return
    try:
        yield from pieces
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise findings.stop_in_file(
            f"the {name} file is damaged or cut off ({error})", "copy it again"
        ) from error


def _gunzipped(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The members of a gzip file, one after the other (RFC 1952)."""
    member: Any = zlib.decompressobj(31)
    for block in blocks:
        data = block
        while data:
            if member.eof:
                data = data.lstrip(b"\0")  # tapes and some tools pad with zeros
                if not data:
                    break
                member = zlib.decompressobj(31)
            if piece := member.decompress(data, BLOCK_BYTES):
                yield piece
            data = member.unconsumed_tail or member.unused_data
    if not member.eof:
        while piece := member.decompress(b"", BLOCK_BYTES):
            yield piece
    if not member.eof:
        raise EOFError("the end is missing")


def _unzstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The frames of a zstd file, one after the other (RFC 8878)."""
    maker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    frame: Any = maker.decompressobj()
    ended = False
    for block in blocks:
        for start in range(0, len(block), _ZSTD_BITE):
            data = block[start : start + _ZSTD_BITE]
            while data:
                if ended:
                    frame, ended = maker.decompressobj(), False
                if piece := frame.decompress(data):
                    yield piece
                ended = frame.eof
                data = frame.unused_data if ended else b""
    if not ended:
        raise EOFError("the end is missing")
