"""Define the requests of exports and imports, and the responses to them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool

from pipeline.service.api_base import Data
from pipeline.service.jobs.import_order import ImportedRunBody, ProblemBody
from pipeline.service.jobs.job import Job, JobState, When
from pipeline.sinks.formats import ALL_FORMATS, Format

_Name = Annotated[str, Field(min_length=1, max_length=128)]


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
    columns: Annotated[list[_Name], Field(min_length=1, max_length=200)] | None = None
    metadata: Annotated[list[_Name], Field(max_length=100)] | None = None
    filter: Annotated[str, Field(min_length=1, max_length=10_000)] | None = None
    escape_formulas: StrictBool = False
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


class JobPage(Data):
    """A page of jobs, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"items": [], "totalCount": 0, "page": 1, "pageSize": 50}}
    )

    items: list[Job]
    total_count: int
    page: int
    page_size: int


class AutoExportBody(Data):
    """Automatic exports.

    Attributes:
        formats: Formats in which each run is exported when it is completed; empty: none is.
    """

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"formats": ["csv", "parquet"]}}
    )

    formats: Annotated[tuple[Format, ...], Field(max_length=8)]
