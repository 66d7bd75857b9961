"""Put the parts of a running service together."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass

import anyio
from pydantic import BaseModel

from pipeline.errors import FlowtimeExportError, StorageError
from pipeline.logs import LOGGER
from pipeline.registry.run_list.listed_run import ListedRun
from pipeline.service.catalog.artifact_catalog import ArtifactCatalog
from pipeline.service.catalog.export_store import ExportStore
from pipeline.service.catalog.locations import ExportLocation, Locations
from pipeline.service.catalog.registry_handle import RegistryHandle
from pipeline.service.catalog.run_catalog import Listing, RunCatalog
from pipeline.service.catalog.upload_room import UploadRoom
from pipeline.service.errors import UnknownError
from pipeline.service.jobs.auto_export import AutoExport
from pipeline.service.jobs.compare_order import CompareRequest
from pipeline.service.jobs.comparisons import Comparisons
from pipeline.service.jobs.events import EventLog
from pipeline.service.jobs.export_retention import ExportRetention
from pipeline.service.jobs.import_order import ImportOrder, ImportRequest
from pipeline.service.jobs.job import AnyOrder, AnyRequest, ExportOrder, ExportRequest, Job
from pipeline.service.jobs.job_config import job_config
from pipeline.service.jobs.job_request import revealed
from pipeline.service.jobs.job_runner import JobRunner
from pipeline.service.jobs.job_store import JobStore
from pipeline.service.jobs.registry_worker import RegistryWorker
from pipeline.service.jobs.webhooks import Webhooks
from pipeline.service.settings import ServiceSettings
from pipeline.service.web.access import Access, ClientSlots, TokenBook
from pipeline.service.web.health import HealthMonitor
from pipeline.service.web.metrics import ServiceMetrics
from pipeline.service.web.run_pages import RunPages
from pipeline.service.web.transfers import Transfers

MOST_STREAMS = 200
_READERS = 32
_WRITERS = 4
_PARSERS = 2
_LOCAL_BLOCKS = 2
_REMOTE_BLOCKS = 16  # most of them wait for the store
_SEARCHERS = 2
_TIDY_SECONDS = 3600.0
_ENDED_BY_FORCE = ("WorkerDied", "Timeout", "Interrupted")


class RunsChanged(BaseModel):
    """Data of the event that the runs have changed."""

    total: int
    complete: int


class HealthChanged(BaseModel):
    """Data of the event that a problem of the service came or went."""


@dataclass(frozen=True, slots=True)
class _OrderedExport:
    """What an export was ordered for.

    Attributes:
        run: The run as it was listed then.
        folder: Where its plain export, or that of the job's variant, is.
    """

    run: ListedRun
    folder: ExportLocation


class Service:
    """Everything that routes use.

    Args:
        settings: The settings.

    Raises:
        ConfigError: They do not fit together, or the folder of the state cannot be used.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        settings.check()
        self.settings = settings
        self.locations = Locations.of(settings)
        self.tokens = TokenBook(settings)
        self.access = Access(settings, self.tokens)
        self.events = EventLog()
        self.metrics = ServiceMetrics()
        self.store = JobStore(settings.state_folder, settings.keep_jobs)
        # The runs are always in a registry of this machine: another one may be out of reach.
        self._registry = RegistryHandle(
            settings.local_registry_url, "registry.db in the folder of the state"
        )
        is_other = settings.registry_url != settings.local_registry_url
        self._other_registry = RegistryHandle(settings.registry_url) if is_other else None
        self.artifacts = ArtifactCatalog(
            self._other_registry or self._registry,
            self.locations,
            has_runs=not is_other,
            process=_process(settings),
        )
        self.catalog = RunCatalog(
            self.locations,
            self._registry,
            settings.refresh,
            self._runs_changed,
            self.store.damaged_runs,
            self._listing_problem_changed,
            _process(settings),
        )
        self.exports = ExportStore(self.locations)
        self.run_pages = RunPages(self.catalog, self.exports)
        self.temporary = settings.state_folder / "fresh"
        self.uploads = UploadRoom(settings.state_folder / "uploads")
        self.streams = ClientSlots(
            "event streams", MOST_STREAMS, settings.streams_per_client, "poll GET /v1/jobs instead"
        )
        self.readers = anyio.CapacityLimiter(_READERS)
        self.writers = anyio.CapacityLimiter(_WRITERS)
        is_local = self.exports.is_local and self.locations.runs.storage.is_local
        self.transfers = Transfers(_LOCAL_BLOCKS if is_local else _REMOTE_BLOCKS)
        self.parsers = anyio.CapacityLimiter(_PARSERS)
        # The database works without the interpreter, but not without a processor.
        self.searchers = anyio.CapacityLimiter(_SEARCHERS)
        self.webhooks = Webhooks(settings, self.store)
        self.runner = JobRunner(
            settings,
            self.store,
            self.events,
            self.locations,
            self._make_order,
            self._incomplete,
            self._job_over,
        )
        self.auto_export = AutoExport(self.store, self.catalog, self.runner, settings.auto_export)
        self.retention = ExportRetention(
            settings,
            self.store,
            self.exports,
            self.locations,
            self.runner,
            self.artifacts.forget_export,
        )
        self.comparisons = Comparisons(settings, self.locations, self.catalog, self.artifacts)
        self.health = HealthMonitor(self.locations, self.catalog, self.store, self._health_changed)
        self._ordered: dict[str, _OrderedExport] = {}
        self._open = AsyncExitStack()
        self._background: set[asyncio.Task[None]] = set()
        self._watch()

    async def start(self) -> None:
        """Start the workers, and list the runs in the background."""
        self._open.callback(self.store.close)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.uploads.take_over(job.id for job in self.store.unfinished() if job.state == "queued")
        self._open.push_async_callback(self.webhooks.close)
        self.webhooks.start()
        for registry in (self._registry, self._other_registry):
            if registry is not None:
                self._open.push_async_callback(asyncio.to_thread, registry.close)
        self._open.push_async_callback(self.artifacts.close)
        self._open.push_async_callback(self.catalog.close)
        self.runner.start()
        self._open.push_async_callback(self.uploads.close)
        self._open.push_async_callback(self.runner.stop)
        self._open.push_async_callback(self.retention.close)
        self._open.push_async_callback(self.health.close)
        self.catalog.begin()
        for work in (self._list_regularly(), self._tidy_regularly()):
            self._open.callback(asyncio.create_task(work).cancel)

    async def stop(self) -> None:
        """Stop all parts."""
        self.events.end()
        await self._open.aclose()

    async def _list_regularly(self) -> None:
        """List runs for listeners and waiting jobs; other requests cause a listing themselves."""
        while True:
            await asyncio.sleep(self.settings.refresh)
            if self.events.listeners or self.runner.waits_for_runs or self.auto_export.formats:
                self.catalog.begin()
            if self.catalog.last is not None:
                await self.auto_export.handle(self.catalog.last)

    async def _tidy_regularly(self) -> None:
        while True:
            self.retention.begin()
            await asyncio.sleep(_TIDY_SECONDS)

    async def _incomplete(self, paths: Collection[str]) -> Collection[str]:
        """Return those of some run directories whose runs may still be being written."""
        if self.catalog.last is None:
            return paths
        try:
            return await self.catalog.incomplete(paths)
        except FlowtimeExportError as error:
            LOGGER.warning("jobs wait for their runs: %s", error)
            return paths

    async def _make_order(self, job: Job) -> tuple[AnyRequest, AnyOrder]:
        if isinstance(job.request, ImportRequest):
            return job.request, self._import_order(job.request, job.id)
        if isinstance(job.request, CompareRequest):
            return job.request, await self.comparisons.order(job.request, job.id)
        return await self._export_order(job.request, job.id)

    async def _export_order(
        self, request: ExportRequest, job_id: str
    ) -> tuple[ExportRequest, ExportOrder]:
        """Return the order for the run as it was found last."""
        entry, run = await self.catalog.complete(request.path)
        # Ids of a run are known once it is complete, and other runs may get the same ones later.
        request = request.changed(run=entry.key, run_id=entry.run_id)
        folder = str(self.temporary / job_id) if request.temporary else None
        place = self.locations.folder(run, request.variant)
        self._ordered[job_id] = _OrderedExport(entry, place)
        config = job_config(request, run, self.locations, self.settings, folder)
        return request, ExportOrder(config=config, address_space=self.settings.address_space)

    def _import_order(self, request: ImportRequest, job_id: str) -> ImportOrder:
        upload = self.uploads.upload(job_id)
        if upload.size != request.bytes:
            raise UnknownError("the uploaded files do not exist any more", "send them again")
        return ImportOrder(
            request=request,
            files=str(upload.files),
            scratch=str(upload.scratch),
            out=self.locations.runs.url,
            **revealed(self.locations.options),
            address_space=self.settings.address_space,
        )

    def _job_over(self, job: Job) -> None:
        self.metrics.count_job(job)
        try:
            if isinstance(job.request, ImportRequest):
                self._import_over(job)
            elif isinstance(job.request, CompareRequest):
                self.comparisons.finish(job, job.request)
            else:
                self._export_over(job, job.request)
        finally:
            self.webhooks.deliver(job)

    def _export_over(self, job: Job, request: ExportRequest) -> None:
        ordered = self._ordered.pop(job.id, None)
        if ordered is None:
            return  # it ended before it began
        if job.state == "done" and not request.temporary:
            self.artifacts.enter_export(ordered.folder)
            if request.variant is not None:
                self.retention.record(job, ordered.folder.path)
        self._note_damage(job, ordered.run)

    def _note_damage(self, job: Job, run: ListedRun) -> None:
        """Record that a run's files do not hold what it promises, or that they do."""
        is_damaged = job.error is not None and job.error.code == "run-damaged"
        if is_damaged and job.error is not None:
            self.store.note_damage(run.path, run.version, job.error.error)
        elif job.state == "done" and run.state == "broken":
            self.store.note_damage(run.path, run.version, None)
        else:
            return
        self._in_background(self.catalog.reassess())

    def _import_over(self, job: Job) -> None:
        self.uploads.leave(job.id)
        self.catalog.outdate()
        is_forced = job.error is not None and job.error.type in _ENDED_BY_FORCE
        if is_forced or job.state == "cancelled" or job.attempts > 1:
            asyncio.get_running_loop().run_in_executor(None, self._remove_leftovers)

    def _remove_leftovers(self) -> None:
        """Remove staged files of a killed worker."""
        runs = self.locations.runs
        try:
            runs.storage.remove_leftovers(runs.path)
        except StorageError as error:
            LOGGER.warning("staged files of a killed import cannot be removed: %s", error)

    def _runs_changed(self, listing: Listing) -> None:
        self.runner.look_again()
        self.artifacts.rebuild_later()
        self._in_background(self.auto_export.handle(listing))
        state = listing.state
        self.events.publish("runs", RunsChanged(total=state.total, complete=state.readable))

    def _listing_problem_changed(self) -> None:
        self.health.expire()
        self._health_changed()

    def _health_changed(self) -> None:
        self.events.publish("health", HealthChanged())

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _watch(self) -> None:
        watch = self.metrics.watch
        watch("flowtime_jobs_waiting", "Waiting jobs.", lambda: self.runner.waiting)
        watch("flowtime_jobs_running", "Running jobs.", lambda: self.runner.running)
        watch("flowtime_uploads", "Unfinished uploads.", lambda: self.uploads.taken)
        watch("flowtime_event_listeners", "Open event streams.", lambda: self.events.listeners)
        watch("flowtime_runs", "Known runs.", self._runs)

    def _runs(self) -> float:
        listing = self.catalog.last
        return 0 if listing is None else listing.state.total


def _process(settings: ServiceSettings) -> RegistryWorker | None:
    """Return what makes passes over many runs; None where these are in the memory of this one."""
    return None if settings.runs.startswith("memory:") else RegistryWorker(settings)
