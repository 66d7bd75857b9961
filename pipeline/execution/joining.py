"""Join the segments of a single file, as they are staged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from connectors.storage import StagedFile
from pipeline.datapackage.descriptor import ExportedFile
from pipeline.errors import SinkError
from pipeline.planning.target import Target
from pipeline.rows.column import Table
from pipeline.sinks import Sink
from pipeline.sinks.sink import FileJoin, SegmentFile, Written
from pipeline.writing.hashing_stream import HashingStream
from pipeline.writing.router import StagedOutput


@dataclass
class SegmentJoin:
    """Writes one staged file from files that hold its segments.

    Attributes:
        sink: The sink of the file.
        target: The target that it is to become.
        table: What the file holds.
    """

    sink: Sink
    target: Target
    table: Table
    _worker: ThreadPoolExecutor = field(init=False, repr=False)
    _staged: StagedFile = field(init=False, repr=False)
    _stream: HashingStream = field(init=False, repr=False)
    _join: FileJoin = field(init=False, repr=False)

    def __post_init__(self) -> None:
        storage = self.target.storage
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="flowtime-join")
        self._staged = storage.stage(self.target.path)
        try:
            raw = storage.open(self._staged)
        except OSError as error:
            storage.discard(self._staged)
            raise self._error(error) from error
        self._stream = HashingStream(raw, self.target.url, self._worker)
        self._join = self.sink.join(self._stream, self.table)

    def add(self, segment: StagedFile, written: Written) -> None:
        """Copy the next segments, and remove their file.

        Raises:
            SinkError: They could not be read, or not be written.
        """
        try:
            self._join.add(SegmentFile(segment.local, written))
        except OSError as error:
            raise self._error(error) from error
        self.target.storage.discard(segment)

    def finish(self) -> StagedOutput:
        """Return the whole file.

        Raises:
            SinkError: It could not be written.
        """
        written = self._join.close()
        self._stream.close()
        self._worker.shutdown()
        file = ExportedFile(
            path=self.target.path.removeprefix(self.target.folder).lstrip("/"),
            size=self._stream.size,
            sha256=self._stream.sha256,
            rows=written.rows,
            non_finite=written.non_finite,
            partition={},
            header_row=written.header_row,
        )
        return StagedOutput(self.target, self._staged, file)

    def discard(self) -> None:
        """Discard what has been written."""
        self._stream.abandon()
        self._worker.shutdown()
        self.target.storage.discard(self._staged)

    def _error(self, error: OSError) -> SinkError:
        return SinkError(
            f"{self.target.url}: the segments of its file could not be joined: "
            f"{error.strerror or error}; nothing was published"
        )
