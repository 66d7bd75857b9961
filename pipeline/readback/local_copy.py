"""Copy an exported file to local disk, checked and unpacked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.storage import Storage, scratch_folder
from pipeline.datapackage.descriptor import Codec
from pipeline.errors import IntegrityError, SinkError
from pipeline.readback.unpacking import DAMAGE, FREE_BYTES, MAX_EXPANSION, ExpansionError, unpack

BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file of an export, as it is stored.

    Attributes:
        storage: Where it is.
        path: The file, as the storage names it.
        codec: How the whole file is compressed, or None.
        size: Bytes it should have, or None where not recorded.
        sha256: Lower-case hex digest it should have, or None where not recorded.
    """

    storage: Storage
    path: str
    codec: Codec | None = None
    size: int | None = None
    sha256: str | None = None

    @property
    def url(self) -> str:
        """The file for people."""
        return self.storage.url(self.path)

    def error(self, reason: str, kind: type[IntegrityError] = IntegrityError) -> IntegrityError:
        """Return an error that names this file."""
        return kind(f"{self.url}: {reason}")


@dataclass(frozen=True, slots=True)
class LocalCopy:
    """An exported file on local disk, unpacked.

    Attributes:
        path: The file.
        size: Bytes of the stored file.
        sha256: Digest of the stored file.
    """

    path: Path
    size: int
    sha256: str


@contextmanager
def local_copy(file: ExportFile, *, max_expansion: int = MAX_EXPANSION) -> Iterator[LocalCopy]:
    """Yield the file as plain bytes on this machine, for as long as the context lasts.

    A local file that is not compressed is checked where it is and not copied.

    Args:
        file: The file; its size and hash are checked where they are known.
        max_expansion: How many times its size a compressed file may unpack to.

    Raises:
        IntegrityError: Bytes or hash are others than promised, or it cannot be unpacked.
        NotFoundError: The file is missing.
        SinkError: Local disk is full.
        StorageError: It could not be read.
    """
    stream = _HashedBlocks(file)
    if file.storage.is_local and file.codec is None:
        for _ in stream.blocks:
            pass
        stream.check()
        yield LocalCopy(Path(file.path), stream.size, stream.sha256)
        return
    with scratch_folder() as folder:
        target = folder / "file"
        _fill(target, file, stream, max_expansion)
        yield LocalCopy(target, stream.size, stream.sha256)


def read_head(file: ExportFile, size: int) -> bytes:
    """Return the first bytes of a file, unpacked; fewer where it ends earlier.

    Raises:
        IntegrityError: It cannot be unpacked.
        StorageError: It could not be read.
    """
    blocks = _HashedBlocks(file, BLOCK_BYTES // 4, checked=False)
    head = bytearray()
    for block in _plain(file, blocks, None):
        head += block
        if len(head) >= size:
            break
    return bytes(head[:size])


def _fill(target: Path, file: ExportFile, stream: _HashedBlocks, max_expansion: int) -> None:
    with target.open("wb") as out:
        for block in _plain(file, stream, max_expansion):
            try:
                out.write(block)
            except OSError as error:
                raise SinkError(
                    f"{target}: cannot hold a copy of {file.url}: {error.strerror}; "
                    "set TMPDIR to a place with more room"
                ) from error
        for _ in stream.blocks:  # what follows the compressed data counts for the hash
            pass
    stream.check()


def _plain(file: ExportFile, stream: _HashedBlocks, max_expansion: int | None) -> Iterator[bytes]:
    if file.codec is None:
        yield from stream.blocks
        return

    def most_bytes() -> int | None:
        # What has been read is known: decompression runs a block ahead of it at the most.
        return None if max_expansion is None else max(FREE_BYTES, max_expansion * stream.size)

    try:
        yield from unpack(file.codec, stream.blocks, most_bytes)
    except DAMAGE as error:
        raise file.error(f"cannot be unpacked as {file.codec}: {error}") from error
    except ExpansionError as error:
        raise file.error(
            f"unpacks to more than {max_expansion} times its size: it may be made to fill the "
            "disk; allow more with --max-expansion if you trust it"
        ) from error


class _HashedBlocks:
    """A stored file in blocks, counted and hashed in passing."""

    def __init__(
        self, file: ExportFile, block_bytes: int = BLOCK_BYTES, *, checked: bool = True
    ) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._checked = checked
        self.size = 0
        self.blocks = self._read(block_bytes)

    @property
    def sha256(self) -> str:
        """Digest of what has been read."""
        return self._digest.hexdigest()

    def _read(self, block_bytes: int) -> Iterator[bytes]:
        for block in self._file.storage.blocks(self._file.path, block_bytes):
            self.size += len(block)
            self._digest.update(block)
            promised = self._file.size
            if self._checked and promised is not None and self.size > promised:
                raise self._file.error(f"has more than the {promised} bytes that were promised")
            yield block

    def check(self) -> None:
        """Compare with what was promised, once everything has been read.

        Raises:
            IntegrityError: Size or hash differ.
        """
        file = self._file
        if file.size is not None and self.size != file.size:
            raise file.error(f"has {self.size} bytes; {file.size} were promised")
        if file.sha256 is not None and self.sha256 != file.sha256:
            raise file.error(
                f"sha256 is {self.sha256}; {file.sha256} was promised: "
                "the file was changed after it was written"
            )
