"""Delete the oldest exports with options, so that they stay within limits of age, size and number.

Each choice of columns, metadata and rows makes a folder of its own (`custom-…`). Nothing else
removes them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from pipeline.errors import StorageError
from pipeline.logs import LOGGER
from pipeline.service.catalog.export_store import ExportStore
from pipeline.service.catalog.locations import ExportLocation, Locations
from pipeline.service.errors import RequestConflictError
from pipeline.service.jobs.job import ExportRequest, Job
from pipeline.service.jobs.job_runner import JobRunner
from pipeline.service.jobs.job_store import CustomExport, JobStore
from pipeline.service.settings import ServiceSettings


class ExportRetention:
    """Records exports with options, and deletes those beyond the limits.

    Args:
        settings: The limits.
        store: Stores which exports there are.
        exports: Deletes exports.
        locations: Where exports are.
        runner: Keeps jobs from writing an export while it is deleted.
        deleted: Called with the folder of each export that was deleted.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        store: JobStore,
        exports: ExportStore,
        locations: Locations,
        runner: JobRunner,
        deleted: Callable[[ExportLocation], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._exports = exports
        self._locations = locations
        self._runner = runner
        self._deleted = deleted
        self._applying: asyncio.Task[None] | None = None

    def record(self, job: Job, folder: str) -> None:
        """Record the export of a finished job, and apply the limits in the background.

        Args:
            job: A job that has written an export with options.
            folder: Folder of the export, as its storage names it.
        """
        request = job.request
        if not isinstance(request, ExportRequest) or request.variant is None:
            return
        size = sum(file.bytes for file in job.files)
        now = datetime.now(UTC)
        self._store.note_custom_export(
            CustomExport(request.path, request.variant, folder, size, now)
        )
        self.begin()

    def begin(self) -> None:
        """Apply the limits in the background."""
        if self._applying is None or self._applying.done():
            self._applying = asyncio.create_task(self._apply())

    async def close(self) -> None:
        """Wait until the limits are applied."""
        if self._applying is not None:
            await asyncio.gather(self._applying, return_exceptions=True)

    async def _apply(self) -> None:
        try:
            known = await asyncio.to_thread(self._store.custom_exports)
            for export in excess(known, self._settings, datetime.now(UTC)):
                await self._delete(export)
        except StorageError as error:
            LOGGER.warning("exports with options cannot be tidied up: %s", error)

    async def _delete(self, export: CustomExport) -> None:
        folder = self._locations.export_folder(export.folder)
        try:
            async with self._runner.held((export.path, export.variant)):
                if not self._locations.is_link(folder):
                    await asyncio.to_thread(self._exports.delete_at, folder)
                    self._deleted(folder)
                self._store.forget_custom_export(export.path, export.variant)
        except RequestConflictError:
            return  # a job is writing it anew
        LOGGER.info("export %s of %s: deleted, beyond the limits", export.variant, export.path)


def excess(
    exports: Sequence[CustomExport], settings: ServiceSettings, now: datetime
) -> list[CustomExport]:
    """Return the exports to delete: the oldest beyond each limit, but never the latest of all.

    Args:
        exports: The exports, oldest first.
        settings: The limits.
        now: The current time, UTC.
    """
    oldest = now - timedelta(days=settings.custom_export_days)
    size = 0
    of_run: Counter[str] = Counter()
    found = []
    for number, export in enumerate(reversed(exports)):
        size += export.bytes
        of_run[export.path] += 1
        is_beyond = (
            export.exported < oldest
            or size > settings.custom_export_bytes
            or of_run[export.path] > settings.custom_exports_per_run
        )
        if number > 0 and is_beyond:
            found.append(export)
            size -= export.bytes
    return found[::-1]
