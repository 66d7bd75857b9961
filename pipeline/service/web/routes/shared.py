"""Share parameters, documented errors and responses between the routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, WithJsonSchema

from connectors.flowtime.model.run import Run
from pipeline.registry.registry import Registry
from pipeline.registry.run_list.listed_run import ListedRun
from pipeline.service.api_base import Data
from pipeline.service.errors import PROBLEM_MEDIA_TYPE, BadRequestError, ServiceError
from pipeline.service.jobs.job import ExportRequest, Job, JobError
from pipeline.service.web.access import Client
from pipeline.service.web.service import Service
from pipeline.sinks.formats import ALL_FORMATS, Format

_T = TypeVar("_T")

FORMAT_NAMES: dict[str, Format] = {
    "csv": "csv",
    "gold": "csv",  # FlowTime's name for it
    **{name: name for name in ALL_FORMATS},
}

_WAIT = re.compile(r"wait=(\d{1,4})")
_MEANINGS = {
    400: "The request is malformed, or names an unknown format or column.",
    401: "A valid token is required.",
    403: "The Host or Origin header is not allowed.",
    404: "There is no such run, series, job or export.",
    408: "The body did not arrive in time.",
    409: "The request does not fit the current state of what it names.",
    413: "The body is too large.",
    415: "The body has another content type than expected.",
    416: "The file ends before the range.",
    422: "A value is malformed, or the run is broken or incomplete.",
    429: "Too many requests; Retry-After says how long to wait.",
    500: "A worker or the service failed.",
    502: "The storage of the runs or of the exports failed.",
    503: "The service cannot do this now; Retry-After says how long to wait.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of the errors of a route."""
    always = (400, 401, 403, 413, 422, 429)
    return {status: _error(status) for status in sorted({*always, *statuses})}


def _error(status: int, model: str = "ErrorBody") -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {
        "description": _MEANINGS[status],
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}},
    }


IMPORT_REJECTED = _error(422, "ImportProblemsBody")
"""Documentation of the error of an import that is rejected."""


JOB_BEGUN: dict[str, Any] = {
    "description": "A job does it; Location is its path.",
    "headers": {"Location": {"schema": {"type": "string"}, "description": "The job."}},
}
"""Documentation of the response to a request that does not wait for its job."""


PART_OR_CACHED: dict[int | str, dict[str, Any]] = {
    206: {"description": "A part of the file."},
    304: {"description": "The client has it already."},
}
"""Documentation of the responses to requests for a range of a file, and with a known ETag."""


# Dependencies are coroutines: FastAPI calls a plain function on a thread, for each request.
async def service_of(request: Request) -> Service:
    """Return the service of a request."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]


async def client_of(request: Request) -> str:
    """Return whom a request counts for."""
    client: Client = request.state.client
    return client.key


ClientOf = Annotated[str, Depends(client_of)]

RunName = Annotated[
    str,
    Path(
        alias="runId",
        description="Id of a run as GET /v1/runs returns it; or a runId or a directory's name that "
        "no other run has.",
        examples=["run_checkout_hourly"],
        max_length=1024,
    ),
]


def _parsed(text: object) -> object:
    """Return an instant of ISO 8601 or a date; pydantic would accept numbers of seconds, too."""
    if not isinstance(text, str):
        return text
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected an instant such as 2025-01-31T08:00:00Z") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


InstantQuery = Annotated[
    datetime,
    BeforeValidator(_parsed),
    WithJsonSchema({"anyOf": [{"type": "string", "format": f} for f in ("date-time", "date")]}),
]
"""An instant in a query; one without an offset is UTC."""

WindowStart = Annotated[
    InstantQuery | None, Query(alias="from", description="Start of the chart's window.")
]

WindowEnd = Annotated[
    InstantQuery | None, Query(alias="to", description="End of the chart's window, excluded.")
]


@dataclass(frozen=True)
class Shape:
    """What an export contains.

    Attributes:
        columns: Choice and order of the columns; default all.
        metadata: Metadata columns; default those of a plain export.
        filter: SQL condition on rows.
        escape_formulas: Whether CSV text that a spreadsheet would run is escaped.
    """

    columns: Sequence[str] | None
    metadata: Sequence[str] | None
    filter: str | None
    escape_formulas: bool = False

    def request(self, entry: ListedRun, *formats: Format) -> ExportRequest:
        """Return the request of an export of a run."""
        return ExportRequest(
            run=entry.key,
            run_id=entry.run_id,
            path=entry.path,
            formats=formats,
            columns=None if self.columns is None else tuple(self.columns),
            metadata=None if self.metadata is None else tuple(self.metadata),
            filter=self.filter,
            escape_formulas=self.escape_formulas,
        )


async def _shape_of(
    columns: Annotated[
        list[str] | None,
        Query(max_length=200, description="Choice and order of the columns, once for each name."),
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
    escape_formulas: Annotated[
        bool, Query(alias="escapeFormulas", description="Escape formulas in text of CSV.")
    ] = False,
) -> Shape:
    return Shape(columns, metadata, row_filter, escape_formulas)


ShapeOf = Annotated[Shape, Depends(_shape_of)]
"""The options of an export in a query."""

Prefer = Annotated[
    str | None,
    Header(
        description="`respond-async`: respond with the job at once; `wait=SECONDS`: then.",
        max_length=200,
    ),
]


def preference(prefer: str | None, most: float | None) -> tuple[float | None, str | None]:
    """Return the seconds to wait for a job, and the preference that is followed (RFC 7240).

    Args:
        prefer: The header.
        most: Longest wait in seconds, and the wait without a preference; None for no limit.

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
    """Return the response to the request of a job: 200 if it has finished, else 202.

    Args:
        job: The job.
        body: The body.
        preferred: The preference that was followed.
    """
    headers = {"Location": f"/v1/jobs/{job.id}"}
    if preferred is not None:
        headers["Preference-Applied"] = preferred
    return JSONResponse(body.model_dump(mode="json"), 200 if job.is_over else 202, headers)


class JobFailedError(ServiceError):
    """A job that failed or was cancelled.

    Args:
        job: The job.
    """

    def __init__(self, job: Job) -> None:
        what = job.request.kind
        error = job.error or JobError(
            type="Cancelled",
            code="cancelled",
            error=f"the {what} was cancelled",
            hint=f"request the {what} again",
            status=409,
        )
        super().__init__(error.error, error.hint, code=error.code)
        self.status = error.status


async def complete_run(service: Service, name: str) -> tuple[ListedRun, Run]:
    """Return a run that can be read.

    Raises:
        UnknownError: There is no run of this name.
        UnprocessableError: It is broken or still being written.
    """
    entry = await service.catalog.find(name)
    return entry, await service.catalog.run(entry)


async def on_thread(limiter: anyio.CapacityLimiter, work: Callable[..., _T], *arguments: Any) -> _T:
    """Call a function on one of a limited number of threads."""
    return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=limiter)


async def on_registry(service: Service, work: Callable[[Registry], _T]) -> _T:
    """Call a function with the registry, on one of the threads for reading.

    Raises:
        BusyError: The registry cannot be opened.
    """
    return await on_thread(service.readers, lambda: work(service.artifacts.registry()))


async def change_registry(service: Service, work: Callable[[Registry], _T]) -> _T:
    """Call a function that changes the registry, on one of the threads for writing.

    Changes may wait for other writers: so many that no thread is left must not hold up reading.

    Raises:
        BusyError: The registry cannot be opened.
    """
    return await on_thread(service.writers, lambda: work(service.artifacts.registry()))


def format_named(name: str) -> Format:
    """Return a format by its name in a path or a query.

    Raises:
        BadRequestError: There is no such format.
    """
    form = FORMAT_NAMES.get(name.lower())
    if form is None:
        raise BadRequestError(
            "Unsupported export format",
            f"Supported formats: {', '.join(FORMAT_NAMES)}",
            code="unsupported-format",
        )
    return form


def page_links(request: Request, page: int, page_size: int, total: int) -> dict[str, str]:
    """Return the targets of a list's `Link` header: first, prev, next and last page."""
    last = max(1, -(-total // page_size))
    pages = {"first": 1, "prev": page - 1, "next": page + 1, "last": last}
    return {
        name: f"{request.url.path}?{request.url.include_query_params(page=number).query}"
        for name, number in pages.items()
        if 1 <= number <= last
    }
