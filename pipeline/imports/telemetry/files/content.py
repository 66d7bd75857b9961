"""Open the files of a foreign table as bounded streams of plain bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from connectors.flowtime.parse.dialects import RUN_FILE
from connectors.storage import Storage, StorageOptions, connect
from pipeline.errors import NotAnExportError, StorageError
from pipeline.imports.telemetry.report import Findings
from pipeline.readback.unpacking import (
    DAMAGE,
    FREE_BYTES,
    MAGIC,
    MAX_EXPANSION,
    ExpansionError,
    unpack,
)
from pipeline.sinks.formats import Format

BLOCK_BYTES = 2_000_000
_PARQUET = b"PAR1"
_NAMES = {"gz": "gzip", "zst": "zstd"}
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
        return max(FREE_BYTES, MAX_EXPANSION * self.size)


def find_files(
    urls: Sequence[str], storage_options: StorageOptions | None = None
) -> list[ForeignFile]:
    """Return the files of a table; a folder means the data files directly in it.

    Raises:
        NotAnExportError: A folder is a run directory.
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
        if folder and any(one.path.rpartition("/")[2] == RUN_FILE for one in folder.files):
            raise NotAnExportError(
                f"{storage.url(path)} is a run directory, not an export: name a table that "
                "`export` made of it"
            )
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
    """Return the format of a file, by its first bytes or its name."""
    head = file.storage.read(file.path, start=0, end=4)
    if head == _PARQUET:
        return "parquet"
    return _named_format(file.path) or ("ndjson" if head[:1] == b"{" else "csv")


def plain_blocks(
    file: ForeignFile, findings: Findings, seen: Callable[[bytes], None]
) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked where they are gzip or zstd, in bounded pieces.

    Args:
        file: The file.
        findings: Where it is noted that it cannot be unpacked.
        seen: Called with every block as it is stored.

    Raises:
        StopReadingError: It is damaged, truncated, or unpacks to too much.
        StorageError: It could not be read.
    """
    raw = _observed(file.storage.blocks(file.path, BLOCK_BYTES), seen)
    first = next(raw, b"")
    for magic, name in _OTHERS.items():
        if first.startswith(magic):
            raise findings.stop_in_file(f"the file is {name} compressed", "use gzip or zstd")
    blocks = chain((first,), raw)
    codec = next((codec for magic, codec in MAGIC.items() if first.startswith(magic)), None)
    if codec is None:
        yield from blocks
        return
    try:
        yield from unpack(codec, blocks, lambda: file.most_bytes)
    except ExpansionError as error:
        raise findings.stop_in_file(
            f"its {file.size:,} bytes unpack to more than {file.most_bytes:,}",
            "unpack it yourself if it is what it should be",
        ) from error
    except DAMAGE as error:
        raise findings.stop_in_file(
            f"the {_NAMES[codec]} file is damaged or cut off ({error})", "copy it again"
        ) from error


def _observed(blocks: Iterator[bytes], seen: Callable[[bytes], None]) -> Iterator[bytes]:
    for block in blocks:
        seen(block)
        yield block
