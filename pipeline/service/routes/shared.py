"""What routes share: the service, documented errors, and runs by their names in paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Path, Query, Request

from connectors.flowtime.run import Run
from pipeline.service.api_models import ErrorBody
from pipeline.service.errors import BadRequestError, UnprocessableError
from pipeline.service.job import Format, JobRequest
from pipeline.service.run_catalog import Entry
from pipeline.service.service import Service

_T = TypeVar("_T")

FORMAT_NAMES: dict[str, Format] = {
    "csv": "csv",
    "gold": "csv",
    "ndjson": "ndjson",
    "parquet": "parquet",
}

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

    def request(self, entry: Entry, *formats: Format) -> JobRequest:
        """What it asks of a run."""
        return JobRequest(
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


async def complete_run(service: Service, name: str) -> tuple[Entry, Run]:
    """A run that can be read.

    Raises:
        UnknownError: There is none of that name.
        UnprocessableError: It is broken or still being written.
    """
    entry = await service.catalog.find(name)
    if entry.run is None:
        raise UnprocessableError(
            f"run {entry.key} is {entry.state}: {entry.reason}",
            "mend the run, or wait until it is complete",
        )
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
