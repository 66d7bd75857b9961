"""Join the segments of a single file, as they are staged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from connectors.storage import StagedFile
from pipeline.errors import SinkError
from pipeline.planning.target import Target
from pipeline.rows.column import Table
from pipeline.sinks import Sink, Written
from pipeline.sinks.sink import SegmentFile
from pipeline.writing.router import StagedOutput
from pipeline.writing.staged_stream import StagedStream


class SegmentJoin:
    """Writes one staged file from files that hold its segments.

    Args:
        sink: The sink of the file.
        target: The target that it is to become.
        table: What the file holds.

    Raises:
        SinkError: The staged file cannot be written.
    """

    def __init__(self, sink: Sink, target: Target, table: Table) -> None:
        self._target = target
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="flowtime-join")
        self._output = StagedStream.open(target.storage, target.path, target.url, self._worker)
        self._join = self._output.begin(lambda stream: sink.join(stream, table))

    def add(self, segment: StagedFile, written: Written) -> None:
        """Copy the next segments, and remove their file.

        Raises:
            SinkError: They could not be read, or not be written.
        """
        try:
            self._join.add(SegmentFile(segment.local, written))
        except OSError as error:
            raise SinkError(
                f"{self._target.url}: the segments of its file could not be joined: "
                f"{error.strerror or error}; nothing was published"
            ) from error
        self._target.storage.discard(segment)

    def finish(self) -> StagedOutput:
        """Return the whole file.

        Raises:
            SinkError: It could not be written.
        """
        path = self._target.relative_path(self._target.path)
        file = self._output.finish(self._join.close(), path)
        self._worker.shutdown()
        return StagedOutput(self._target, self._output.staged, file)

    def discard(self) -> None:
        """Discard what has been written."""
        self._output.discard()
        self._worker.shutdown()
