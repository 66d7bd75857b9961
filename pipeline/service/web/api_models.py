"""What the API takes and gives, as models that OpenAPI is made from."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pipeline.service.api_base import Data
from pipeline.service.catalog.run_catalog import RunState
from pipeline.service.jobs.import_order import ImportedRunBody, ProblemBody
from pipeline.service.jobs.job import Job, JobState, When
from pipeline.sinks.formats import ALL_FORMATS, Format

Name = Annotated[str, Field(min_length=1, max_length=128)]


class ErrorBody(Data):
    """Why a request was not answered as asked.

    Attributes:
        error: What was wrong.
        hint: What to do about it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": "Run not found",
                "hint": "GET /v1/runs lists the runs that there are, by their id",
            }
        }
    )

    error: str
    hint: str = ""


class GridBody(Data):
    """The time grid of a run."""

    bins: int
    bin_minutes: int
    bin_size: int
    bin_unit: Literal["minutes"] = "minutes"


class RunSummary(Data):
    """A run in a list.

    Attributes:
        id: What this API calls it: its runId, with a mark where several runs have the same.
        run_id: Its own id.
        name: Name of its directory.
        path: Its directory, relative to the folder of the runs.
        state: `complete`, or why it cannot be exported: `broken`, `incomplete` (still being
            written), `link` (not followed), `unlisted` (may not be looked into).
        reason: The same in words.
    """

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


class RunPage(Data):
    """Runs, a page of them.

    Attributes:
        items: The runs of the page.
        total_count: Runs that match, on all pages.
        page: Its number, from 1.
        page_size: Runs on a page at the most.
        states: Runs that match, by state.
        listed_utc: When the runs were listed.
    """

    items: list[RunSummary]
    total_count: int
    page: int
    page_size: int
    states: dict[RunState, int]
    listed_utc: datetime


class ExportedFileBody(Data):
    """A committed file of an export.

    Attributes:
        format: Its format.
        name: Its name.
        bytes: Its size.
        rows: Its data rows.
        sha256: Its digest.
        exported_utc: When it was exported.
        url: Where to get it.
        variant: Which options it was exported with; none for plain ones.
    """

    format: Format
    name: str
    bytes: int
    rows: int | None
    sha256: str | None
    exported_utc: datetime | None
    url: str
    variant: str | None = None


class RunDetail(RunSummary):
    """A run with all that is known of it."""

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
    """A series of a run, as FlowTime's index has it."""

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

    schema_version: int
    run_id: str
    grid: GridBody
    time_origin: datetime
    series: list[SeriesBody]


class ChartBody(Data):
    """A series thinned out for a chart.

    Attributes:
        series_id: The series.
        unit: Unit of the values.
        points_total: Values of the whole series.
        time_origin: Start of bin 0, UTC.
        bin_minutes: Width of a bin.
        bins: Bin of each point, ascending; it starts at timeOrigin + bin * binMinutes.
        values: Value of each point.
        non_finite: Values that are NaN or infinite and have no point.
        lowest, highest: Of all finite values.
    """

    series_id: str
    unit: str | None
    points_total: int
    time_origin: datetime
    bin_minutes: int
    bins: list[int]
    values: list[float]
    non_finite: int
    lowest: float | None
    highest: float | None


class PreviewColumn(Data):
    """A column of a file."""

    name: str
    type: str
    unit: str | None


class PreviewBody(Data):
    """The first rows of a file.

    Attributes:
        format: Its format.
        columns: Its columns.
        text: The beginning as it will stand in the file; a drawn table for Parquet.
        rows: The cells of the rows; NaN and infinities as text.
        rows_total: Rows of the whole file.
    """

    format: Format
    columns: list[PreviewColumn]
    text: str
    rows: list[list[Any]]
    rows_total: int | None


class ExportOptions(Data):
    """How a run is to be exported; all of it may be left out.

    Attributes:
        formats: Formats to write; `gold` is another name of `csv`.
        columns: Pick and order of the columns.
        metadata: Metadata columns beside the base columns.
        filter: SQL condition on rows.
        webhook: URL to be told when the export is done; the service must allow it.
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
    webhook: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    when: When = "now"


class ExportAnswer(Data):
    """An export that is done, or the job that does it.

    Attributes:
        message: The same in words.
        run_id: The run.
        formats: The formats.
        artifacts_path: Folder of the files, relative to that of the runs or of the exports; empty
            while the run is not complete.
        files: Names of the files.
        job_id: The job; GET /v1/jobs/{jobId} tells how far it is.
        state: Where the job stands.
        variant: Which options the files were exported with; none for plain ones.
        downloads: Where to get each format when the job is done; none while the run is not
            complete.
    """

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
    """An import that is done, or the job that does it.

    Attributes:
        message: The same in words.
        dry_run: Whether nothing was to be written.
        kind: `restored` from an export of this project, or `telemetry` made of a plain table; none
            before the import is done.
        runs: The runs.
        notes: What was assumed or left out.
        problems: None: an import with problems writes nothing and answers 422 with them.
        job_id: The job; GET /v1/jobs/{jobId} tells how far it is.
        state: Where the job stands.
    """

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
        problems: The first of each kind.
        problem_counts: How many there are of each kind.
    """

    problems: tuple[ProblemBody, ...] = ()
    problem_counts: dict[str, int] = Field(default_factory=dict)


class JobPage(Data):
    """Jobs, newest first."""

    items: list[Job]
    total_count: int
    page: int
    page_size: int


class HealthBody(Data):
    """Whether the service works.

    Attributes:
        status: `ok`, or `starting` or `failing` with the problem.
        version: Of this project.
        problem: What is wrong.
    """

    status: Literal["ok", "starting", "failing"]
    version: str
    problem: str | None = None


class SessionBody(Data):
    """A session of a browser.

    Attributes:
        required: Whether a token is asked for at all.
        seconds: How long the session lasts.
    """

    required: bool
    seconds: int
