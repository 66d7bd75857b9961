"""List jobs, show one, cancel one."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from pipeline.service.jobs.job import Job, JobKind, JobState
from pipeline.service.jobs.job_store import JobQuery
from pipeline.service.web.downloads import list_response
from pipeline.service.web.models.jobs import JobPage
from pipeline.service.web.routes.shared import ServiceOf, errors, on_thread, page_links
from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)

JobId = Annotated[
    str, Path(alias="jobId", description="Id of a job.", max_length=100, examples=["0f3a…"])
]


@router.get("", response_model=JobPage, responses=errors(502))
async def list_jobs(
    request: Request,
    service: ServiceOf,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=500, alias="pageSize")] = 50,
    run: Annotated[
        str | None, Query(alias="runId", description="Id of a run.", max_length=1024)
    ] = None,
    state: Annotated[list[JobState] | None, Query(max_length=10)] = None,
    kind: Annotated[JobKind | None, Query()] = None,
    search: Annotated[
        str, Query(max_length=200, description="Words of a run's id or of a file's name.")
    ] = "",
) -> Response:
    """List exports and imports, newest first."""
    query = JobQuery(run, tuple(state or ()), kind, search)
    found = partial(service.store.page, query=query)
    jobs, total = await on_thread(service.readers, found, (page - 1) * page_size, page_size)
    current = [job.shown() for job in service.runner.current(jobs)]
    body = JobPage(items=current, total_count=total, page=page, page_size=page_size)
    links = page_links(request, page, page_size, total)
    return list_response(request, body.model_dump_json().encode(), links)


@router.get("/{jobId}", responses=errors(404, 502))
async def get_job(service: ServiceOf, job_id: JobId) -> Job:
    """Show a job in its current state."""
    job = await on_thread(service.readers, service.runner.get, job_id)
    return job.shown()


@router.delete("/{jobId}", responses=errors(404, 409, 502))
async def cancel_job(service: ServiceOf, job_id: JobId) -> Job:
    """Cancel a job; nothing of it is published in part. The response is the cancelled job."""
    job = await service.runner.cancel(job_id)
    return job.shown()
