"""Keep the registry of a service up to date with its runs and exports."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from connectors.flowtime.discover.discovery import KnownRun
from connectors.storage import join
from pipeline.datapackage.descriptor import FILE_SUFFIX
from pipeline.errors import FlowtimeExportError, NotFoundError, RegistryError
from pipeline.logs import LOGGER
from pipeline.registry.entering import enter
from pipeline.registry.known_runs import KnownRuns
from pipeline.registry.rebuild import RebuildReport
from pipeline.registry.records.entries import DescriptorToEnter
from pipeline.registry.registry import Registry
from pipeline.service.catalog.locations import ExportLocation, Locations
from pipeline.service.errors import BusyError

_RETRY_SECONDS = 10.0
_ASK = "try again later, or check the registry's database"


class ArtifactCatalog:
    """The registry of a service.

    What blocks is to be called on a thread. A registry that cannot be opened fails its own routes
    and nothing else; opening is tried again from time to time.

    Args:
        url: The registry's URL.
        locations: Where runs and exports are.
    """

    def __init__(self, url: str, locations: Locations) -> None:
        self._url = url
        self._locations = locations
        self._registry: Registry | None = None
        self._opening = threading.Lock()
        self._rebuilding = asyncio.Lock()
        self._failed_until = 0.0
        self._is_rebuild_queued = False
        self._tasks: set[asyncio.Task[None]] = set()

    def registry(self) -> Registry:
        """Return the registry; opens it first where need be.

        Raises:
            BusyError: It cannot be opened.
        """
        with self._opening:
            if self._registry is None:
                if time.monotonic() < self._failed_until:
                    raise BusyError("the registry cannot be opened", _ASK)
                try:
                    self._registry = Registry(self._url)
                except FlowtimeExportError as error:
                    self._failed_until = time.monotonic() + _RETRY_SECONDS
                    LOGGER.warning("%s", error)
                    raise BusyError(f"the registry cannot be opened: {error}", _ASK) from error
            return self._registry

    def known_runs(self) -> KnownRun | None:
        """Return the runs that need not be read again; None where the registry is of no use."""
        try:
            return KnownRuns(self.registry().database, self._locations.runs.url)
        except (BusyError, RegistryError) as error:
            LOGGER.warning("%s; all runs are read", error)
            return None

    async def rebuild(self) -> RebuildReport:
        """Enter all runs and exports, and forget what is gone.

        Raises:
            BusyError: The registry cannot be opened.
            StorageError: The runs cannot be listed.
        """
        async with self._rebuilding:
            return await asyncio.to_thread(self._rebuild)

    def rebuild_later(self) -> None:
        """Enter all runs and exports in the background."""
        if not self._is_rebuild_queued:
            self._is_rebuild_queued = True
            self._later(self._rebuild)

    def enter_export(self, folder: ExportLocation) -> None:
        """Enter the export in a folder in the background, as it was just written."""
        descriptor = join(folder.path, "export" + FILE_SUFFIX)
        written = [DescriptorToEnter(folder.storage, descriptor, is_new=True)]
        self._later(lambda: enter(self.registry(), None, written, lambda: None))

    def enter_comparisons(self) -> None:
        """Enter the comparisons that were written, and forget those that are not kept any more."""
        self._later(lambda: self.registry().rebuild(self._locations.comparisons.url))

    async def close(self) -> None:
        """Wait for what is being entered, and close the registry."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._registry is not None:
            await asyncio.to_thread(self._registry.close)

    def _rebuild(self) -> RebuildReport:
        self._is_rebuild_queued = False
        options = self._locations.options
        report = self.registry().rebuild(*self._roots(), storage_options=options)
        self.registry().list(limit=1, facets=True)  # so that the first page need not wait for them
        return report

    def _roots(self) -> Iterator[str]:
        yield self._locations.runs.url
        for one in (self._locations.exports, self._locations.comparisons):
            if one is not None:
                with suppress(NotFoundError):  # nothing was written yet
                    one.storage.check_list(one.path)
                    yield one.url

    def _later(self, work: Callable[[], object]) -> None:
        async def run() -> None:
            async with self._rebuilding:
                try:
                    await asyncio.to_thread(work)
                except FlowtimeExportError as error:
                    LOGGER.warning("the registry is not up to date: %s", error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
