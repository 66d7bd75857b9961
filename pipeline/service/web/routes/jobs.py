"""Jobs: what is being exported and imported, what was, and cancelling."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query

from pipeline.service.jobs.job import Job, JobState
from pipeline.service.web.api_models import JobPage
from pipeline.service.web.routes.shared import ServiceOf, errors, on_thread

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobId = Annotated[
    str, Path(alias="jobId", description="Id of a job.", max_length=100, examples=["0f3a…"])
]


@router.get("", responses=errors(502))
async def list_jobs(
    service: ServiceOf,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=500, alias="pageSize")] = 50,
    run: Annotated[
        str | None, Query(alias="runId", description="Id of a run.", max_length=1024)
    ] = None,
    state: Annotated[list[JobState] | None, Query(max_length=10)] = None,
) -> JobPage:
    """The history of exports and imports, newest first."""
    wanted = partial(service.store.page, run=run, states=tuple(state or ()))
    jobs, total = await on_thread(service.readers, wanted, (page - 1) * page_size, page_size)
    current = [job.shown() for job in service.runner.current(jobs)]
    return JobPage(items=current, total_count=total, page=page, page_size=page_size)


@router.get("/{jobId}", responses=errors(404, 502))
async def get_job(service: ServiceOf, job_id: JobId) -> Job:
    """A job as it stands."""
    return service.runner.get(job_id).shown()


@router.delete("/{jobId}", responses=errors(404, 409, 502))
async def cancel_job(service: ServiceOf, job_id: JobId) -> Job:
    """Cancel a job; nothing of it is published half. The answer is the job as it then stands."""
    job = await service.runner.cancel(job_id)
    return job.shown()
