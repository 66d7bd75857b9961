"""Request an export of every run that is completed, in the formats that were chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from heapq import nsmallest

from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.registry.run_list.listed_run import ListedRun
from pipeline.registry.run_list.run_list import RunVersion
from pipeline.service.catalog.run_catalog import Listing, RunCatalog
from pipeline.service.jobs.job import ExportRequest
from pipeline.service.jobs.job_runner import JobRunner
from pipeline.service.jobs.job_store import JobStore
from pipeline.sinks.formats import Format

_SETTING = "auto_export"


class AutoExport:
    """Exports runs once they are complete.

    Runs that are complete when it is switched on are not exported. From then on each run is
    exported once, and again when its content changes; also a run that is completed while the
    service does not run.

    Args:
        store: Stores the formats, and which runs were handled.
        catalog: Has the runs.
        runner: Runs the exports.
        formats: Formats that the settings name; None to use those that were stored.
    """

    def __init__(
        self,
        store: JobStore,
        catalog: RunCatalog,
        runner: JobRunner,
        formats: Sequence[Format] | None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._runner = runner
        self._one_at_a_time = asyncio.Lock()
        self._settled: int | None = None  # revision of the list whose runs are all handled
        stored = tuple(store.setting(_SETTING) or ())
        self._formats: tuple[Format, ...] = stored if formats is None else tuple(formats)
        # Switched on by the settings: the first listing says which runs are complete already.
        self._is_new = bool(self._formats) and not stored
        if self._formats != stored and not self._is_new:
            store.change_setting(_SETTING, self._formats)

    @property
    def formats(self) -> tuple[Format, ...]:
        """Formats of automatic exports; none if they are switched off."""
        return self._formats

    async def change(self, formats: Sequence[Format]) -> None:
        """Choose other formats, or none to switch automatic exports off.

        Args:
            formats: The formats.

        Raises:
            StorageError: The choice cannot be stored.
            RegistryError: The runs that are complete already cannot be read.
        """
        async with self._one_at_a_time:
            if formats and not self._formats:
                self._is_new = self._catalog.last is None
                if not self._is_new:
                    await asyncio.to_thread(self._skip)
            await asyncio.to_thread(self._store.change_setting, _SETTING, list(formats))
            self._formats, self._settled = tuple(formats), None

    async def handle(self, listing: Listing) -> None:
        """Request the exports of the runs that were completed since the last call."""
        if not self._formats or listing.state.revision == self._settled:
            return
        async with self._one_at_a_time:
            try:
                if self._is_new:
                    await asyncio.to_thread(self._skip)
                    self._store.change_setting(_SETTING, self._formats)
                    self._is_new = False
                    return
                await self._submit(listing)
            except FlowtimeExportError as error:
                LOGGER.warning("automatic exports: %s", error)

    async def _submit(self, listing: Listing) -> None:
        room = self._runner.room
        completed = await asyncio.to_thread(self._completed, room)
        for run in completed:
            if self._runner.room == 0:
                return  # the rest follows when the queue has room again
            entry = await self._catalog.at(run.path)
            if entry is None or not entry.is_readable:
                continue  # it has gone meanwhile
            await self._runner.submit(self._request(entry))
            self._store.note_completed({entry.path: entry.fingerprint})
        if len(completed) < room:
            self._settled = listing.state.revision

    def _request(self, entry: ListedRun) -> ExportRequest:
        return ExportRequest(
            run=entry.key,
            run_id=entry.run_id,
            path=entry.path,
            formats=self._formats,
            automatic=True,
        )

    def _completed(self, most: int) -> list[RunVersion]:
        """Return the oldest of the complete runs that were not handled yet."""
        fresh = (run for some in self._catalog.readable() for run in self._unhandled(some))
        return nsmallest(most, fresh, key=lambda run: (run.created, run.path))

    def _unhandled(self, runs: Sequence[RunVersion]) -> Iterator[RunVersion]:
        handled = self._store.completed_runs([run.path for run in runs])
        return (run for run in runs if handled.get(run.path) != run.fingerprint)

    def _skip(self) -> None:
        for some in self._catalog.readable():
            self._store.note_completed({run.path: run.fingerprint for run in some})
