"""Make exports by POST and download them by GET, with FlowTime's paths and fields."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request
from fastapi.responses import Response

from connectors.flowtime.model.run import Run
from pipeline.registry.run_list.listed_run import ListedRun
from pipeline.service.catalog.export_store import VARIANT
from pipeline.service.catalog.locations import local_location
from pipeline.service.errors import BadRequestError, UnknownError
from pipeline.service.jobs.job import ExportRequest, Job, download_url
from pipeline.service.jobs.job_config import job_config, job_plan
from pipeline.service.web.downloads import download
from pipeline.service.web.models.jobs import ExportAnswer, ExportOptions
from pipeline.service.web.routes.shared import (
    FORMAT_NAMES,
    JOB_BEGUN,
    PART_OR_CACHED,
    JobFailedError,
    Prefer,
    RunName,
    ServiceOf,
    Shape,
    ShapeOf,
    begun_or_done,
    complete_run,
    errors,
    format_named,
    on_thread,
    preference,
)
from pipeline.service.web.service import Service
from pipeline.service.web.strict_route import StrictRoute
from pipeline.sinks.formats import Format

router = APIRouter(tags=["exports"], route_class=StrictRoute)

_POLL_SECONDS = 0.5

Options = Annotated[ExportOptions | None, Body(description="How to export; may be left out.")]
RunParameter = Annotated[
    str | None,
    Query(alias="runId", description="A run; default the one created last.", max_length=1024),
]


@dataclass(frozen=True)
class DownloadWish:
    """What a download contains.

    Attributes:
        format: Its format.
        shape: The options of the export.
        fresh: Whether it is made for this download only.
        variant: Folder of a published export with options, as POST named it.
    """

    format: Format
    shape: Shape
    fresh: bool
    variant: str | None


async def _wish_of(
    shape: ShapeOf,
    form: Annotated[
        str,
        Path(alias="format", description=f"One of {', '.join(FORMAT_NAMES)}.", max_length=100),
    ],
    fresh: Annotated[
        bool, Query(description="Make it now from the run, for this download only; store nothing.")
    ] = False,
    variant: Annotated[
        str | None,
        Query(description="Folder of an export with options, as POST named it.", max_length=40),
    ] = None,
) -> DownloadWish:
    return DownloadWish(format_named(form), shape, fresh, variant)


WishOf = Annotated[DownloadWish, Depends(_wish_of)]

_MADE: dict[int | str, dict[str, Any]] = {
    200: {"model": ExportAnswer, "description": "Done."},
    202: {"model": ExportAnswer, **JOB_BEGUN},
    **errors(404, 408, 409, 415, 500, 502, 503),
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FETCHED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/x-ndjson": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": _BINARY,
        },
    },
    **PART_OR_CACHED,
    **errors(404, 409, 416, 500, 502, 503),
}


@router.post("/v1/runs/{runId}/export", response_model=ExportAnswer, responses=_MADE)
async def export_run(
    service: ServiceOf,
    run_id: RunName,
    options: Options = None,
    prefer: Prefer = None,
) -> Response:
    """Export a run; an export with options goes into a folder beside the plain export."""
    return await _export(service, run_id, options or ExportOptions(), prefer)


@router.post("/export", response_model=ExportAnswer, responses=_MADE)
async def export_newest(
    service: ServiceOf, run_id: RunParameter = None, options: Options = None, prefer: Prefer = None
) -> Response:
    """Export the run that was created last, or `runId`."""
    name = await _name_of(service, run_id)
    return await _export(service, name, options or ExportOptions(), prefer)


@router.head("/v1/runs/{runId}/export/{format}", include_in_schema=False)
@router.get("/v1/runs/{runId}/export/{format}", response_class=Response, responses=_FETCHED)
async def get_export(
    request: Request, service: ServiceOf, run_id: RunName, wish: WishOf
) -> Response:
    """Download a published export, plain or with options; or one that is made now."""
    entry, run = await complete_run(service, run_id)
    return await _fetch(request, service, entry, run, wish)


@router.head("/export/{format}", include_in_schema=False)
@router.get("/export/{format}", response_class=Response, responses=_FETCHED)
async def get_newest_export(
    request: Request, service: ServiceOf, wish: WishOf, run_id: RunParameter = None
) -> Response:
    """Download an export of the run that was created last, or of `runId`."""
    entry, run = await complete_run(service, await _name_of(service, run_id))
    return await _fetch(request, service, entry, run, wish)


async def _name_of(service: Service, run_id: str | None) -> str:
    return run_id if run_id is not None else (await service.catalog.newest()).key


# --------------------------------------------------------------------------- POST


async def _export(
    service: Service, name: str, options: ExportOptions, prefer: str | None
) -> Response:
    if options.webhook is not None:
        service.webhooks.check(options.webhook)
    entry = await service.catalog.find(name)
    if entry.state == "incomplete" and options.when == "complete":
        return await _export_later(service, _request(entry, options))
    run = await service.catalog.run(entry)
    request = _request(entry, options)
    await on_thread(service.readers, _check, service, request, run)
    job, _ = await service.runner.submit(request)
    wait, preferred = preference(prefer, service.settings.wait)
    if preferred is None and sum(run.series.sizes()) > (service.settings.large_bytes):
        wait = 0.0
    job = await service.runner.wait(job.id, wait)
    if job.is_over and job.state != "done":
        raise JobFailedError(job)
    return begun_or_done(job, _answer(service, entry, run, request, job), preferred)


async def _export_later(service: Service, request: ExportRequest) -> Response:
    """Queue a request until the run is complete; whether its options fit, the job finds out."""
    job, _ = await service.runner.submit(request.changed(when="complete"))
    answer = ExportAnswer(
        message="Export waits until the run is complete",
        run_id=request.run_id,
        formats=list(request.formats),
        artifacts_path="",
        files=[f"export.{form}" for form in request.formats],
        job_id=job.id,
        state=job.state,
        variant=request.variant,
        downloads={},
    )
    return begun_or_done(job, answer, None)


def _request(entry: ListedRun, options: ExportOptions) -> ExportRequest:
    shape = Shape(options.columns, options.metadata, options.filter, options.escape_formulas)
    formats = dict.fromkeys(FORMAT_NAMES[name] for name in options.formats)
    return shape.request(entry, *formats).changed(webhook=options.webhook)


def _check(service: Service, request: ExportRequest, run: Run) -> None:
    """Raise an error for options that do not fit the run."""
    config = job_config(request, run, service.locations, service.settings, None)
    job_plan(config, run, service.locations)


def _answer(
    service: Service, entry: ListedRun, run: Run, request: ExportRequest, job: Job
) -> ExportAnswer:
    variant = request.variant
    done = job.state == "done"
    return ExportAnswer(
        message="Export completed successfully" if done else "Export is running",
        run_id=entry.run_id,
        formats=list(request.formats),
        artifacts_path=service.locations.shown_folder(run, variant),
        files=[f"export.{form}" for form in request.formats],
        job_id=job.id,
        state=job.state,
        variant=variant,
        downloads={form: download_url(entry.key, form, variant) for form in request.formats},
    )


# --------------------------------------------------------------------------- GET


async def _fetch(
    request: Request, service: Service, entry: ListedRun, run: Run, wish: DownloadWish
) -> Response:
    wanted = wish.shape.request(entry, wish.format)
    name = f"{entry.run_id}.{wish.format}"
    if wish.variant is not None and (wish.fresh or wanted.variant is not None):
        raise BadRequestError(
            "variant and options cannot be combined", "send the variant or the options"
        )
    if wish.fresh:
        return await _made_now(request, service, wanted, run, name)
    if wish.variant is not None and not VARIANT.fullmatch(wish.variant):
        raise UnknownError(
            "There is no such export",
            "GET /v1/runs/{runId}/exports lists the exports",
            code="export-not-found",
        )
    variant = wish.variant or wanted.variant
    files = await on_thread(service.readers, service.exports.files, run, variant)
    if wish.format not in files:
        raise UnknownError(
            f"Export {wish.format} not found for this run",
            f"Run POST /v1/runs/{entry.key}/export to create it first, or add ?fresh=true",
            code="export-not-found",
        )
    return download(request, files[wish.format], name=name, transfers=service.transfers)


async def _made_now(
    request: Request, service: Service, wanted: ExportRequest, run: Run, name: str
) -> Response:
    await on_thread(service.readers, _check, service, wanted, run)
    job, _ = await service.runner.submit(wanted.changed(temporary=True))
    folder = service.temporary / job.id
    remove = partial(shutil.rmtree, folder, ignore_errors=True)
    try:
        job = await _finished(request, service, job)
        if job.state != "done":
            raise JobFailedError(job)
        export = await on_thread(service.readers, service.exports.export_at, local_location(folder))
        if export is None:
            raise UnknownError(
                "The export does not exist any more",
                "request it again",
                code="export-not-found",
            )
        file = export.files[wanted.formats[0]]
        return download(request, file, name=name, transfers=service.transfers, after=remove)
    except BaseException:
        remove()
        raise


async def _finished(request: Request, service: Service, job: Job) -> Job:
    """Return a finished job; it is cancelled when the client disconnects."""
    while not job.is_over:
        job = await service.runner.wait(job.id, _POLL_SECONDS)
        if not job.is_over and await request.is_disconnected():
            return await service.runner.cancel(job.id)
    return job
