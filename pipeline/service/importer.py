"""Uploaded files to runs, one import at a time in a process of its own."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pipeline.service.errors import BusyError, FailedError
from pipeline.service.import_order import ImportOrder, ImportWishes
from pipeline.service.places import Places
from pipeline.service.settings import ServiceSettings
from pipeline.service.worker_process import WorkerDiedError, WorkerProcess

MOST_UPLOADS = 4
_MODULE = "pipeline.service.import_worker"


class Importer:
    """Takes uploads, a few at a time.

    Args:
        settings: Limits.
        places: Where runs are.
        folder: Where uploads lie meanwhile; emptied at the start.
    """

    def __init__(self, settings: ServiceSettings, places: Places, folder: Path) -> None:
        self._settings = settings
        self._places = places
        self._folder = folder
        self._uploads = 0
        # One at a time writes: two imports of the same run must not meet.
        self._turn = asyncio.Lock()
        self._worker: WorkerProcess | None = None
        shutil.rmtree(folder, ignore_errors=True)

    @asynccontextmanager
    async def upload(self) -> AsyncIterator[Path]:
        """A folder for the files of one upload, for as long as the block lasts.

        Raises:
            BusyError: So many uploads come in that no more fit on the disk for sure.
        """
        if self._uploads >= MOST_UPLOADS:
            raise BusyError(
                f"{self._uploads} uploads are coming in already",
                "try again later",
                headers={"Retry-After": "15"},
            )
        folder = self._folder / secrets.token_hex(8)
        self._uploads += 1
        try:
            folder.mkdir(parents=True, mode=0o700)
            yield folder
        finally:
            self._uploads -= 1
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def run(self, sources: Sequence[Path], wishes: ImportWishes) -> dict[str, Any]:
        """Import files into the folder of the runs.

        Returns:
            What the worker told last: `done` with a report, or `failed` with the reason.

        Raises:
            FailedError: The worker died, or took too long.
        """
        order = ImportOrder(
            sources=[str(path) for path in sources],
            out=self._places.runs.url,
            storage=None if self._places.options is None else self._places.options.revealed(),
            protocol=None if self._places.options is None else self._places.options.protocol,
            wishes=wishes,
            address_space=self._settings.address_space,
        )
        async with self._turn:
            return await self._ordered(order)

    async def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            await self._worker.end(self._settings.cancel_grace)
            self._worker = None

    async def _ordered(self, order: ImportOrder) -> dict[str, Any]:
        if self._worker is None or not self._worker.is_usable:
            await self.close()
            self._worker = await WorkerProcess.start(_MODULE)
        is_answered = False
        try:
            told = await asyncio.wait_for(
                self._worker.work(order, lambda event: None), self._settings.job_timeout
            )
            is_answered = True
        except TimeoutError:
            raise FailedError("the import took too long", "see --job-timeout") from None
        except WorkerDiedError as death:
            hint = "it may have needed more memory; nothing of it is a complete run"
            raise FailedError(str(death), hint) from death
        finally:
            if not is_answered:  # what it is at must not go on
                await self.close()
        return told
