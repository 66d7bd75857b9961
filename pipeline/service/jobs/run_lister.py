"""List the runs in a process of its own, so that requests need not share the interpreter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr, field_serializer

from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.registry.run_list.damage import RunDamage
from pipeline.registry.run_list.updating import RunListState
from pipeline.service.api_base import Data
from pipeline.service.jobs.worker_process import WorkerDiedError, WorkerProcess
from pipeline.service.settings import ServiceSettings

_MODULE = "pipeline.service.worker.list_work"
_IDLE_SECONDS = 90.0
_GRACE_SECONDS = 5.0


class ListOrder(Data):
    """What a process lists.

    Attributes:
        runs, exports, state: As in `ServiceSettings`.
        storage_options: Likewise; they may hold secrets, and go over stdin.
        damage: The runs that jobs have found damaged.
    """

    runs: str
    exports: str | None
    storage_options: tuple[SecretStr, ...]
    state: str
    damage: dict[str, tuple[str, str]]

    @field_serializer("storage_options", when_used="json")
    def _revealed(self, options: tuple[SecretStr, ...]) -> list[str]:
        return [one.get_secret_value() for one in options]

    def settings(self) -> ServiceSettings:
        """Return the settings of the service, as far as they say where runs are."""
        return ServiceSettings.model_validate(
            {
                "runs": self.runs,
                "exports": self.exports,
                "storage_options": tuple(one.get_secret_value() for one in self.storage_options),
                "state": self.state,
            }
        )


class ProcessLister:
    """Lists runs in one process, which ends when nothing was to be listed for a while.

    Args:
        settings: Where the runs are.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._worker: WorkerProcess | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def list_runs(self, damage: RunDamage, found: Callable[[int], None]) -> RunListState:
        """List the runs, and return the list as a whole.

        Args:
            damage: The runs that jobs have found damaged.
            found: Called now and then with the number of runs and exports found so far.

        Raises:
            FlowtimeExportError: The runs cannot be listed.
        """

        def note(event: dict[str, Any]) -> None:
            if event["event"] == "progress":
                found(event["found"])

        worker = await self._started()
        try:
            event = await worker.work(self._order(damage), note)
        except WorkerDiedError as error:
            self._worker = None
            raise FlowtimeExportError(f"the process that lists the runs: {error}") from error
        self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._end)
        if event["event"] == "done":
            return RunListState(**event["report"])
        if "trace" in event:
            LOGGER.error("listing the runs failed: %s", event["trace"])
        raise FlowtimeExportError(event["error"])

    async def close(self) -> None:
        """End the process."""
        self._end()
        await asyncio.gather(*self._ending)

    async def _started(self) -> WorkerProcess:
        if self._idle is not None:
            self._idle.cancel()
        if self._worker is not None and not self._worker.is_usable:
            self._end()
        if self._worker is None:
            try:
                self._worker = await WorkerProcess.start(_MODULE)
            except OSError as error:
                raise FlowtimeExportError(
                    f"the process that lists the runs cannot be started: {error.strerror}"
                ) from error
        return self._worker

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            task = asyncio.get_running_loop().create_task(worker.end(_GRACE_SECONDS))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _order(self, damage: RunDamage) -> ListOrder:
        return ListOrder(
            runs=self._settings.runs,
            exports=self._settings.exports,
            storage_options=tuple(map(SecretStr, self._settings.storage_options)),
            state=str(self._settings.state_folder),
            damage=dict(damage),
        )
