"""Compare runs, with FlowTime's paths and fields; show and download the results."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from pipeline.comparison.metrics.tolerance import Tolerance
from pipeline.service.catalog.comparison_store import FORMATS, ComparisonStore
from pipeline.service.catalog.comparison_values import (
    SeriesKey,
    all_values,
    finite,
    pair_chart,
    range_of,
    series_rows,
)
from pipeline.service.errors import BadRequestError, UnknownError
from pipeline.service.jobs.compare_order import CompareOptions, CompareRequest
from pipeline.service.jobs.job import Job
from pipeline.service.web.downloads import download
from pipeline.service.web.models.artifacts import ArtifactId
from pipeline.service.web.models.comparisons import (
    CompareBody,
    CompareChartBody,
    CompareSession,
    MetricsBody,
    OtherBody,
    RangeBody,
    SeriesValuesBody,
    session_of,
)
from pipeline.service.web.pages import PAGE
from pipeline.service.web.routes.shared import (
    FORMAT_NAMES,
    JOB_BEGUN,
    PART_OR_CACHED,
    JobFailedError,
    Prefer,
    ServiceOf,
    WindowEnd,
    WindowStart,
    begun_or_done,
    errors,
    on_thread,
    preference,
)
from pipeline.service.web.service import Service
from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(tags=["comparisons"], route_class=StrictRoute)

MOST_VALUES = 100_000
"""Values of all series together that a session still lists."""

_REPORT = "html"
_METRICS = {
    "MAE": "mae",
    "SMAPE": "smape",
    "Correlation": "correlation",
    "PercentChange": "percentChange",
}

SessionId = Annotated[
    str, Path(alias="sessionId", description="Id of a comparison.", max_length=100)
]


@router.get("/compare/{baseline}/{comparison}", include_in_schema=False)
async def comparison_page(baseline: str, comparison: str) -> FileResponse:
    """Show the page of a comparison; its address names both runs."""
    return FileResponse(PAGE / "index.html")


_COMPARED: dict[int | str, dict[str, Any]] = {
    200: {"model": CompareSession, "description": "Done."},
    202: {"model": CompareSession, **JOB_BEGUN},
    **errors(404, 408, 409, 415, 500, 502, 503),
}


@router.post("/v1/compare", response_model=CompareSession, responses=_COMPARED)
async def compare_runs(
    service: ServiceOf,
    body: Annotated[CompareBody, Body(description="Both runs, and how to compare them.")],
    prefer: Prefer = None,
) -> Response:
    """Compare two runs or exports; a result that is there already is not computed again."""
    return await _compared(service, body.sides, body.configuration, prefer)


@router.post(
    "/v1/artifacts/{artifactId}/compare", response_model=CompareSession, responses=_COMPARED
)
async def compare_artifact(
    service: ServiceOf,
    artifact_id: ArtifactId,
    body: Annotated[OtherBody, Body(description="What it is compared with, and how.")],
    prefer: Prefer = None,
) -> Response:
    """Compare an artifact, a run or an export, with another; like POST /v1/compare."""
    return await _compared(service, (artifact_id, body.other), body.configuration, prefer)


async def _compared(
    service: Service, sides: tuple[str, str], options: CompareOptions, prefer: str | None
) -> Response:
    request = await service.comparisons.request(*sides, options)
    job = await _known(service, request)
    wait, preferred = preference(prefer, service.settings.wait)
    if job is None:
        job, _ = await service.runner.submit(request)
        job = await service.runner.wait(job.id, wait)
    if job.is_over and job.state != "done":
        raise JobFailedError(job)
    return begun_or_done(job, await _session(service, job), preferred)


@router.get("/v1/compare/{sessionId}", responses=errors(404, 502))
async def get_comparison(
    service: ServiceOf,
    session_id: SessionId,
    values: Annotated[bool, Query(description="List the values of the series, too.")] = True,
) -> CompareSession:
    """Show a comparison: its state, and once it is computed, its result."""
    return await _session(service, await _job(service, session_id), with_values=values)


@router.get("/v1/compare/{sessionId}/series/{seriesId}", responses=errors(404, 409, 502))
async def get_compared_series(
    service: ServiceOf,
    session_id: SessionId,
    series_id: Annotated[
        str, Path(alias="seriesId", description="Id of a compared series.", max_length=1024)
    ],
    points: Annotated[int, Query(ge=10, le=5_000, description="Groups of bins at most.")] = 1_000,
    start: WindowStart = None,
    end: WindowEnd = None,
) -> CompareChartBody:
    """Show a pair of series: both, their difference and the tolerance, thinned out for charts.

    A window of at most `points` bins has every value.
    """
    result = await _result(service, session_id)
    for one in result["series"]:
        if one["seriesId"] == series_id:
            rows = await on_thread(service.readers, service.comparisons.store.rows, session_id)
            window = _window(result["alignment"], start, end)
            return await on_thread(service.parsers, _chart, rows, result, one, points, window)
    raise UnknownError(
        "Series not found", "GET /v1/compare/{sessionId} lists them", code="series-not-found"
    )


@router.head("/v1/compare/{sessionId}/export/{format}", include_in_schema=False)
@router.get(
    "/v1/compare/{sessionId}/export/{format}",
    response_class=Response,
    responses={
        200: {
            "description": "The differences as rows, or the report.",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                "application/x-ndjson": {"schema": {"type": "string"}},
                "application/vnd.apache.parquet": {"schema": {"type": "string"}},
                "text/html": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": "object"}},
            },
        },
        **PART_OR_CACHED,
        **errors(404, 409, 416, 502),
    },
)
async def get_comparison_export(
    request: Request,
    service: ServiceOf,
    session_id: SessionId,
    form: Annotated[
        str,
        Path(alias="format", description="csv, ndjson, parquet, json or html.", max_length=100),
    ],
) -> Response:
    """Download a comparison: its differences as rows, its metrics as JSON, or the report."""
    name = form.lower()
    result = await _result(service, session_id)
    if name == "json":
        return JSONResponse(result)
    if name != _REPORT and name not in FORMAT_NAMES:
        supported = ", ".join([*FORMAT_NAMES, "json", _REPORT])
        raise BadRequestError(
            "Unsupported export format",
            f"Supported formats: {supported}",
            code="unsupported-format",
        )
    chosen = FORMAT_NAMES.get(name, _REPORT)
    file = await on_thread(service.readers, service.comparisons.store.file, session_id, chosen)
    if file is None:
        raise UnknownError(
            "This comparison was not exported", "compare again with exportResults: true"
        )
    label = f"{result['baseline']['runId']}-{result['comparison']['runId']}.{chosen}"
    return download(request, file, name=label, transfers=service.transfers)


async def _known(service: Service, request: CompareRequest) -> Job | None:
    """Return the job whose result is there already."""
    session = await on_thread(service.readers, service.comparisons.store.find, request.digest)
    if session is None:
        return None
    try:
        return await on_thread(service.readers, service.runner.get, session)
    except UnknownError:
        return None  # the history has let go of it


async def _job(service: Service, session_id: str) -> Job:
    try:
        job = await on_thread(service.readers, service.runner.get, session_id)
    except UnknownError:
        raise _not_found() from None
    if not isinstance(job.request, CompareRequest):
        raise _not_found()
    return job


async def _result(service: Service, session_id: str) -> dict[str, Any]:
    """Return the result of a comparison that is computed.

    Raises:
        UnknownError: There is no such comparison, or its result is not kept any more.
    """
    job = await _job(service, session_id)
    if job.is_over and job.state != "done":
        raise JobFailedError(job)
    found = await on_thread(service.readers, service.comparisons.store.result, session_id)
    if found is None:
        hint = "compare the runs again" if job.is_over else "wait until its status is Completed"
        raise UnknownError("The comparison has no result", hint)
    return found


def _exports(store: ComparisonStore, session: str) -> list[str]:
    """Return the formats in which there is a file of a result."""
    return [form for form in (*FORMATS, _REPORT) if store.file(session, form) is not None]


async def _session(service: Service, job: Job, *, with_values: bool = True) -> CompareSession:
    fields = session_of(job)
    store = service.comparisons.store
    result = None
    if job.state == "done":
        result = await on_thread(service.readers, store.result, job.id)
    if result is None:
        return CompareSession(**fields)
    exports = await on_thread(service.readers, _exports, store, job.id)
    listed = result["series"]
    count = len(listed) * result["alignment"]["bins"]
    fields |= {"result": result, "exports": (*exports, "json"), "metrics": _metrics(listed)}
    if not with_values or count > MOST_VALUES:
        return CompareSession(**fields, values_omitted=True)
    keys = {one["seriesId"]: _key(one) for one in listed}
    rows = await on_thread(service.readers, store.rows, job.id)
    values = await on_thread(service.parsers, all_values, rows, keys)
    series = {
        name: SeriesValuesBody(
            series_id=name,
            baseline_values=found["baseline"],
            comparison_values=found["comparison"],
            difference_values=found["difference"],
            percent_change_values=found["percent_change"],
        )
        for name, found in values.items()
    }
    return CompareSession(**fields, series=series)


def _metrics(listed: list[dict[str, Any]]) -> MetricsBody:
    return MetricsBody(
        series_metrics={
            one["seriesId"]: {name: one[field] for name, field in _METRICS.items()}
            for one in listed
        }
    )


def _window(
    alignment: dict[str, Any], start: datetime | None, end: datetime | None
) -> tuple[int, int]:
    """Return the first bin of a window, and the bin after its last; one bin at the least."""
    origin = datetime.fromisoformat(alignment["from"])
    width = timedelta(minutes=alignment["grid"]["binSize"])
    last = alignment["bins"] - 1
    first = 0 if start is None else min(max(0, (start - origin) // width), last)
    after = last + 1 if end is None else min(-((origin - end) // width), last + 1)
    return first, max(first + 1, after)


def _chart(
    rows: Any, result: dict[str, Any], one: dict[str, Any], points: int, window: tuple[int, int]
) -> CompareChartBody:
    first, after = window
    values = series_rows(rows, _key(one)).slice(first, after - first)
    found = pair_chart(values, Tolerance(**one["tolerance"]), points)
    drawn = found.envelopes
    return CompareChartBody(
        series_id=one["seriesId"],
        unit=one["unit"],
        time_origin=datetime.fromisoformat(result["alignment"]["from"]),
        bin_minutes=result["alignment"]["grid"]["binSize"],
        bins=result["alignment"]["bins"],
        from_bin=first,
        to_bin=after,
        bins_per_point=drawn.bins_per_point,
        baseline=RangeBody(**range_of(drawn.baseline)),
        comparison=RangeBody(**range_of(drawn.comparison)),
        difference=RangeBody(**range_of(drawn.difference)),
        band=RangeBody(**range_of(drawn.band)) if drawn.has_tolerance else None,
        bound=finite(drawn.bound.high.tolist()) if drawn.has_tolerance else None,
        gaps=[first + gap for gap in found.gaps],
    )


def _key(one: dict[str, Any]) -> SeriesKey:
    return one["componentId"], one["measure"], one["class"]


def _not_found() -> UnknownError:
    return UnknownError("Comparison not found", "POST /v1/compare compares two runs")
