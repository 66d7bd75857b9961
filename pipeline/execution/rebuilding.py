"""Read what a rebuild of the registry enters, in worker processes."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from connectors.flowtime.discover.folder_parts import folders_to_divide
from connectors.storage import StorageOptions, connect
from pipeline.errors import RegistryError, SinkError, StorageError
from pipeline.execution.engine import available_cores
from pipeline.registry.artifact_reading import PartRead, ReadingPart, lower_priority
from pipeline.registry.rebuild import FEWEST_FOLDERS, ReadElsewhere

if TYPE_CHECKING:
    from pipeline.execution.processes import ProcessExecutor

_MOST_WORKERS = 4
"""To write what they have read takes one process half as long as to read it."""

_PARTS_AHEAD = 24
"""Parts of 256 runs that are read ahead: more than a transaction, for which none waits then."""


@contextmanager
def reading_workers(
    urls: Sequence[str], options: StorageOptions | None
) -> Iterator[ReadElsewhere | None]:
    """Give what reads folders in worker processes; None where this process does it sooner.

    Open the registry after this: as long as this process has one thread, and no connection, the
    workers are copies of it.

    Args:
        urls: The folders that will be read.
        options: The options to connect with.
    """
    workers = min(available_cores(), _MOST_WORKERS)
    if workers < 2 or not any(_is_large(url, options) for url in urls):
        yield None
        return
    # Imported when needed, as small folders are read without.
    processes = importlib.import_module("pipeline.execution.processes")
    try:
        executor: ProcessExecutor = processes.ProcessExecutor(workers)
        executor.start()
    except SinkError:  # too little memory, say: then all is read here
        yield None
        return
    try:
        yield lambda parts: _read(executor, parts)
    except BaseException:
        executor.is_usable = False
        raise
    finally:
        executor.close()


def _is_large(url: str, options: StorageOptions | None) -> bool:
    storage, path = connect(url, options)
    try:
        return folders_to_divide(storage, path, FEWEST_FOLDERS) is not None
    except StorageError:  # which the rebuild reports, and goes on with the other folders
        return False


def _read(executor: ProcessExecutor, parts: Sequence[ReadingPart]) -> Iterator[PartRead]:
    waiting: deque[Future[PartRead]] = deque()
    try:
        for part in parts:
            waiting.append(executor.call(partial(_read_part, part)))
            if len(waiting) >= _PARTS_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except executor.ended as error:
        raise RegistryError(
            "a process that reads folders for the registry ended in the middle of its work; what "
            "was entered before is kept: run the rebuild again"
        ) from error


def _read_part(part: ReadingPart) -> PartRead:
    """Read a part, with a lower priority than the process that writes: it takes longer."""
    lower_priority()
    return part.read()
