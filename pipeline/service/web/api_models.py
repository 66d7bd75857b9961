"""Define the requests and responses of the API as models, from which OpenAPI is made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pipeline.service.api_base import Data
from pipeline.service.catalog.run_catalog import RunState
from pipeline.service.errors import problem
from pipeline.service.jobs.import_order import ImportedRunBody, ProblemBody
from pipeline.service.jobs.job import Job, JobState, When
from pipeline.service.web.api_examples import (
    BAND,
    EXPORTED_FILE,
    GRID,
    RUN_EXPORT,
    SERIES,
    SUMMARY,
)
from pipeline.service.web.health import HealthProblem
from pipeline.sinks.formats import ALL_FORMATS, Format
from pipeline.version import VERSION

Name = Annotated[str, Field(min_length=1, max_length=128)]


class ErrorBody(Data):
    """A problem document (RFC 9457) with FlowTime's own `error` and `hint` beside its members.

    Attributes:
        type: URI of the kind of problem.
        title: The kind of problem in words.
        status: HTTP status.
        detail: What was wrong; the same as `error`.
        code: Stable code of the kind of problem.
        error: What was wrong.
        hint: What to do about it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": problem(
                404, "run-not-found", "Run not found", "GET /v1/runs lists the runs with their ids"
            )
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    error: str
    hint: str = ""


class GridBody(Data):
    """The time grid of a run.

    Attributes:
        bins: Number of bins.
        bin_minutes: Width of a bin in minutes.
        bin_size: The same, in units of `binUnit`.
        bin_unit: Unit of `binSize`.
    """

    model_config = ConfigDict(json_schema_extra={"example": GRID})

    bins: int
    bin_minutes: int
    bin_size: int
    bin_unit: Literal["minutes"] = "minutes"


class RunSummary(Data):
    """A run in a list.

    Attributes:
        id: Its id in this API: the runId, with a mark where several runs have the same.
        run_id: Its own id.
        name: Name of its directory.
        path: Its directory, relative to the folder of the runs.
        state: `complete`, or why it cannot be exported as it is: `broken`, `incomplete` (still
            being written), `link` (not followed), `unlisted` (its folder cannot be read).
        reason: The same in words.
        created_utc: When it was created.
        grid: Its time grid; none where it cannot be read.
        series_count: Number of its series.
        rows: Rows of a plain export.
        bytes: Bytes of its series files.
        warning_count: Number of its warnings.
        exported_utc: When its plain export was written; only with `exports=true`.
    """

    model_config = ConfigDict(json_schema_extra={"example": SUMMARY})

    id: str
    run_id: str
    name: str
    path: str
    state: RunState
    reason: str | None = None
    created_utc: datetime | None = None
    grid: GridBody | None = None
    series_count: int = 0
    rows: int = 0
    bytes: int = 0
    warning_count: int = 0
    source: str | None = None
    mode: str | None = None
    template_id: str | None = None
    template_title: str | None = None
    model_title: str | None = None
    exported_utc: datetime | None = None


class RunPage(Data):
    """A page of runs.

    Attributes:
        items: The runs of the page.
        total_count: Number of runs that match, on all pages.
        page: Number of the page, from 1.
        page_size: Number of runs that a page may have.
        states: Number of runs that match in each state.
        sources: The sources that runs have, whether they match or not.
        listed_utc: When the runs were listed.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "items": [SUMMARY],
                "totalCount": 1,
                "page": 1,
                "pageSize": 50,
                "states": {"complete": 1},
                "sources": ["engine"],
                "listedUtc": "2026-11-27T08:00:00Z",
            }
        }
    )

    items: list[RunSummary]
    total_count: int
    page: int
    page_size: int
    states: dict[RunState, int]
    sources: tuple[str, ...] = ()
    listed_utc: datetime


class ExportedFileBody(Data):
    """A published file of an export.

    Attributes:
        format: Its format.
        name: Its name.
        bytes: Its size.
        rows: Its data rows.
        sha256: Its digest.
        exported_utc: When it was exported.
        url: Path of its download.
        variant: Folder of an export with options; none for the plain export.
    """

    model_config = ConfigDict(json_schema_extra={"example": EXPORTED_FILE})

    format: Format
    name: str
    bytes: int
    rows: int | None
    sha256: str | None
    exported_utc: datetime | None
    url: str
    variant: str | None = None


class ExportShapeBody(Data):
    """What an export with options contains.

    Attributes:
        columns: The columns of the files, in order.
        filter: The condition on rows, if there was one.
        escape_formulas: Whether CSV text that a spreadsheet would run is escaped.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "columns": ["time_bin", "value"],
                "filter": "measure = 'served'",
                "escapeFormulas": False,
            }
        }
    )

    columns: tuple[str, ...] = ()
    filter: str | None = None
    escape_formulas: bool = False


class RunExportBody(Data):
    """An export of a run.

    Attributes:
        variant: Folder of an export with options; none for the plain export.
        options: What it contains; none for the plain export.
        exported_utc: When it was exported.
        bytes: Bytes of all files.
        files: The files.
    """

    model_config = ConfigDict(json_schema_extra={"example": RUN_EXPORT})

    variant: str | None
    options: ExportShapeBody | None
    exported_utc: datetime | None
    bytes: int
    files: tuple[ExportedFileBody, ...]


class RunExportsBody(Data):
    """The exports of a run, the plain one first.

    Attributes:
        items: The exports.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"items": [RUN_EXPORT]}})

    items: tuple[RunExportBody, ...]


class RunDetail(RunSummary):
    """A run with all that is known about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **SUMMARY,
                "timeOrigin": "2025-01-01T00:00:00Z",
                "warnings": ["queue at its limit"],
                "measures": ["arrivals", "served"],
                "components": ["CHECKOUT"],
                "classes": ["DEFAULT"],
                "exports": [EXPORTED_FILE],
            }
        }
    )

    time_origin: datetime | None = None
    time_origin_from: str | None = None
    engine_version: str | None = None
    schema_version: int | None = None
    scenario_hash: str | None = None
    model_hash: str | None = None
    seed: int | None = None
    fingerprint: str | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    exports: tuple[ExportedFileBody, ...] = ()


class SeriesBody(Data):
    """A series of a run, with the fields of FlowTime's index."""

    model_config = ConfigDict(json_schema_extra={"example": SERIES})

    id: str
    kind: str | None
    path: str
    unit: str | None
    measure: str
    component_id: str | None
    class_: Annotated[str, Field(alias="class")]
    class_kind: str | None
    points: int
    hash: str | None


class SeriesIndexBody(Data):
    """The index of a run's series."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "schemaVersion": 1,
                "runId": "run_checkout_hourly",
                "grid": GRID,
                "timeOrigin": "2025-01-01T00:00:00Z",
                "series": [SERIES],
            }
        }
    )

    schema_version: int
    run_id: str
    grid: GridBody
    time_origin: datetime
    series: list[SeriesBody]


class ChartBandBody(Data):
    """Extremes of groups of neighbouring bins.

    Attributes:
        bins: First bin of each group that has a finite value, ascending.
        lows: Lowest finite value of each group.
        highs: Highest finite value of each group.
    """

    model_config = ConfigDict(json_schema_extra={"example": BAND})

    bins: list[int]
    lows: list[float]
    highs: list[float]


class ChartBody(Data):
    """Values of a series within a window, thinned out for a chart.

    Attributes:
        series_id: The series.
        unit: Unit of the values.
        points_total: Number of values of the whole series.
        time_origin: Start of bin 0, UTC.
        bin_minutes: Width of a bin in minutes.
        from_bin: First bin of the window.
        to_bin: Bin after the last one of the window.
        bins_per_point: Bins in a group; 1 where every finite value of the window has a point.
        bins: Bin of each point, ascending; bin n starts at timeOrigin + n * binMinutes. Where
            there are groups, the points are the lowest and the highest value of each.
        values: Value of each point.
        band: The groups; none where binsPerPoint is 1.
        non_finite: Number of values of the window that are NaN or infinite and have no point.
        lowest, highest: Of the finite values of the window.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "seriesId": "served@CHECKOUT@DEFAULT",
                "unit": "entities/bin",
                "pointsTotal": 288,
                "timeOrigin": "2025-01-01T00:00:00Z",
                "binMinutes": 5,
                "fromBin": 0,
                "toBin": 288,
                "binsPerPoint": 144,
                "bins": [7, 140, 150, 287],
                "values": [0.5, 9.0, 1.5, 8.0],
                "band": BAND,
                "nonFinite": 0,
                "lowest": 0.5,
                "highest": 9.0,
            }
        }
    )

    series_id: str
    unit: str | None
    points_total: int
    time_origin: datetime
    bin_minutes: int
    from_bin: int
    to_bin: int
    bins_per_point: int
    bins: list[int]
    values: list[float]
    band: ChartBandBody | None
    non_finite: int
    lowest: float | None
    highest: float | None


class PreviewColumn(Data):
    """A column of a file."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "value", "type": "number", "unit": None}}
    )

    name: str
    type: str
    unit: str | None


class PreviewBody(Data):
    """The first rows of a file.

    Attributes:
        format: Its format.
        columns: Its columns.
        text: The beginning as it will be in the file; a drawn table for Parquet.
        rows: The cells of the rows; NaN and infinities as text.
        rows_total: Rows of the whole file.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "format": "csv",
                "columns": [{"name": "value", "type": "number", "unit": None}],
                "text": "value\n1.5\n",
                "rows": [[1.5]],
                "rowsTotal": 1728,
            }
        }
    )

    format: Format
    columns: list[PreviewColumn]
    text: str
    rows: list[list[Any]]
    rows_total: int | None


class ExportOptions(Data):
    """How a run is exported; everything may be left out.

    Attributes:
        formats: Formats to write; `gold` is another name of `csv`.
        columns: Choice and order of the columns.
        metadata: Metadata columns beside the base columns.
        filter: SQL condition on rows.
        escape_formulas: Escape CSV text that a spreadsheet would run as a formula.
        webhook: URL to call when the export has finished; the service must allow it.
        when: `complete`: where the run is still being written, export it once it is complete.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"formats": ["csv", "parquet"], "filter": "measure = 'served'"}
        },
    )

    formats: Annotated[
        tuple[Literal["csv", "gold", "ndjson", "parquet"], ...], Field(min_length=1, max_length=8)
    ] = ALL_FORMATS
    columns: Annotated[list[Name], Field(min_length=1, max_length=200)] | None = None
    metadata: Annotated[list[Name], Field(max_length=100)] | None = None
    filter: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    escape_formulas: bool = False
    webhook: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    when: When = "now"


class ExportAnswer(Data):
    """A finished export, or the job that makes it.

    Attributes:
        message: The result in words.
        run_id: The run.
        formats: The formats.
        artifacts_path: Folder of the files, relative to that of the runs or of the exports; empty
            while the run is not complete.
        files: Names of the files.
        job_id: The job; GET /v1/jobs/{jobId} returns its progress.
        state: State of the job.
        variant: Folder of an export with options; none for the plain export.
        downloads: Path of the download of each format; none while the run is not complete.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "Export completed successfully",
                "runId": "run_checkout_hourly",
                "formats": ["csv"],
                "artifactsPath": "run_checkout_hourly/gold",
                "files": ["export.csv"],
                "jobId": "29b0b15aa2c4358e",
                "state": "done",
                "variant": None,
                "downloads": {"csv": "/v1/runs/run_checkout_hourly/export/csv"},
            }
        }
    )

    message: str
    run_id: str
    formats: list[Format]
    artifacts_path: str
    files: list[str]
    job_id: str
    state: JobState
    variant: str | None
    downloads: dict[Format, str]


class ImportAnswer(Data):
    """A finished import, or the job that makes it.

    Attributes:
        message: The result in words.
        dry_run: Whether nothing was to be written.
        kind: `restored` from an export of this project, or `telemetry` made of a plain table; none
            before the import is done.
        runs: The runs.
        notes: What was assumed or left out.
        problems: Empty: an import with problems writes nothing, and its status is 422.
        job_id: The job; GET /v1/jobs/{jobId} returns its progress.
        state: State of the job.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "1 run imported",
                "dryRun": False,
                "kind": "telemetry",
                "runs": [],
                "notes": [],
                "problems": [],
                "jobId": "5d0c62ab11f0a7f8",
                "state": "done",
            }
        }
    )

    message: str
    dry_run: bool
    kind: Literal["restored", "telemetry"] | None = None
    runs: tuple[ImportedRunBody, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[ProblemBody, ...] = ()
    job_id: str
    state: JobState


class ImportProblemsBody(ErrorBody):
    """Why nothing was imported.

    Attributes:
        problems: The first problems of each kind.
        problem_counts: Number of problems of each kind.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **problem(422, "import-rejected", "table.csv: 1 problem", "correct the file"),
                "problems": [
                    {
                        "where": "table.csv, line 2, column value",
                        "message": "'one' is not a number",
                        "hint": "a number such as 1.5",
                    }
                ],
                "problemCounts": {"value": 1},
            }
        }
    )

    problems: tuple[ProblemBody, ...] = ()
    problem_counts: dict[str, int] = Field(default_factory=dict)


class JobPage(Data):
    """A page of jobs, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"items": [], "totalCount": 0, "page": 1, "pageSize": 50}}
    )

    items: list[Job]
    total_count: int
    page: int
    page_size: int


class HealthBody(Data):
    """Whether the service works.

    Attributes:
        status: `ok`; `starting`: the runs have not been listed yet; `failing`: they could never be
            listed; `degraded`: something does not work, and what is shown may be old.
        version: Version of this project.
        problem: What is wrong, in one text.
        problems: What is wrong, part by part.
        listed_utc: When the runs were listed last.
        found: Directories that a first listing has looked at so far.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "status": "degraded",
                "version": VERSION,
                "problem": "runs: no such folder",
                "problems": [{"part": "runs", "message": "runs: no such folder"}],
                "listedUtc": "2026-11-27T08:00:00Z",
                "found": 0,
            }
        }
    )

    status: Literal["ok", "starting", "failing", "degraded"]
    version: str
    problem: str | None = None
    problems: tuple[HealthProblem, ...] = ()
    listed_utc: datetime | None = None
    found: int = 0


class ServiceBody(Data):
    """What a client may want to know about the service.

    Attributes:
        version: Version of this project.
        runs: The folder or bucket of the runs, as the service was started with.
        exports: The folder of the exports; none for each run's own `gold/`.
        refresh_seconds: Age at which the runs are listed again.
        max_upload_bytes: Bytes that an upload may have; 0 for no uploads.
        formats: The formats of exports.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "version": VERSION,
                "runs": "s3://sim/runs",
                "exports": None,
                "refreshSeconds": 30,
                "maxUploadBytes": 1_000_000_000,
                "formats": list(ALL_FORMATS),
            }
        }
    )

    version: str
    runs: str
    exports: str | None
    refresh_seconds: float
    max_upload_bytes: int
    formats: tuple[Format, ...]


class AutoExportBody(Data):
    """Automatic exports.

    Attributes:
        formats: Formats in which each run is exported when it is completed; empty: none is.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"formats": ["csv", "parquet"]}}
    )

    formats: Annotated[tuple[Format, ...], Field(max_length=8)]


class SessionBody(Data):
    """A session of a browser.

    Attributes:
        required: Whether tokens are required at all.
        seconds: How long the session lasts.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"required": True, "seconds": 43_200}})

    required: bool
    seconds: int
