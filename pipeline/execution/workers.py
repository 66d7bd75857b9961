"""The worker processes of an export, started when they are worth it, and ended with it."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING

from connectors.flowtime.discover.discovery import Discovery
from connectors.flowtime.discover.selection import Selection
from connectors.flowtime.discover.source_root import SourceRoot
from connectors.storage import Storage
from pipeline.config import ExportConfig
from pipeline.execution.discovery import (
    FEWEST_FOLDERS,
    FEWEST_FOLDERS_OF_TWO,
    DiscoveryMessage,
    discover_in_parts,
)
from pipeline.execution.engine import EngineChoice, most_workers, open_executor
from pipeline.execution.executor import Executor

if TYPE_CHECKING:
    from pipeline.execution.processes import ProcessExecutor


class Workers:
    """Worker processes that are used for discovery and for all attempts; a context manager.

    Args:
        config: The settings of the export.
    """

    def __init__(self, config: ExportConfig) -> None:
        self._config = config
        self._started: ProcessExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._started is not None:
            self._started.is_usable = False
        self._end()

    def discover(
        self,
        storage: Storage,
        root: SourceRoot,
        selection: Selection,
        time_origin: datetime | None,
        summarise: bool,
    ) -> Discovery | None:
        """Find the runs in worker processes; None where one process does it sooner.

        Raises:
            StorageError: The listing failed.
        """
        execution = self._config.execution
        workers = most_workers(execution)
        if execution.engine not in ("auto", "processes") or workers < 2:
            return None
        folders = storage.folders(root.path)
        if folders is None or len(folders) < self._fewest_folders(workers) or "series" in folders:
            return None
        processes = self._processes(workers)
        with processes.translated():
            options = self._config.storage_options(self._config.source.storage)
            url = storage.url(root.path)
            whole = DiscoveryMessage(url, options, root.pattern, selection, time_origin, summarise)
            return discover_in_parts(processes.discover, whole, folders)

    @property
    def have_started(self) -> bool:
        """Whether processes are there already."""
        return self._started is not None

    def _fewest_folders(self, workers: int) -> int:
        """Return how many folders are worth starting workers before the job is known."""
        if self._config.execution.engine == "processes":
            return FEWEST_FOLDERS
        return max(FEWEST_FOLDERS, FEWEST_FOLDERS_OF_TWO // (workers - 1))

    def open(self, choice: EngineChoice) -> AbstractContextManager[Executor]:
        """Return the executor of a choice.

        Raises:
            ConfigError: The engine's packages are missing.
        """
        if choice.engine == "processes":
            return nullcontext(self._processes(choice.workers))
        return open_executor(choice, self._config.execution)

    def _processes(self, workers: int) -> ProcessExecutor:
        if self._started is not None and not self._started.is_usable:
            self._end()
        if self._started is None:
            # Imported when needed, as small exports do without.
            processes = importlib.import_module("pipeline.execution.processes")
            self._started = processes.ProcessExecutor(workers)
            self._started.start()
        return self._started

    def _end(self) -> None:
        started, self._started = self._started, None
        if started is not None:
            started.close()
