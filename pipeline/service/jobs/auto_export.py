"""Request an export of every run that is completed, in the formats that were chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.service.catalog.run_catalog import CatalogEntry, Listing
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
        runner: Runs the exports.
        formats: Formats that the settings name; None to use those that were stored.
    """

    def __init__(
        self, store: JobStore, runner: JobRunner, formats: Sequence[Format] | None
    ) -> None:
        self._store = store
        self._runner = runner
        self._one_at_a_time = asyncio.Lock()
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

    async def change(self, formats: Sequence[Format], listing: Listing | None) -> None:
        """Choose other formats, or none to switch automatic exports off.

        Args:
            formats: The formats.
            listing: The current runs.

        Raises:
            StorageError: The choice cannot be stored.
        """
        async with self._one_at_a_time:
            if formats and not self._formats:
                self._is_new = listing is None
                if listing is not None:
                    await asyncio.to_thread(self._skip, listing)
            await asyncio.to_thread(self._store.change_setting, _SETTING, list(formats))
            self._formats = tuple(formats)

    async def handle(self, listing: Listing) -> None:
        """Request the exports of the runs that were completed since the last call."""
        if not self._formats:
            return
        async with self._one_at_a_time:
            try:
                if self._is_new:
                    await asyncio.to_thread(self._skip, listing)
                    self._store.change_setting(_SETTING, self._formats)
                    self._is_new = False
                    return
                for entry in await asyncio.to_thread(self._completed, listing):
                    if self._runner.room == 0:
                        return  # the rest follows when the queue has room again
                    await self._runner.submit(self._request(entry))
                    self._store.note_completed({entry.path: _version(entry)})
            except FlowtimeExportError as error:
                LOGGER.warning("automatic exports: %s", error)

    def _request(self, entry: CatalogEntry) -> ExportRequest:
        return ExportRequest(
            run=entry.key,
            run_id=entry.run_id,
            path=entry.path,
            formats=self._formats,
            automatic=True,
        )

    def _completed(self, listing: Listing) -> list[CatalogEntry]:
        """Return the complete runs that were not handled yet, oldest first."""
        handled = self._store.completed_runs()
        fresh = (e for e in listing.entries if e.run and handled.get(e.path) != _version(e))
        return sorted(fresh, key=lambda entry: entry.created)

    def _skip(self, listing: Listing) -> None:
        versions = {e.path: _version(e) for e in listing.entries if e.run is not None}
        self._store.note_completed(versions)


def _version(entry: CatalogEntry) -> str:
    return "" if entry.run is None else entry.run.fingerprint
