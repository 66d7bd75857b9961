"""Make passes over folders in a process of its own, so that requests have the interpreter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_serializer

from pipeline.errors import (
    FlowtimeExportError,
    RegistryError,
    RegistryTimeoutError,
    StorageError,
)
from pipeline.logs import LOGGER
from pipeline.registry.rebuild_report import RebuildReport
from pipeline.registry.run_list.damage import RunDamage
from pipeline.registry.run_list.updating import RunListState
from pipeline.service.api_base import Data
from pipeline.service.jobs.worker_process import WorkerDiedError, WorkerProcess
from pipeline.service.settings import ServiceSettings

_MODULE = "pipeline.service.worker.registry_work"
_IDLE_SECONDS = 90.0
_GRACE_SECONDS = 5.0
_KINDS = {one.__name__: one for one in (RegistryError, RegistryTimeoutError)}


class ServedFolders(Data):
    """Where a service has its files, as its settings say it; it goes to a process over stdin.

    Attributes:
        runs, exports, state: As in `ServiceSettings`.
        storage_options: Likewise; they may hold secrets.
    """

    runs: str
    exports: str | None
    storage_options: tuple[SecretStr, ...]
    state: str

    @field_serializer("storage_options", when_used="json")
    def _revealed(self, options: tuple[SecretStr, ...]) -> list[str]:
        return [one.get_secret_value() for one in options]

    def settings(self) -> ServiceSettings:
        """Return the settings of the service, as far as they say where it has its files."""
        return ServiceSettings.model_validate(
            {
                "runs": self.runs,
                "exports": self.exports,
                "storage_options": tuple(one.get_secret_value() for one in self.storage_options),
                "state": self.state,
            }
        )


class ListOrder(Data):
    """The order to list the runs.

    Attributes:
        folders: Where they are.
        damage: The runs that jobs have found damaged.
    """

    kind: Literal["list"] = "list"
    folders: ServedFolders
    damage: dict[str, tuple[str, str]]


class RebuildOrder(Data):
    """The order to enter what is below some folders in a registry.

    Attributes:
        folders: The folders of the service.
        registry: URL of the registry.
        roots: URLs of the folders that are looked through.
    """

    kind: Literal["rebuild"] = "rebuild"
    folders: ServedFolders
    registry: SecretStr
    roots: tuple[str, ...]

    @field_serializer("registry", when_used="json")
    def _revealed(self, url: SecretStr) -> str:
        return url.get_secret_value()


RegistryOrder = Annotated[ListOrder | RebuildOrder, Field(discriminator="kind")]


class RegistryWorker:
    """Carries out one order after the other in a process, which ends when it is idle for a while.

    Args:
        settings: Where the service has its files.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._folders = ServedFolders(
            runs=settings.runs,
            exports=settings.exports,
            storage_options=tuple(map(SecretStr, settings.storage_options)),
            state=str(settings.state_folder),
        )
        self._worker: WorkerProcess | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._one_at_a_time = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def list_runs(self, damage: RunDamage, found: Callable[[int], None]) -> RunListState:
        """List the runs, and return the list as a whole.

        Args:
            damage: The runs that jobs have found damaged.
            found: Called now and then with the number of runs and exports found so far.

        Raises:
            FlowtimeExportError: The runs cannot be listed.
        """
        order = ListOrder(folders=self._folders, damage=dict(damage))
        return RunListState(**await self._done(order, found))

    async def rebuild(self, registry: str, roots: Sequence[str]) -> RebuildReport:
        """Enter all runs and exports below some folders, and forget what is gone there.

        Args:
            registry: URL of the registry.
            roots: URLs of the folders.

        Raises:
            FlowtimeExportError: A folder cannot be listed, or the registry failed.
        """
        order = RebuildOrder(
            folders=self._folders, registry=SecretStr(registry), roots=tuple(roots)
        )
        return RebuildReport(**await self._done(order, lambda found: None))

    async def close(self) -> None:
        """End the process, and start no other."""
        self._is_closed = True
        self._end()
        await asyncio.gather(*self._ending)

    async def _done(
        self, order: ListOrder | RebuildOrder, found: Callable[[int], None]
    ) -> dict[str, Any]:
        """Return the report of an order that was carried out."""

        def note(event: dict[str, Any]) -> None:
            if event["event"] == "progress":
                found(event["found"])
            elif event["event"] == "problem":
                LOGGER.info("not listed: %s", event["message"])

        async with self._one_at_a_time:
            worker = await self._started()
            try:
                event = await worker.work(order, note)
            except WorkerDiedError as error:
                self._worker = None
                raise FlowtimeExportError(f"the process that lists folders: {error}") from error
            self._idle = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._end)
        if event["event"] == "done":
            report: dict[str, Any] = event["report"]
            return report
        if "trace" in event:
            LOGGER.error("listing folders failed: %s", event["trace"])
        is_of_store = event.get("code") == "store-failed"
        other = StorageError if is_of_store else FlowtimeExportError
        raise _KINDS.get(event["type"], other)(event["error"])

    async def _started(self) -> WorkerProcess:
        if self._is_closed:
            raise FlowtimeExportError("the service ends")
        if self._idle is not None:
            self._idle.cancel()
        if self._worker is not None and not self._worker.is_usable:
            self._end()
        if self._worker is None:
            try:
                self._worker = await WorkerProcess.start(_MODULE)
            except OSError as error:
                raise FlowtimeExportError(
                    f"the process that lists folders cannot be started: {error.strerror}"
                ) from error
        return self._worker

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            task = asyncio.get_running_loop().create_task(worker.end(_GRACE_SECONDS))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
