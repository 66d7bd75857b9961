"""The parts of a running service, put together."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack

import anyio
from pydantic import BaseModel

from pipeline.errors import StorageError
from pipeline.logs import LOGGER
from pipeline.service.catalog.export_store import ExportStore
from pipeline.service.catalog.locations import Locations
from pipeline.service.catalog.run_catalog import Listing, RunCatalog, not_complete
from pipeline.service.catalog.upload_room import UploadRoom
from pipeline.service.errors import UnknownError
from pipeline.service.jobs.events import EventLog
from pipeline.service.jobs.import_order import ImportOrder, ImportRequest
from pipeline.service.jobs.job import AnyRequest, ExportOrder, ExportRequest, Job
from pipeline.service.jobs.job_config import job_config
from pipeline.service.jobs.job_runner import JobRunner
from pipeline.service.jobs.job_store import JobStore
from pipeline.service.jobs.webhooks import Webhooks
from pipeline.service.settings import ServiceSettings
from pipeline.service.web.access import Access, TokenBook
from pipeline.service.web.metrics import Metrics

_READERS = 32
_PARSERS = 2
_ENDED_BY_FORCE = ("WorkerDied", "Timeout", "Interrupted")


class RunsChanged(BaseModel):
    """What listeners are told when other runs were found."""

    total: int
    complete: int


class Service:
    """Everything that routes use.

    Args:
        settings: The settings.

    Raises:
        ConfigError: They do not fit together, or the state's folder cannot be used.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        settings.check()
        self.settings = settings
        self.places = Locations.of(settings)
        self.tokens = TokenBook(settings)
        self.access = Access(settings, self.tokens)
        self.events = EventLog()
        self.metrics = Metrics()
        self.catalog = RunCatalog(self.places, settings.refresh, self._runs_changed)
        self.shelf = ExportStore(self.places)
        self.temporary = settings.state_folder / "fresh"
        self.uploads = UploadRoom(settings.state_folder / "uploads")
        self._open = AsyncExitStack()

    async def start(self) -> None:
        """Open the history, begin to work, and list the runs in the background."""
        self.store = JobStore(self.settings.state_folder, self.settings.keep_jobs)
        self._open.callback(self.store.close)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.uploads.take_over(job.id for job in self.store.unfinished() if job.state == "queued")
        self.readers = anyio.CapacityLimiter(_READERS)
        self.parsers = anyio.CapacityLimiter(_PARSERS)
        self.webhooks = Webhooks(self.settings, self.store)
        self._open.push_async_callback(self.webhooks.close)
        self.runner = JobRunner(
            self.settings,
            self.store,
            self.events,
            self.places,
            self._make_order,
            self._is_ready,
            self._job_over,
        )
        self._watch()
        self.webhooks.start()
        self.runner.start()
        self._open.push_async_callback(self.uploads.close)
        self._open.push_async_callback(self.runner.stop)
        self._open.push_async_callback(self.catalog.close)
        self.catalog.begin()
        looking = asyncio.create_task(self._look_now_and_then())
        self._open.callback(looking.cancel)

    async def stop(self) -> None:
        """End all of it."""
        self.events.end()
        await self._open.aclose()

    async def _look_now_and_then(self) -> None:
        """List runs for those who only listen or wait; other requests have them listed."""
        while True:
            await asyncio.sleep(self.settings.refresh)
            if self.events.listeners or self.runner.waits_for_runs:
                self.catalog.begin()

    def _is_ready(self, request: AnyRequest) -> bool:
        """Whether a request waits for its run no longer; what became of it, its order tells."""
        if isinstance(request, ImportRequest) or request.when == "now":
            return True
        if self.catalog.last is None:
            return False
        entry = self.catalog.last.by_path.get(request.path)
        return entry is None or entry.state != "incomplete"

    async def _make_order(self, job: Job) -> tuple[AnyRequest, ExportOrder | ImportOrder]:
        if isinstance(job.request, ImportRequest):
            return job.request, self._import_order(job.request, job.id)
        return await self._export_order(job.request, job.id)

    async def _export_order(
        self, request: ExportRequest, job_id: str
    ) -> tuple[ExportRequest, ExportOrder]:
        """What is to be exported, of the run as it was found last."""
        entry = (await self.catalog.listing()).by_path.get(request.path)
        if entry is None:
            raise UnknownError("the run is not there any more")
        if entry.run is None:
            raise not_complete(entry)
        # Ids of a run are known when it is complete, and may be shared by others later.
        request = request.changed(run=entry.key, run_id=entry.run_id)
        folder = str(self.temporary / job_id) if request.temporary else None
        config = job_config(request, entry.run, self.places, self.settings, folder)
        return request, ExportOrder(config=config, address_space=self.settings.address_space)

    def _import_order(self, request: ImportRequest, job_id: str) -> ImportOrder:
        upload = self.uploads.place(job_id)
        if upload.size != request.bytes:
            raise UnknownError("the uploaded files are not there any more", "send them again")
        options = self.places.options
        return ImportOrder(
            request=request,
            files=str(upload.files),
            scratch=str(upload.scratch),
            out=self.places.runs.url,
            storage=None if options is None else options.revealed(),
            protocol=None if options is None else options.protocol,
            address_space=self.settings.address_space,
        )

    def _job_over(self, job: Job) -> None:
        if isinstance(job.request, ImportRequest):
            self._import_over(job)
        self.metrics.count_job(job)
        self.webhooks.tell(job)

    def _import_over(self, job: Job) -> None:
        self.uploads.leave(job.id)
        self.catalog.outdate()
        is_forced = job.error is not None and job.error.type in _ENDED_BY_FORCE
        if is_forced or job.state == "cancelled" or job.attempts > 1:
            asyncio.get_running_loop().run_in_executor(None, self._remove_leftovers)

    def _remove_leftovers(self) -> None:
        """Remove what a worker that was killed has left in staging."""
        runs = self.places.runs
        try:
            runs.storage.remove_leftovers(runs.path)
        except StorageError as error:
            LOGGER.warning("what a killed import has left cannot be removed: %s", error)

    def _runs_changed(self, listing: Listing) -> None:
        complete = sum(1 for entry in listing.entries if entry.run is not None)
        self.runner.look_again()
        self.events.publish("runs", RunsChanged(total=len(listing.entries), complete=complete))

    def _watch(self) -> None:
        watch = self.metrics.watch
        watch("flowtime_jobs_waiting", "Jobs that wait.", lambda: self.runner.waiting)
        watch("flowtime_jobs_running", "Jobs that run.", lambda: self.runner.running)
        watch("flowtime_uploads", "Uploads that are not over.", lambda: self.uploads.taken)
        watch("flowtime_event_listeners", "Open event streams.", lambda: self.events.listeners)
        watch("flowtime_runs", "Runs that were found.", self._runs)

    def _runs(self) -> float:
        listing = self.catalog.last
        return 0 if listing is None else len(listing.entries)
