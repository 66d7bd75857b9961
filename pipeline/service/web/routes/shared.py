"""What routes share: the service, documented errors, and runs by their names in paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from connectors.flowtime.model.run import Run
from pipeline.service.api_base import Data
from pipeline.service.catalog.run_catalog import CatalogEntry, not_complete
from pipeline.service.errors import BadRequestError, ServiceError
from pipeline.service.jobs.job import ExportRequest, Job, JobError
from pipeline.service.web.api_models import ErrorBody
from pipeline.service.web.service import Service
from pipeline.sinks.formats import Format

_T = TypeVar("_T")

FORMAT_NAMES: dict[str, Format] = {
    "csv": "csv",
    "gold": "csv",
    "ndjson": "ndjson",
    "parquet": "parquet",
}

_WAIT = re.compile(r"wait=(\d{1,4})")
_MEANINGS = {
    400: "Something was asked for that there is not, e.g. an unknown format or column.",
    401: "A token is needed, or the one given is not known.",
    403: "The Host or Origin header is not one that is let in.",
    404: "There is no such run, series, job or export.",
    408: "The body does not come.",
    409: "The request does not fit the state of what it names.",
    413: "The body is too large.",
    416: "The file ends before the range.",
    422: "A value is not as it should be, or the run is broken.",
    429: "Too many requests; Retry-After says how long to wait.",
    500: "A worker or the service failed.",
    502: "The store of the runs or of the exports failed.",
    503: "Not now: Retry-After says how long to wait.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documentation of the errors that a route can answer with."""
    always = (400, 401, 403, 413, 422, 429)
    return {
        status: {"model": ErrorBody, "description": _MEANINGS[status]}
        for status in sorted({*always, *statuses})
    }


JOB_BEGUN: dict[str, Any] = {
    "description": "The job does it; Location says where to look.",
    "headers": {"Location": {"schema": {"type": "string"}, "description": "The job."}},
}
"""Documentation of the answer to who does not wait for a job."""


def service_of(request: Request) -> Service:
    """The service that a request is for."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]

RunName = Annotated[
    str,
    Path(
        alias="runId",
        description="Id of a run as GET /v1/runs gives it; a runId or a directory's name will do "
        "where no other run has it.",
        examples=["run_checkout_hourly"],
        max_length=1024,
    ),
]


@dataclass(frozen=True)
class Shape:
    """What an export is to hold.

    Attributes:
        columns: Pick and order of the columns; default all.
        metadata: Metadata columns; default those of a plain export.
        filter: SQL condition on rows.
    """

    columns: Sequence[str] | None
    metadata: Sequence[str] | None
    filter: str | None

    def request(self, entry: CatalogEntry, *formats: Format) -> ExportRequest:
        """What it asks of a run."""
        return ExportRequest(
            run=entry.key,
            run_id=entry.run_id,
            path=entry.path,
            formats=formats,
            columns=None if self.columns is None else tuple(self.columns),
            metadata=None if self.metadata is None else tuple(self.metadata),
            filter=self.filter,
        )


def _shape_of(
    columns: Annotated[
        list[str] | None,
        Query(max_length=200, description="Pick and order of the columns, once for each name."),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        Query(max_length=100, description="Metadata columns, once for each name."),
    ] = None,
    row_filter: Annotated[
        str | None,
        Query(
            alias="filter", min_length=1, max_length=10_000, description="SQL condition on rows."
        ),
    ] = None,
) -> Shape:
    return Shape(columns, metadata, row_filter)


ShapeOf = Annotated[Shape, Depends(_shape_of)]
"""The options of an export as a query gives them."""


Prefer = Annotated[
    str | None,
    Header(
        description="`respond-async`: answer with the job at once; `wait=SECONDS`: after so long.",
        max_length=200,
    ),
]


def preference(prefer: str | None, most: float | None) -> tuple[float | None, str | None]:
    """Seconds to wait for a job, and the preference that is followed (RFC 7240).

    Args:
        prefer: The header.
        most: Seconds to wait at the most, and where nothing is preferred; None for any time.

    >>> preference("handling=lenient, wait=5", 20.0), preference("wait=60", 20.0)
    ((5.0, 'wait=5'), (20.0, 'wait=60'))
    >>> preference("wait=soon", 20.0), preference(None, None)
    ((20.0, None), (None, None))
    """
    wishes = [wish.strip().lower() for wish in (prefer or "").split(",")]
    if "respond-async" in wishes:
        return 0.0, "respond-async"
    for wish in wishes:
        match = _WAIT.fullmatch(wish)
        if match is not None:
            asked = float(match[1])
            return asked if most is None else min(asked, most), wish
    return most, None


def begun_or_done(job: Job, body: Data, preferred: str | None) -> Response:
    """The answer to who has asked for a job: 200 when it is over, else 202.

    Args:
        job: The job as it stands.
        body: What is told of it.
        preferred: The preference that was followed.
    """
    headers = {"Location": f"/v1/jobs/{job.id}"}
    if preferred is not None:
        headers["Preference-Applied"] = preferred
    return JSONResponse(body.model_dump(mode="json"), 200 if job.is_over else 202, headers)


class JobFailedError(ServiceError):
    """A job that is over without being done.

    Args:
        job: The job.
    """

    def __init__(self, job: Job) -> None:
        what = job.request.kind
        error = job.error or JobError(
            type="Cancelled", error=f"the {what} was cancelled", hint=f"{what} again", status=409
        )
        super().__init__(error.error, error.hint)
        self.status = error.status


async def complete_run(service: Service, name: str) -> tuple[CatalogEntry, Run]:
    """A run that can be read.

    Raises:
        UnknownError: There is none of that name.
        UnprocessableError: It is broken or still being written.
    """
    entry = await service.catalog.find(name)
    if entry.run is None:
        raise not_complete(entry)
    return entry, entry.run


async def on_thread(limiter: anyio.CapacityLimiter, work: Callable[..., _T], *arguments: Any) -> _T:
    """Have something done on one of a limited number of threads."""
    return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=limiter)


def format_named(name: str) -> Format:
    """A format by its name in a path or a query.

    Raises:
        BadRequestError: There is no such format.
    """
    form = FORMAT_NAMES.get(name.lower())
    if form is None:
        raise BadRequestError(
            "Unsupported export format", f"Supported formats: {', '.join(FORMAT_NAMES)}"
        )
    return form
