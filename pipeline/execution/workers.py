"""Start or connect to the workers of an export, when they are worth it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING

from connectors.flowtime.discover.discovery import Discovery
from connectors.flowtime.discover.folder_parts import folders_to_divide
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
from pipeline.execution.engine import (
    EngineChoice,
    can_be_copied,
    connect_cluster,
    most_workers,
)
from pipeline.execution.executor import Executor, InProcessExecutor

if TYPE_CHECKING:
    from pipeline.execution.dask_executor import DaskExecutor
    from pipeline.execution.processes import ProcessExecutor


class Workers:
    """The workers of an export, for discovery and for all attempts; a context manager.

    Args:
        config: The settings of the export.
    """

    def __init__(self, config: ExportConfig) -> None:
        self._config = config
        self._started: ProcessExecutor | None = None
        self._connected: DaskExecutor | None = None
        self._cluster_left = ExitStack()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._started is not None:
            self._started.is_usable = False
        self._end()
        self._cluster_left.close()

    def discover(
        self,
        storage: Storage,
        root: SourceRoot,
        selection: Selection,
        time_origin: datetime | None,
        summarise: bool,
    ) -> Discovery | None:
        """Find the runs in workers; None where this process does it sooner.

        Raises:
            ConfigError: The cluster does not answer, or its package is missing.
            StorageError: The listing failed.
        """
        execution = self._config.execution
        folders = self.divided(storage, root)
        if folders is None:
            if execution.engine == "processes" and can_be_copied():
                self._processes(most_workers(execution))  # later they could be no copies
            return None
        if execution.engine == "dask":
            workers: ProcessExecutor | DaskExecutor = self._cluster()
        else:
            workers = self._processes(most_workers(execution))
        with workers.translated():
            options = self._config.storage_options(self._config.source.storage)
            url = storage.url(root.path)
            whole = DiscoveryMessage(url, options, root.pattern, selection, time_origin, summarise)
            found = discover_in_parts(workers, whole, folders, _load)
        if execution.engine == "processes" and self._started is not None:
            self._started.load()  # while this process plans
        return found

    def are_worth(self, storage: Storage, roots: Iterable[SourceRoot]) -> bool:
        """Return whether the runs of some roots would be found by workers."""
        return any(self.divided(storage, root) is not None for root in roots)

    def divided(self, storage: Storage, root: SourceRoot) -> list[str] | None:
        """Return the folders in a root that workers divide; None where there are too few."""
        fewest = self._fewest_folders()
        return None if fewest is None else folders_to_divide(storage, root.path, fewest)

    @property
    def have_started(self) -> bool:
        """Whether processes are there already."""
        return self._started is not None

    def _fewest_folders(self) -> int | None:
        """Return how many folders are worth workers before the job is known; None for never."""
        execution = self._config.execution
        if execution.engine == "dask":
            return FEWEST_FOLDERS
        workers = most_workers(execution)
        if execution.engine == "local" or workers < 2:
            return None
        if execution.engine == "processes" or can_be_copied():
            return FEWEST_FOLDERS
        return max(FEWEST_FOLDERS, FEWEST_FOLDERS_OF_TWO // (workers - 1))

    def open(self, choice: EngineChoice) -> Executor:
        """Return the executor of a choice, which ends with this context.

        Raises:
            ConfigError: The cluster does not answer, or its package is missing.
        """
        if choice.engine == "processes":
            return self._processes(choice.workers)
        return self._cluster() if choice.engine == "dask" else InProcessExecutor()

    def _cluster(self) -> DaskExecutor:
        if self._connected is None:
            cluster = connect_cluster(self._config.execution)
            self._connected = self._cluster_left.enter_context(cluster)
        return self._connected

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


def _load() -> None:
    """Import what this process needs to plan, stage and join."""
    for name in ("planning.make_plan", "execution.staging"):
        importlib.import_module(f"pipeline.{name}")
