"""Keep the registry of artifacts of a service up to date with its runs and exports."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from connectors.storage import join
from pipeline.datapackage.descriptor import FILE_SUFFIX
from pipeline.errors import FlowtimeExportError, NotFoundError
from pipeline.logs import LOGGER
from pipeline.registry.entering import enter
from pipeline.registry.rebuild_report import RebuildReport
from pipeline.registry.records.descriptor_records import keys_of_descriptor
from pipeline.registry.records.entries import DescriptorToEnter
from pipeline.registry.registry import Registry
from pipeline.service.catalog.locations import ExportLocation, Locations
from pipeline.service.catalog.registry_handle import RegistryHandle
from pipeline.service.catalog.run_listing import RegistryProcess, pass_of, stop_after

_DESCRIPTOR = f"export{FILE_SUFFIX}"


class ArtifactCatalog:
    """The registry that the routes of artifacts use.

    Args:
        registry: The registry. One that cannot be opened fails its own routes and nothing else.
        locations: Where runs and exports are.
        has_runs: Whether the catalogue of the runs enters these in the same registry.
        process: Enters many runs and exports; None to enter them all on a thread.
    """

    def __init__(
        self,
        registry: RegistryHandle,
        locations: Locations,
        *,
        has_runs: bool,
        process: RegistryProcess | None = None,
    ) -> None:
        self._handle = registry
        self._locations = locations
        self._has_runs = has_runs
        self._process = process
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
            FlowtimeExportError: The runs cannot be listed, or the registry failed.
        """
        async with self._rebuilding:
            return await self._rebuild(with_runs=True)

    def rebuild_later(self) -> None:
        """Enter what the catalogue of the runs does not enter, in the background."""
        if not self._is_rebuild_queued:
            self._is_rebuild_queued = True
            self._later(self._rebuild_rest)

    def enter_export(self, folder: ExportLocation) -> None:
        """Enter the export in a folder in the background, as it was just written."""
        descriptor = join(folder.path, _DESCRIPTOR)
        written = [DescriptorToEnter(folder.storage, descriptor, is_new=True)]
        work = partial(_enter, self.registry, written)
        self._later(lambda: asyncio.to_thread(work))

    def forget_export(self, folder: ExportLocation) -> None:
        """Forget the export in a folder in the background, as it was just deleted."""
        keys = keys_of_descriptor(folder.storage.url(join(folder.path, _DESCRIPTOR)))
        self._later(lambda: asyncio.to_thread(lambda: self.registry().forget(keys)))

    def enter_comparisons(self, remove_oldest: Callable[[], None]) -> None:
        """Enter the comparisons that were written, and forget those that are not kept any more.

        Args:
            remove_oldest: Removes the results that are not kept any more; called on a thread.
        """

        def work() -> None:
            remove_oldest()
            self.registry().rebuild(self._locations.comparisons.url)

        self._later(lambda: asyncio.to_thread(work))

    async def close(self) -> None:
        """Wait for what is being entered here, and end the process that enters many."""
        if self._process is not None:
            await self._process.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _rebuild_rest(self) -> None:
        self._is_rebuild_queued = False
        await self._rebuild(with_runs=not self._has_runs)

    async def _rebuild(self, *, with_runs: bool) -> RebuildReport:
        roots = await asyncio.to_thread(lambda: [*self._roots(with_runs=with_runs)])
        report = RebuildReport()
        if roots:
            report = await self._rebuilt(roots)
        # So that the first page need not wait for its facets.
        await asyncio.to_thread(lambda: self.registry().list(limit=1, facets=True))
        return report

    async def _rebuilt(self, roots: Sequence[str]) -> RebuildReport:
        known = await asyncio.to_thread(lambda: self.registry().list(limit=1).total)
        elsewhere = None
        if self._process is not None:
            elsewhere = partial(self._process.rebuild, self._handle.url, roots)
        return await pass_of(known, partial(self._rebuilt_here, roots), elsewhere)

    def _rebuilt_here(self, roots: Sequence[str], most: int | None) -> RebuildReport:
        report = RebuildReport()
        return self.registry().rebuild(
            *roots,
            storage_options=self._locations.options,
            proceed=stop_after(most, report),
            report=report,
        )

    def _roots(self, *, with_runs: bool) -> Iterator[str]:
        if with_runs:
            yield self._locations.runs.url
        for one in (self._locations.exports, self._locations.comparisons):
            if one is not None:
                with suppress(NotFoundError):  # nothing was written yet
                    one.storage.check_list(one.path)
                    yield one.url

    def _later(self, work: Callable[[], Awaitable[object]]) -> None:
        async def run() -> None:
            async with self._rebuilding:
                try:
                    await work()
                except FlowtimeExportError as error:
                    LOGGER.warning("the registry is not up to date: %s", error)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _enter(registry: Callable[[], Registry], written: Sequence[DescriptorToEnter]) -> None:
    for refused in enter(registry(), None, written, lambda: None):
        LOGGER.info("not entered: %s", refused)
