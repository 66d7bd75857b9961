"""Find out what is wrong with the service: the storages, and the folder of its state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal

from pydantic import ConfigDict

from pipeline.errors import NotFoundError, StorageError
from pipeline.service.api_base import Data
from pipeline.service.catalog.locations import Locations
from pipeline.service.catalog.run_catalog import RunCatalog
from pipeline.service.jobs.job_store import JobStore

_LEAST_SECONDS = 5.0
_MOST_SECONDS = 10.0

Part = Literal["runs", "exports", "history"]


class HealthProblem(Data):
    """A part of the service that does not work.

    Attributes:
        part: `runs`: they cannot be listed; `exports`: their storage fails; `history`: jobs cannot
            be recorded.
        message: What is wrong.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"part": "runs", "message": "runs: no such folder"}}
    )

    part: Part
    message: str


class HealthMonitor:
    """Checks the parts of the service when it is asked, and at most every few seconds.

    Args:
        locations: Where runs and exports are.
        catalog: Lists the runs.
        store: The history.
        changed: Called when a problem comes or goes.
    """

    def __init__(
        self,
        locations: Locations,
        catalog: RunCatalog,
        store: JobStore,
        changed: Callable[[], None],
    ) -> None:
        self._locations = locations
        self._catalog = catalog
        self._store = store
        self._changed = changed
        self._found: dict[Part, str] = {}
        self._checked = 0.0
        self._checking: asyncio.Task[None] | None = None

    async def problems(self) -> list[HealthProblem]:
        """Return the problems; a storage that does not respond in time is one."""
        if time.monotonic() - self._checked > _LEAST_SECONDS:
            await asyncio.wait([self._begin()], timeout=_MOST_SECONDS)
            if self._checking is not None and not self._checking.done():
                self._found["runs"] = "the storage does not respond"
        return [HealthProblem(part=part, message=text) for part, text in self._found.items()]

    def expire(self) -> None:
        """Check again at the next request."""
        self._checked = 0.0

    async def close(self) -> None:
        """Wait for a check that is being made."""
        if self._checking is not None:
            await asyncio.gather(self._checking, return_exceptions=True)

    def _begin(self) -> asyncio.Task[None]:
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        return self._checking

    async def _check(self) -> None:
        before = dict(self._found)
        found = await asyncio.to_thread(self._look)
        self._found = found
        self._checked = time.monotonic()
        if self._catalog.is_old or ("runs" in before and "runs" not in found):
            self._catalog.begin()
        if before != found:
            self._changed()

    def _look(self) -> dict[Part, str]:
        found: dict[Part, str] = {}
        runs, exports = self._locations.runs, self._locations.exports
        try:
            runs.storage.check_list(runs.path)
        except StorageError as error:
            found["runs"] = self._locations.masked(str(error))
        else:
            if self._catalog.problem is not None:
                found["runs"] = self._catalog.problem
        if exports is not None:
            try:
                exports.storage.check_list(exports.path)
            except NotFoundError:
                pass  # the first export makes the folder
            except StorageError as error:
                found["exports"] = self._locations.masked(str(error))
        self._store.check()
        if self._store.problem is not None:
            found["history"] = self._locations.masked(self._store.problem)
        return found
