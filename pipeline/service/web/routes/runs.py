"""Runs: the list, one run, its index, its series, the first rows of its exports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, WithJsonSchema

from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series import Series
from pipeline.service.catalog.export_store import DownloadableFile, series_file
from pipeline.service.catalog.first_rows import FirstRows, first_rows
from pipeline.service.catalog.run_catalog import CatalogEntry, RunState
from pipeline.service.catalog.run_query import RunQuery, Sort
from pipeline.service.catalog.series_chart import chart_values
from pipeline.service.errors import UnknownError
from pipeline.service.jobs.job import ExportRequest, download_url
from pipeline.service.jobs.job_config import job_config, job_plan
from pipeline.service.web.api_models import (
    ChartBody,
    ExportedFileBody,
    PreviewBody,
    PreviewColumn,
    RunDetail,
    RunPage,
    SeriesIndexBody,
)
from pipeline.service.web.downloads import download
from pipeline.service.web.routes.shared import (
    RunName,
    ServiceOf,
    ShapeOf,
    complete_run,
    errors,
    format_named,
    on_thread,
)
from pipeline.service.web.run_bodies import details, series_index, summary
from pipeline.service.web.service import Service
from pipeline.sinks.formats import Format

router = APIRouter(prefix="/v1/runs", tags=["runs"])


def _parsed(text: object) -> object:
    """An instant or a date; pydantic would take numbers for seconds, too."""
    return datetime.fromisoformat(text) if isinstance(text, str) else text


Instant = Annotated[
    datetime,
    BeforeValidator(_parsed),
    WithJsonSchema({"anyOf": [{"type": "string", "format": f} for f in ("date-time", "date")]}),
]


@router.get("", responses=errors(503))
async def list_runs(
    service: ServiceOf,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=500, alias="pageSize")] = 50,
    search: Annotated[str, Query(max_length=200, description="Part of an id, name, title…")] = "",
    sort: Annotated[Sort, Query(description="`-` for the largest or newest first.")] = "-created",
    state: Annotated[RunState | None, Query()] = None,
    source: Annotated[str | None, Query(max_length=200)] = None,
    created_from: Annotated[Instant | None, Query(alias="createdFrom")] = None,
    created_to: Annotated[Instant | None, Query(alias="createdTo", description="Excluded")] = None,
    has_warnings: Annotated[bool | None, Query(alias="hasWarnings")] = None,
    refresh: Annotated[bool, Query(description="List the store anew first.")] = False,
) -> RunPage:
    """The runs that there are, broken ones with the reason.

    They come from a listing that is at most some seconds old; `listedUtc` says when it was made.
    """
    listing = await service.catalog.listing(refresh=refresh)
    query = RunQuery(search, sort, state, source, created_from, created_to, has_warnings)
    entries, states = query.apply(listing.entries)
    start = (page - 1) * page_size
    return RunPage(
        items=[summary(entry) for entry in entries[start : start + page_size]],
        total_count=len(entries),
        page=page,
        page_size=page_size,
        states=states,
        listed_utc=listing.taken,
    )


@router.get("/{runId}", responses=errors(404, 409, 502, 503))
async def get_run(
    service: ServiceOf,
    run_id: RunName,
) -> RunDetail:
    """A run with its metadata, warnings and committed exports; also a broken one."""
    entry = await service.catalog.find(run_id)
    shown = summary(entry).model_dump(by_alias=False)
    if entry.run is not None:
        exports = await on_thread(service.readers, exported_files, service, entry, entry.run)
        shown |= {**details(entry.run), "exports": exports}
    return RunDetail.model_validate(shown)


@router.get("/{runId}/index", responses=errors(404, 409, 503))
async def get_index(service: ServiceOf, run_id: RunName) -> SeriesIndexBody:
    """The series of a run, in the index's order, whatever dialect it was written in."""
    _, run = await complete_run(service, run_id)
    return series_index(run)


@router.get(
    "/{runId}/series/{seriesId}",
    response_model=ChartBody,
    responses={
        **errors(404, 409, 502, 503),
        200: {
            "description": "The series file as it stands; with `points`, JSON for a chart.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        206: {"description": "A part of the file."},
        304: {"description": "The client has it already."},
        416: errors(416)[416],
    },
)
async def get_series(
    request: Request,
    service: ServiceOf,
    run_id: RunName,
    series_id: Annotated[
        str,
        Path(
            alias="seriesId",
            description="Id of a series; the measure alone means its first series.",
            examples=["served@SERVED@DEFAULT"],
            max_length=1024,
        ),
    ],
    points: Annotated[
        int | None, Query(ge=2, le=20_000, description="Points of a chart at the most.")
    ] = None,
) -> Response:
    """A series as CSV; or as JSON, thinned out to `points` points that keep every peak."""
    entry, run = await complete_run(service, run_id)
    series = _series(run, series_id)
    if points is None:
        file = await on_thread(
            service.readers,
            series_file,
            run,
            service.places.runs.storage,
            series.path,
            series.sha256,
        )
        name = f"{entry.run_id}.{series.id}.csv"
        return download(request, file, name=name, limiter=service.readers)
    values = await on_thread(
        service.parsers, chart_values, service.places.runs.storage, run, series, points
    )
    body = ChartBody(
        series_id=series.id,
        unit=series.unit,
        points_total=series.points,
        time_origin=run.time_origin,
        bin_minutes=run.grid.bin_minutes,
        bins=values.bins,
        values=values.values,
        non_finite=values.non_finite,
        lowest=values.lowest,
        highest=values.highest,
    )
    return JSONResponse(body.model_dump(mode="json"))


@router.get("/{runId}/preview", responses=errors(404, 409, 502, 503))
async def get_preview(
    service: ServiceOf,
    run_id: RunName,
    shape: ShapeOf,
    form: Annotated[str, Query(alias="format", max_length=20, examples=["csv"])] = "csv",
    rows: Annotated[int, Query(ge=1, le=200)] = 10,
) -> PreviewBody:
    """The first rows of an export as they will look, made from the run; nothing is stored."""
    entry, run = await complete_run(service, run_id)
    request = shape.request(entry, format_named(form))
    shown = await on_thread(service.parsers, _previewed, service, request, run, rows)
    return PreviewBody(
        format=request.formats[0],
        columns=[PreviewColumn(name=c.name, type=c.type, unit=c.unit) for c in shown.columns],
        text=shown.text,
        rows=shown.rows,
        rows_total=shown.rows_total,
    )


def exported_files(service: Service, entry: CatalogEntry, run: Run) -> list[ExportedFileBody]:
    """The committed exports of a run, plain ones first."""
    shown = []
    for variant in (None, *service.shelf.variants(run)):
        for form, file in service.shelf.files(run, variant).items():
            shown.append(_exported(entry, form, file, variant))
    return shown


def _exported(
    entry: CatalogEntry, form: Format, file: DownloadableFile, variant: str | None
) -> ExportedFileBody:
    return ExportedFileBody(
        format=form,
        name=f"export.{form}",
        bytes=file.entry.size,
        rows=file.rows,
        sha256=file.sha256,
        exported_utc=file.modified,
        url=download_url(entry.key, form, variant),
        variant=variant,
    )


def _previewed(service: Service, request: ExportRequest, run: Run, rows: int) -> FirstRows:
    plain = job_config(request, run, service.places, service.settings, None)
    plan, source = job_plan(plain, run, service.places)
    return first_rows(plan, source, rows)


def _series(run: Run, series_id: str) -> Series:
    for series in run.series:
        if series.id == series_id:
            return series
    for series in run.series:
        if series.id.startswith(f"{series_id}@"):
            return series
    raise UnknownError("Series not found", "GET /v1/runs/{runId}/index lists the run's series")
