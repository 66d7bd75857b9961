"""Run jobs on worker processes: a bounded queue, one job per target at a time, cancelling."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import FlowtimeExportError, StorageError
from pipeline.logs import LOGGER
from pipeline.service.catalog.locations import Locations
from pipeline.service.errors import BusyError, RequestConflictError, UnknownError, failure
from pipeline.service.jobs.events import EventLog
from pipeline.service.jobs.job import AnyOrder, AnyRequest, ExportRequest, Job, JobError, Progress
from pipeline.service.jobs.job_request import JobTarget
from pipeline.service.jobs.job_result import job_error, job_result
from pipeline.service.jobs.job_store import JobStore
from pipeline.service.jobs.worker_process import WorkerDiedError, WorkerProcess
from pipeline.service.settings import ServiceSettings

MOST_ATTEMPTS = 2

MakeOrder = Callable[[Job], Awaitable[tuple[AnyRequest, AnyOrder]]]
"""Returns the order for the worker of a job, and the request with what is known by then."""


@dataclass
class _Task:
    """A job that has not finished, and what belongs to it in this process."""

    job: Job
    over: asyncio.Event = field(default_factory=asyncio.Event)
    is_cancelled: bool = False
    worker: WorkerProcess | None = None


@dataclass
class _Slot:
    """Room for one worker, which serves one job after the other."""

    worker: WorkerProcess | None = None


class JobRunner:
    """Queues jobs, runs them, and records them.

    Args:
        settings: Limits.
        store: The history.
        events: Receives an event for each change of a job.
        locations: Names locations in messages.
        make_order: Makes the order of a job.
        incomplete: Returns those of some run directories whose runs are still being written.
        finished: Called with every job that has finished.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        store: JobStore,
        events: EventLog,
        locations: Locations,
        make_order: MakeOrder,
        incomplete: Callable[[Collection[str]], Awaitable[Collection[str]]],
        finished: Callable[[Job], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._events = events
        self._locations = locations
        self._make_order = make_order
        self._incomplete = incomplete
        self._finished = finished
        self._tasks: dict[str, _Task] = {}
        self._waiting: list[_Task] = []
        self._busy: set[JobTarget] = set()
        self._changed = asyncio.Condition()
        self._slots: list[asyncio.Task[None]] = []
        self._waking: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Number of jobs that wait for a worker."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of running jobs."""
        return len(self._tasks) - len(self._waiting)

    @property
    def waits_for_runs(self) -> bool:
        """Whether a job waits until its run is complete."""
        return any(task.job.request.waits_for_run for task in self._waiting)

    @property
    def room(self) -> int:
        """Number of further jobs that the queue takes."""
        return max(0, self._settings.queue - self._alike(waits_for_run=False))

    def look_again(self) -> None:
        """Check in the background whether waiting jobs can begin."""
        self._waking = asyncio.create_task(self._wake())

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def start(self) -> None:
        """Take over the jobs that waited when the service ended, and start the workers."""
        for job in self._store.unfinished():
            if job.state == "running" or job.request.is_temporary:
                self._end(_Task(job), "failed", error=_interrupted())
            else:
                task = self._tasks[job.id] = _Task(job)
                self._waiting.append(task)
        self._slots = [asyncio.create_task(self._work()) for _ in range(self._settings.workers)]

    async def stop(self) -> None:
        """Stop the workers; running jobs fail, waiting jobs continue at the next start."""
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        for task in list(self._tasks.values()):
            if task.job.state == "running":
                self._end(task, "failed", error=_interrupted())
            task.over.set()

    async def submit(self, request: AnyRequest, job_id: str | None = None) -> tuple[Job, bool]:
        """Queue a job, or join a job that does the same.

        Args:
            request: What the job does.
            job_id: Id of the job, where files were prepared under it.

        Returns:
            The job, and whether it existed already.

        Raises:
            BusyError: The queue is full.
        """
        for task in self._tasks.values():
            if task.job.request.is_same_work(request) and not task.is_cancelled:
                return task.job, True
        alike = self._alike(waits_for_run=request.waits_for_run)
        if alike >= self._settings.queue:
            raise BusyError(
                f"{alike} jobs are waiting already",
                "try again later",
                headers={"Retry-After": "15"},
            )
        job = Job(id=job_id or secrets.token_hex(8), request=request, created=datetime.now(UTC))
        self._remember(lambda: self._store.add(job))
        task = self._tasks[job.id] = _Task(job)
        self._waiting.append(task)
        self._events.publish("job", job.shown())
        async with self._changed:
            self._changed.notify()
        return job, False

    def _alike(self, *, waits_for_run: bool) -> int:
        # Jobs that wait for their runs may do so for days, and must not block the others.
        return sum(task.job.request.waits_for_run == waits_for_run for task in self._waiting)

    def get(self, job_id: str) -> Job:
        """Return a job in its current state.

        Raises:
            UnknownError: There is none.
        """
        task = self._tasks.get(job_id)
        job = self._store.get(job_id) if task is None else task.job
        if job is None:
            raise UnknownError(
                "Job not found", "GET /v1/jobs lists the known jobs", code="job-not-found"
            )
        return job

    def current(self, jobs: Iterable[Job]) -> list[Job]:
        """Return stored jobs with the progress made since they were stored."""
        return [self._tasks[job.id].job if job.id in self._tasks else job for job in jobs]

    async def wait(self, job_id: str, seconds: float | None) -> Job:
        """Return a job once it has finished, or after so many seconds, or when the service ends."""
        task = self._tasks.get(job_id)
        if task is not None and (seconds is None or seconds > 0):
            with suppress(TimeoutError):
                await asyncio.wait_for(task.over.wait(), seconds)
            return task.job
        return self.get(job_id)

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job; a running one discards what it has staged.

        Raises:
            RequestConflictError: It has finished already.
            UnknownError: There is none.
        """
        task = self._tasks.get(job_id)
        if task is None:
            job = self.get(job_id)
            raise RequestConflictError(
                f"the job is {job.state} already",
                "only a job that has not finished can be cancelled",
                code="job-finished",
            )
        task.is_cancelled = True
        if task in self._waiting:
            self._waiting.remove(task)
            self._end(task, "cancelled")
        elif task.worker is not None:
            await task.worker.end(self._settings.cancel_grace)
        # A slot that has just taken the job checks whether it is cancelled before it begins.
        await task.over.wait()
        return task.job

    @asynccontextmanager
    async def held(self, target: JobTarget) -> AsyncIterator[None]:
        """Keep jobs from writing a target during the block.

        Raises:
            RequestConflictError: A job is writing it.
        """
        if target in self._busy:
            raise RequestConflictError(
                "a job is writing this export", "wait until it has finished", code="export-in-use"
            )
        self._busy.add(target)
        try:
            yield
        finally:
            self._busy.discard(target)
            await self._wake()

    # ----------------------------------------------------------------- one slot

    async def _work(self) -> None:
        slot = _Slot()
        try:
            while True:
                await self._run(await self._next(), slot)
        finally:
            await self._empty(slot)

    async def _next(self) -> _Task:
        """Wait for the oldest job that can begin and whose target no other job writes."""
        async with self._changed:
            while True:
                for task in await self._ready():
                    if task.job.request.is_temporary or task.job.request.target not in self._busy:
                        self._waiting.remove(task)
                        if not task.job.request.is_temporary:
                            self._busy.add(task.job.request.target)
                        return task
                await self._changed.wait()

    async def _ready(self) -> list[_Task]:
        """Return the waiting jobs that do not wait for a run, or whose run is written."""
        waiting = {task.job.id: _run_waited_for(task.job.request) for task in self._waiting}
        paths = {path for path in waiting.values() if path is not None}
        incomplete = await self._incomplete(paths) if paths else ()
        found = (task for task in self._waiting if task.job.id in waiting)  # others came meanwhile
        return [task for task in found if waiting[task.job.id] not in incomplete]

    async def _run(self, task: _Task, slot: _Slot) -> None:
        began = time.monotonic()
        try:
            request, order = await self._make_order(task.job)
            task.job = task.job.changed(request=request)
            worker = await self._usable_worker(slot)
            if task.is_cancelled:
                self._end(task, "cancelled")
                return
            self._begin(task, worker)
            event = await self._in_time(worker, order, lambda one: self._progressed(task, one))
        except WorkerDiedError as death:
            self._after_death(task, death)
        except TimeoutError:
            error = f"the {task.job.request.kind} took too long"
            self._fail(task, type="Timeout", code="timed-out", error=error, hint=_TIME_HINT)
        except FlowtimeExportError as fault:
            self._fail(task, **failure(fault))
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # a fault in one job must not end the slot that others need
            LOGGER.exception("job %s", task.job.id)
            await self._empty(slot)  # the state of its worker is not known
            self._fail(task, type="InternalError", error=type(fault).__name__)
        else:
            if "trace" in event:
                LOGGER.error("job %s: %s", task.job.id, event["trace"])
            self._end(task, **job_result(task.job.request, event, self._locations.masked))
        finally:
            task.worker = None
            if not task.job.request.is_temporary:
                self._busy.discard(task.job.request.target)
            LOGGER.info(
                "job %s: %s after %.1f s", task.job.id, task.job.state, time.monotonic() - began
            )
            await self._wake()

    async def _usable_worker(self, slot: _Slot) -> WorkerProcess:
        if slot.worker is None or not slot.worker.is_usable:
            await self._empty(slot)
            slot.worker = await WorkerProcess.start()
        return slot.worker

    async def _empty(self, slot: _Slot) -> None:
        if slot.worker is not None:
            await slot.worker.end(self._settings.cancel_grace)
            slot.worker = None

    def _begin(self, task: _Task, worker: WorkerProcess) -> None:
        task.worker = worker
        now = datetime.now(UTC)
        attempts = task.job.attempts + 1
        self._keep(task, state="running", started=now, attempts=attempts, progress=Progress())

    async def _in_time(
        self,
        worker: WorkerProcess,
        order: AnyOrder,
        progressed: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any]:
        """Return the last event; a worker that overlooks its own time limit is ended."""
        most = self._settings.job_timeout + self._settings.cancel_grace
        try:
            return await asyncio.wait_for(worker.work(order, progressed), most)
        except TimeoutError:
            await worker.end(self._settings.cancel_grace)
            raise

    def _progressed(self, task: _Task, event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            known = {**task.job.progress.model_dump(by_alias=False), **event}
            known.pop("event")
            task.job = task.job.changed(progress=Progress.model_validate(known))
            self._events.publish("progress", task.job.shown())

    def _after_death(self, task: _Task, death: WorkerDiedError) -> None:
        fault = {"type": "WorkerDied", "code": "worker-failed", "error": str(death)}
        if task.is_cancelled:
            self._end(task, "cancelled")
        elif not task.job.request.can_be_tried_again(task.job.progress.phase):
            hint = "some runs may have been written: check them, then send ifExists=replace"
            self._fail(task, **fault, hint=hint)
        elif task.job.attempts < MOST_ATTEMPTS:
            LOGGER.warning("job %s: %s; the job is tried again", task.job.id, death)
            self._keep(task, state="queued", progress=Progress())
            self._waiting.insert(0, task)
        else:
            hint = "it may have run out of memory: give the service more, or request less"
            self._fail(task, **fault, hint=hint)

    # ----------------------------------------------------------------- states

    def _keep(self, task: _Task, **changes: Any) -> None:
        task.job = task.job.changed(**changes)
        self._remember(lambda: self._store.update(task.job))
        self._events.publish("job", task.job.shown())

    def _fail(self, task: _Task, **reported: Any) -> None:
        self._end(task, "failed", error=job_error(reported, self._locations.masked))

    def _end(self, task: _Task, state: str, **changes: Any) -> None:
        progress = task.job.progress.changed(phase="over")
        now = datetime.now(UTC)
        self._tasks.pop(task.job.id, None)
        self._keep(task, state=state, finished=now, progress=progress, **changes)
        task.over.set()
        self._remember(lambda: self._finished(task.job))

    def _remember(self, change: Callable[[], None]) -> None:
        """Change the history; one that cannot be written, as on a full disk, stops no job."""
        try:
            change()
        except (StorageError, OSError) as error:
            LOGGER.error("%s", error)


_TIME_HINT = "raise --job-timeout, or request less at a time"


def _interrupted() -> JobError:
    return JobError(
        type="Interrupted",
        code="interrupted",
        error="the service ended while the job ran; nothing was published in part",
        hint="request it again",
        status=503,
    )


def _run_waited_for(request: AnyRequest) -> str | None:
    """Return the run directory whose run a job waits for, if it does."""
    if isinstance(request, ExportRequest) and request.waits_for_run:
        return request.path
    return None
