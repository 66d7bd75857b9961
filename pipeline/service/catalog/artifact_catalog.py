"""Keep the registry of artifacts of a service up to date with its runs and exports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from connectors.storage import join
from pipeline.datapackage.descriptor import FILE_SUFFIX
from pipeline.errors import FlowtimeExportError, NotFoundError
from pipeline.logs import LOGGER
from pipeline.registry.entering import enter
from pipeline.registry.rebuild import RebuildReport
from pipeline.registry.records.entries import DescriptorToEnter
from pipeline.registry.registry import Registry
from pipeline.service.catalog.locations import ExportLocation, Locations
from pipeline.service.catalog.registry_handle import RegistryHandle


class ArtifactCatalog:
    """The registry that the routes of artifacts use.

    Args:
        registry: The registry. One that cannot be opened fails its own routes and nothing else.
        locations: Where runs and exports are.
        has_runs: Whether the catalogue of the runs enters these in the same registry.
    """

    def __init__(self, registry: RegistryHandle, locations: Locations, *, has_runs: bool) -> None:
        self._handle = registry
        self._locations = locations
        self._has_runs = has_runs
        self._rebuilding = asyncio.Lock()
        self._is_rebuild_queued = False
        self._tasks: set[asyncio.Task[None]] = set()

    def registry(self) -> Registry:
        """Return the registry; opens it first where need be. To be called on a thread.

        Raises:
            BusyError: It cannot be opened.
        """
        return self._handle.registry()

    async def rebuild(self) -> RebuildReport:
        """Enter all runs and exports, and forget what is gone.

        Raises:
            BusyError: The registry cannot be opened.
            StorageError: The runs cannot be listed.
        """
        async with self._rebuilding:
            return await asyncio.to_thread(self._rebuild, with_runs=True)

    def rebuild_later(self) -> None:
        """Enter what the catalogue of the runs does not enter, in the background."""
        if not self._is_rebuild_queued:
            self._is_rebuild_queued = True
            self._later(self._rebuild_rest)

    def enter_export(self, folder: ExportLocation) -> None:
        """Enter the export in a folder in the background, as it was just written."""
        descriptor = join(folder.path, "export" + FILE_SUFFIX)
        written = [DescriptorToEnter(folder.storage, descriptor, is_new=True)]
        self._later(lambda: enter(self.registry(), None, written, lambda: None))

    def enter_comparisons(self) -> None:
        """Enter the comparisons that were written, and forget those that are not kept any more."""
        self._later(lambda: self.registry().rebuild(self._locations.comparisons.url))

    async def close(self) -> None:
        """Wait for what is being entered."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _rebuild_rest(self) -> None:
        self._is_rebuild_queued = False
        self._rebuild(with_runs=not self._has_runs)

    def _rebuild(self, *, with_runs: bool) -> RebuildReport:
        roots = [*self._roots(with_runs=with_runs)]
        report = RebuildReport()
        if roots:
            options = self._locations.options
            self.registry().rebuild(*roots, storage_options=options, report=report)
        self.registry().list(limit=1, facets=True)  # so that the first page need not wait for them
        return report

    def _roots(self, *, with_runs: bool) -> Iterator[str]:
        if with_runs:
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
