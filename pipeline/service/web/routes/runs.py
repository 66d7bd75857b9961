"""List runs; show one, its series, and the first rows of its exports."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from connectors.flowtime.model.run import Run
from pipeline.registry.records.artifact import ArtifactState
from pipeline.registry.run_list.run_list_query import RunListQuery, RunSort
from pipeline.service.catalog.export_store import series_file
from pipeline.service.catalog.first_rows import FirstRows, first_rows
from pipeline.service.catalog.series_chart import chart_values, window_of
from pipeline.service.errors import UnknownError
from pipeline.service.jobs.job import ExportRequest
from pipeline.service.jobs.job_config import job_config, job_plan
from pipeline.service.web.downloads import download, list_response
from pipeline.service.web.models.runs import (
    ChartBandBody,
    ChartBody,
    PreviewBody,
    PreviewColumn,
    RunDetail,
    RunPage,
    SeriesIndexBody,
)
from pipeline.service.web.routes.shared import (
    PART_OR_CACHED,
    InstantQuery,
    RunName,
    ServiceOf,
    ShapeOf,
    WindowEnd,
    WindowStart,
    complete_run,
    errors,
    format_named,
    on_thread,
    page_links,
)
from pipeline.service.web.run_bodies import details, exported_files, series_index, summary
from pipeline.service.web.service import Service
from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(prefix="/v1/runs", tags=["runs"], route_class=StrictRoute)


@router.get("", response_model=RunPage, responses=errors(502, 503))
async def list_runs(
    request: Request,
    service: ServiceOf,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=500, alias="pageSize")] = 50,
    search: Annotated[
        str, Query(max_length=200, description="Words of an id, name, title …, in any order.")
    ] = "",
    sort: Annotated[
        RunSort, Query(description="`-` for the largest or newest first.")
    ] = "-created",
    state: Annotated[ArtifactState | None, Query()] = None,
    source: Annotated[str | None, Query(max_length=200)] = None,
    created_from: Annotated[InstantQuery | None, Query(alias="createdFrom")] = None,
    created_to: Annotated[
        InstantQuery | None, Query(alias="createdTo", description="Excluded")
    ] = None,
    has_warnings: Annotated[bool | None, Query(alias="hasWarnings")] = None,
    exports: Annotated[
        bool, Query(description="Add the time of each run's plain export, which takes longer.")
    ] = False,
    refresh: Annotated[bool, Query(description="List the storage again first.")] = False,
) -> Response:
    """List the runs, broken ones with the reason.

    The list is at most some seconds old; `listedUtc` says when it was made.
    """
    listing = await service.catalog.listing(refresh=refresh)
    query = RunListQuery(search, sort, state, source, created_from, created_to, has_warnings)
    make = partial(service.run_pages.page, exports=exports)
    is_slow = exports and not service.exports.is_local
    limiter = service.readers if is_slow else service.searchers
    body, total = await on_thread(limiter, make, listing, query, page, page_size)
    return list_response(request, body, page_links(request, page, page_size, total))


@router.get("/{runId}", responses=errors(404, 409, 502, 503))
async def get_run(
    service: ServiceOf,
    run_id: RunName,
) -> RunDetail:
    """Show a run with its metadata, warnings and published exports; also a broken one."""
    entry = await service.catalog.find(run_id)
    shown = summary(entry).model_dump(by_alias=False)
    if entry.is_readable:
        run = await service.catalog.run(entry)
        exports = await on_thread(service.readers, service.exports.exports, run)
        files = [file for export in exports for file in exported_files(entry, export)]
        shown |= {**details(run), "exports": files}
    return RunDetail.model_validate(shown)


@router.get("/{runId}/index", responses=errors(404, 409, 502, 503))
async def get_index(service: ServiceOf, run_id: RunName) -> SeriesIndexBody:
    """List the series of a run in the order of its index, in the same form for every dialect."""
    _, run = await complete_run(service, run_id)
    return series_index(run)


@router.get(
    "/{runId}/series/{seriesId}",
    response_model=ChartBody,
    responses={
        **errors(404, 409, 502, 503),
        200: {
            "description": "The series file as it is; with `points`, JSON for a chart.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **PART_OR_CACHED,
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
            description="Id of a series; a measure alone names its first series.",
            examples=["served@SERVED@DEFAULT"],
            max_length=1024,
        ),
    ],
    points: Annotated[
        int | None, Query(ge=2, le=20_000, description="Number of points of a chart.")
    ] = None,
    start: WindowStart = None,
    end: WindowEnd = None,
) -> Response:
    """Send a series as CSV; or as JSON, thinned out to `points` points that keep every peak.

    Where a window has more bins than points, `band` has the lowest and highest value of each group
    of bins. A window of at most `points` bins has every value.
    """
    entry, run = await complete_run(service, run_id)
    place = _place(run, series_id)
    series = run.series[place]
    if points is None:
        file = await on_thread(
            service.readers,
            series_file,
            run,
            service.locations.runs.storage,
            series.path,
            run.series.digest(place).sha256,
        )
        name = f"{entry.run_id}.{series.id}.csv"
        return download(request, file, name=name, transfers=service.transfers)
    storage, window = service.locations.runs.storage, window_of(run, start, end)
    values = await on_thread(service.parsers, chart_values, storage, run, series, points, window)
    band = values.band
    body = ChartBody(
        series_id=series.id,
        unit=series.unit,
        points_total=series.points,
        time_origin=run.time_origin,
        bin_minutes=run.grid.bin_minutes,
        from_bin=values.from_bin,
        to_bin=values.to_bin,
        bins_per_point=values.bins_per_point,
        bins=values.bins,
        values=values.values,
        band=None if band is None else ChartBandBody(**vars(band)),
        non_finite=values.non_finite,
        lowest=values.lowest,
        highest=values.highest,
    )
    return list_response(request, body.model_dump_json().encode())


@router.get("/{runId}/preview", responses=errors(404, 409, 502, 503))
async def get_preview(
    service: ServiceOf,
    run_id: RunName,
    shape: ShapeOf,
    form: Annotated[str, Query(alias="format", max_length=20, examples=["csv"])] = "csv",
    rows: Annotated[int, Query(ge=1, le=200)] = 10,
) -> PreviewBody:
    """Show the first rows of an export as they will look; nothing is stored."""
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


def _previewed(service: Service, request: ExportRequest, run: Run, rows: int) -> FirstRows:
    plain = job_config(request, run, service.locations, service.settings, None)
    plan, source = job_plan(plain, run, service.locations)
    return first_rows(plan, source, rows)


def _place(run: Run, series_id: str) -> int:
    ids = [series.id for series in run.series]
    if series_id in ids:
        return ids.index(series_id)
    for place, full_id in enumerate(ids):
        if full_id.startswith(f"{series_id}@"):
            return place
    raise UnknownError(
        "Series not found",
        "GET /v1/runs/{runId}/index lists the run's series",
        code="series-not-found",
    )
