"""Define jobs as data: what is exported or imported, and its progress."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

from pydantic import ConfigDict, Field

from pipeline.service.api_base import Data
from pipeline.service.jobs.compare_order import CompareOrder, CompareRequest, CompareResult
from pipeline.service.jobs.import_order import (
    ImportOrder,
    ImportRequest,
    ImportResult,
    ProblemBody,
)
from pipeline.service.jobs.job_request import JobRequest, JobTarget, Phase, WorkerOrder
from pipeline.sinks.formats import ALL_FORMATS, Format

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobKind = Literal["export", "import", "comparison"]
When = Literal["now", "complete"]
FINISHED: frozenset[JobState] = frozenset({"done", "failed", "cancelled"})


_REQUEST: dict[str, Any] = {
    "kind": "export",
    "run": "run_checkout_hourly",
    "runId": "run_checkout_hourly",
    "path": "run_checkout_hourly",
    "formats": ["csv"],
}
_PROGRESS: dict[str, Any] = {
    "phase": "over",
    "files": 6,
    "filesTotal": 6,
    "rows": 1728,
    "rowsTotal": 1728,
}
_FILE: dict[str, Any] = {
    "format": "csv",
    "name": "export.csv",
    "bytes": 104_512,
    "rows": 1728,
    "status": "exported",
    "url": "/v1/runs/run_checkout_hourly/export/csv",
}
_ERROR: dict[str, Any] = {
    "type": "RunError",
    "code": "run-damaged",
    "error": "series served@CHECKOUT@DEFAULT: the header is incomplete",
    "hint": "repair the run's files, or evaluate its model again",
    "status": 422,
}
_EXAMPLE: dict[str, Any] = {
    "id": "29b0b15aa2c4358e",
    "request": _REQUEST,
    "state": "done",
    "created": "2026-11-27T08:00:00Z",
    "started": "2026-11-27T08:00:00Z",
    "finished": "2026-11-27T08:00:01Z",
    "attempts": 1,
    "progress": _PROGRESS,
    "files": [_FILE],
}


class ExportShape(Data):
    """What an export contains, where it differs from a plain one.

    Attributes:
        columns: Choice and order of the columns; default all.
        metadata: Metadata columns; default those of a plain export.
        filter: SQL condition on rows.
        escape_formulas: Whether CSV text that a spreadsheet would run is escaped.
    """

    columns: tuple[str, ...] | None = None
    metadata: tuple[str, ...] | None = None
    filter: str | None = None
    escape_formulas: bool = False

    @property
    def variant(self) -> str | None:
        """Name of the folder for exports of this shape; None for plain exports."""
        shaping: list[Any] = [self.columns, self.metadata, self.filter]
        if self.escape_formulas:
            shaping.append("escape_formulas")
        elif shaping == [None, None, None]:
            return None
        return f"custom-{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()[:12]}"


class ExportRequest(JobRequest, ExportShape):
    """What an export job does.

    Attributes:
        kind: Kind of the job.
        run: Key of the run in the catalog.
        run_id: The run's own id.
        path: The run directory, relative to the folder of the runs.
        formats: Formats to write, in order.
        webhook: URL to call when the job has finished.
        temporary: Whether the files are for one download only.
        when: Whether the job waits until the run is complete.
        automatic: Whether the service requested it because the run was completed.
    """

    model_config = ConfigDict(json_schema_extra={"example": _REQUEST})

    kind: Literal["export"] = "export"
    run: str
    run_id: str
    path: str
    formats: tuple[Format, ...] = ALL_FORMATS
    webhook: str | None = None
    temporary: bool = False
    when: When = "now"
    automatic: bool = False

    @property
    def subject(self) -> str:
        """Key of the run in the catalog."""
        return self.run

    @property
    def target(self) -> JobTarget:
        """The folder that only one job may write at a time."""
        return self.path, self.variant

    @property
    def waits_for_run(self) -> bool:
        """Whether the job waits until its run is complete."""
        return self.when == "complete"

    @property
    def is_temporary(self) -> bool:
        """Whether its files are for one download only."""
        return self.temporary

    @property
    def webhook_url(self) -> str | None:
        """URL to call when the job has finished."""
        return self.webhook

    def is_same_work(self, other: JobRequest) -> bool:
        """Return whether one job can serve both requests."""
        if not isinstance(other, ExportRequest) or self.temporary or other.temporary:
            return False
        same = self.target == other.target and set(self.formats) == set(other.formats)
        return same and self.webhook == other.webhook


AnyRequest = ExportRequest | ImportRequest | CompareRequest


class Progress(Data):
    """Progress of a job.

    Attributes:
        phase: What the job does now.
        files: Series files read.
        files_total: Series files to read.
        rows: Rows read.
        rows_total: Rows to read.
        bytes: Bytes read.
        bytes_total: Bytes to read.
    """

    model_config = ConfigDict(json_schema_extra={"example": _PROGRESS})

    phase: Phase = "waiting"
    files: int = 0
    files_total: int = 0
    rows: int = 0
    rows_total: int = 0
    bytes: int = 0
    bytes_total: int = 0


class JobFile(Data):
    """A file that a job has written or found up to date.

    Attributes:
        format: Its format.
        name: Its name.
        bytes: Its size.
        rows: Its data rows.
        status: `exported`; `unchanged`, as the published file was up to date; `kept`.
        url: Path of the download.
    """

    model_config = ConfigDict(json_schema_extra={"example": _FILE})

    format: Format
    name: str
    bytes: int
    rows: int
    status: Literal["exported", "unchanged", "kept"]
    url: str | None = None


class JobError(Data):
    """Why a job failed.

    Attributes:
        type: Class of the error.
        code: Stable code of the kind of problem.
        error: What was wrong.
        hint: What to do about it.
        status: HTTP status of the same problem.
        problems: What is wrong with files that were to be imported; the first of each kind.
        problem_counts: Number of problems of each kind.
    """

    model_config = ConfigDict(json_schema_extra={"example": _ERROR})

    type: str
    code: str = "internal"
    error: str
    hint: str = ""
    status: int = 500
    problems: tuple[ProblemBody, ...] = ()
    problem_counts: dict[str, int] = Field(default_factory=dict)


def download_url(run: str, form: Format, variant: str | None) -> str:
    """Return the path of the download of an export.

    Args:
        run: Key of the run.
        form: The format.
        variant: Folder of exports with options; None for the plain export.
    """
    query = "" if variant is None else f"?variant={variant}"
    return f"/v1/runs/{quote(run, safe='')}/export/{form}{query}"


class Job(Data):
    """One export, import or comparison: queued, running or finished.

    Attributes:
        id: Its id.
        request: What it does.
        state: Its state.
        created, started, finished: When, UTC.
        attempts: How often a worker has begun it.
        progress: Its progress.
        files: What an export has written.
        imported: What an import has written.
        compared: What a comparison has found.
        notes: What a reader should know.
        error: Why it failed.
    """

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: str
    request: AnyRequest
    state: JobState = "queued"
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    attempts: int = 0
    progress: Progress = Progress()
    files: tuple[JobFile, ...] = ()
    imported: ImportResult | None = None
    compared: CompareResult | None = None
    notes: tuple[str, ...] = ()
    error: JobError | None = None

    @property
    def is_over(self) -> bool:
        """Whether the job has finished, in whatever way."""
        return self.state in FINISHED

    def shown(self) -> Job:
        """Return the job as clients see it: with links to its files, without the webhook.

        The URL of a webhook is often as good as a secret.
        """
        request = self.request
        if not isinstance(request, ExportRequest) or request.temporary:
            return self
        files = tuple(
            file.changed(url=download_url(request.run, file.format, request.variant))
            for file in self.files
        )
        hidden = request.changed(webhook=None)
        return self.changed(files=files, request=hidden)


class ExportOrder(WorkerOrder):
    """What a worker process exports.

    Attributes:
        kind: Distinguishes orders.
        config: The export's config as plain data.
    """

    kind: Literal["export"] = "export"
    config: dict[str, Any]


AnyOrder = ExportOrder | ImportOrder | CompareOrder
