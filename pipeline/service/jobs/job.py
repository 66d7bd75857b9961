"""Jobs as data: what is to be exported or imported, and how far it is."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from pipeline.service.api_base import Data
from pipeline.service.jobs.import_order import ImportRequest, ImportResult, Phase, ProblemBody
from pipeline.sinks.formats import ALL_FORMATS, Format

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
When = Literal["now", "complete"]
FINISHED: frozenset[JobState] = frozenset({"done", "failed", "cancelled"})


class ExportRequest(Data):
    """What an export is to do.

    Attributes:
        kind: What kind of job it is.
        run: Key of the run in the catalog.
        run_id: The run's own id.
        path: The run directory, relative to the folder of the runs.
        formats: Formats to write, in order.
        columns: Pick and order of the columns; default all.
        metadata: Metadata columns; default those of a plain export.
        filter: SQL condition on rows.
        webhook: URL to be told when the job is over.
        temporary: Whether the files are for one download only.
        when: Whether it waits until the run is complete.
    """

    kind: Literal["export"] = "export"
    run: str
    run_id: str
    path: str
    formats: tuple[Format, ...] = ALL_FORMATS
    columns: tuple[str, ...] | None = None
    metadata: tuple[str, ...] | None = None
    filter: str | None = None
    webhook: str | None = None
    temporary: bool = False
    when: When = "now"

    @property
    def variant(self) -> str | None:
        """Folder of exports with these options; None for plain ones."""
        if self.columns is None and self.metadata is None and self.filter is None:
            return None
        shaping = [self.columns, self.metadata, self.filter]
        digest = hashlib.sha256(json.dumps(shaping).encode()).hexdigest()
        return f"custom-{digest[:12]}"

    @property
    def target(self) -> tuple[str, str | None]:
        """What no two jobs may write at a time."""
        return self.path, self.variant

    def is_same_work(self, other: AnyRequest) -> bool:
        """Whether doing one is doing the other."""
        if isinstance(other, ImportRequest) or self.temporary or other.temporary:
            return False
        same = self.target == other.target and set(self.formats) == set(other.formats)
        return same and self.webhook == other.webhook

    def can_be_tried_again(self, phase: Phase) -> bool:
        """Always: an export finds what it has published."""
        return True


AnyRequest = ExportRequest | ImportRequest


class Progress(Data):
    """How far a job is.

    Attributes:
        phase: What it does now.
        files: Series files read.
        files_total: Series files to read.
        rows: Rows read.
        rows_total: Rows to read.
        bytes: Bytes read.
        bytes_total: Bytes to read.
    """

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
        status: `exported`, or `unchanged` as it stood there already.
        url: Where to get it from this service.
    """

    format: Format
    name: str
    bytes: int
    rows: int
    status: Literal["exported", "unchanged", "kept"]
    url: str | None = None


class JobError(Data):
    """Why a job failed.

    Attributes:
        type: Kind of the error.
        error: What was wrong.
        hint: What to do about it.
        status: HTTP status that says the same.
        problems: What is wrong with files that were to be imported; the first of each kind.
        problem_counts: How many there are of each kind.
    """

    type: str
    error: str
    hint: str = ""
    status: int = 500
    problems: tuple[ProblemBody, ...] = ()
    problem_counts: dict[str, int] = Field(default_factory=dict)


def download_url(run: str, form: Format, variant: str | None) -> str:
    """Where an export of a run is to be had from this service.

    Args:
        run: Key of the run.
        form: The format.
        variant: Which options it was exported with.
    """
    query = "" if variant is None else f"?variant={variant}"
    return f"/v1/runs/{quote(run, safe='')}/export/{form}{query}"


class Job(Data):
    """One export or import, waiting, running or over.

    Attributes:
        id: Its id.
        request: What it is to do.
        state: Where it stands.
        created, started, finished: When, UTC.
        attempts: How often a worker has begun it.
        progress: How far it is.
        files: What an export has written.
        imported: What an import has written.
        notes: What a reader should know.
        error: Why it failed.
    """

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
    notes: tuple[str, ...] = ()
    error: JobError | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in FINISHED

    def shown(self) -> Job:
        """The job as clients see it: with links to its files, without the webhook.

        The URL of a webhook is often as good as a secret.
        """
        request = self.request
        if isinstance(request, ImportRequest) or request.temporary:
            return self
        files = tuple(
            file.changed(url=download_url(request.run, file.format, request.variant))
            for file in self.files
        )
        hidden = request.changed(webhook=None)
        return self.changed(files=files, request=hidden)


class ExportOrder(BaseModel):
    """What a worker process is told to export, as one line of JSON.

    Attributes:
        kind: Tells orders apart.
        config: The export's config as plain data.
        address_space: Bytes of address space that the process may have.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["export"] = "export"
    config: dict[str, Any]
    address_space: Annotated[int, Field(ge=1)]
