"""Open a staged file, hash it while it is written, and describe it once it is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from connectors.storage import StagedFile, Storage
from pipeline.datapackage.descriptor import ExportedFile
from pipeline.errors import SinkError
from pipeline.sinks import Written
from pipeline.writing.hashing_stream import HashingStream

_Writer = TypeVar("_Writer")


@dataclass(frozen=True)
class StagedStream:
    """A staged file and the stream that it is written through.

    Attributes:
        storage: Where it is staged.
        staged: The file.
        stream: The stream.
    """

    storage: Storage
    staged: StagedFile
    stream: HashingStream

    @classmethod
    def open(
        cls, storage: Storage, path: str, url: str, worker: Executor, *, is_hashed: bool = True
    ) -> StagedStream:
        """Stage a file and open it.

        Args:
            storage: Where it goes.
            path: Its path there.
            url: What it belongs to, for messages.
            worker: An executor of one thread, which writes it.
            is_hashed: Whether its bytes are hashed.

        Raises:
            SinkError: The staged file cannot be written.
        """
        staged = storage.stage(path)
        try:
            raw = storage.open(staged)
        except OSError as error:
            storage.discard(staged)
            raise SinkError(f"{url}: cannot write {staged.local}: {error}") from error
        return cls(storage, staged, HashingStream(raw, url, worker, is_hashed=is_hashed))

    def begin(self, writer: Callable[[HashingStream], _Writer]) -> _Writer:
        """Return what a function makes of the stream; where it fails, the file is discarded."""
        try:
            return writer(self.stream)
        except BaseException:
            self.discard()
            raise

    def finish(
        self, written: Written, path: str, partition: Mapping[str, str | None] | None = None
    ) -> ExportedFile:
        """Close the file and return what a descriptor says of it.

        Args:
            written: What is in it.
            path: Its path, relative to its descriptor.
            partition: Values of the partition columns.

        Raises:
            SinkError: It could not be written.
        """
        self.stream.close()
        return ExportedFile(
            path=path,
            size=self.stream.size,
            sha256=self.stream.sha256,
            rows=written.rows,
            non_finite=written.non_finite,
            partition=dict(partition or {}),
            header_row=written.header_row,
        )

    def discard(self) -> None:
        """Close the file and throw it away."""
        self.stream.abandon()
        self.storage.discard(self.staged)
