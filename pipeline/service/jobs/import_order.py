"""Define imports as data: what is uploaded, how it is read, and what it became."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pipeline.service.api_base import Data
from pipeline.service.jobs.job_request import JobRequest, JobTarget, Phase, StorageOrder
from pipeline.sinks.formats import Format

_Text = Annotated[str, Field(min_length=1, max_length=512)]
_Columns = dict[str, _Text]
_RUN: dict[str, Any] = {
    "runId": "run_checkout_hourly",
    "status": "written",
    "series": 6,
    "rows": 1728,
    "bytes": 19_412,
    "notes": ["6 of 6 files as they were, byte for byte"],
}
_PROBLEM: dict[str, Any] = {
    "where": "table.csv, line 2, column value",
    "message": "'one' is not a number",
    "hint": "a number such as 1.5",
}
_IMPORT: dict[str, Any] = {
    "kind": "import",
    "files": ["table.csv"],
    "sources": ["table.csv"],
    "bytes": 1024,
    "wishes": {"binSize": "5m"},
}


class ImportWishes(Data):
    """How uploaded files become runs: the options of `flowtime-export import`.

    Attributes:
        dry_run: Read and check everything, and write nothing.
        if_exists: What to do where the run directory exists already.
        partial: Restore runs of which only some series were exported.
        values_only: Accept right values in other bytes.
        as_telemetry: Read an export of this project as a plain table.
        columns: The name that a plain table has for each column, by the name used here.
        format: Format of a plain table.
        separator: Separator of CSV.
        bin_size: Width of a bin, such as `5m`.
        time_origin: Start of bin 0.
        time_unit: Unit of times that are numbers.
        time_zone: Time zone of times without one.
        restamp: Use times only to number the bins.
        class_name: Class of rows without one.
        run_id: Id of the telemetry run.
        gaps: What to do with bins without a row.
        duplicates: What to do with bins with two rows.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"binSize": "5m"}})

    dry_run: bool = False
    if_exists: Literal["error", "skip", "replace"] = "error"
    partial: bool = False
    values_only: bool = False
    as_telemetry: bool = False
    columns: _Columns | None = None
    format: Format | None = None
    separator: _Text | None = None
    bin_size: _Text | None = None
    time_origin: _Text | None = None
    time_unit: Literal["text", "s", "ms", "us", "bin"] | None = None
    time_zone: _Text | None = None
    restamp: bool = False
    class_name: _Text | None = None
    run_id: _Text | None = None
    gaps: Literal["error", "nan"] | None = None
    duplicates: Literal["error", "last"] | None = None

    def of_tables(self) -> dict[str, Any]:
        """Return the options of plain tables, as `ForeignOptions` takes them."""
        names = (
            "columns format separator bin_size time_origin time_unit time_zone restamp class_name "
            "run_id gaps duplicates"
        )
        return {name: getattr(self, name) for name in names.split()}


class ImportedRunBody(Data):
    """A run that an import has made or found.

    Attributes:
        run_id: Its id.
        status: `written`; `replaced`: there was another run; `skipped`: the same run was there;
            `checked`: nothing was to be written.
        series: Its series.
        rows: Values in them.
        bytes: Bytes of its series files.
        notes: What a reader should know.
    """

    model_config = ConfigDict(json_schema_extra={"example": _RUN})

    run_id: str
    status: Literal["written", "replaced", "skipped", "checked"]
    series: int
    rows: int
    bytes: int
    notes: tuple[str, ...] = ()


class ProblemBody(Data):
    """One fault of a table.

    Attributes:
        where: File, line and column.
        message: What was found there.
        hint: What would be right.
    """

    model_config = ConfigDict(json_schema_extra={"example": _PROBLEM})

    where: str
    message: str
    hint: str = ""


class ImportResult(Data):
    """What an import has done.

    Attributes:
        kind: `restored` from exports of this project, or `telemetry` made of a plain table.
        runs: The runs.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"kind": "restored", "runs": [_RUN]}})

    kind: Literal["restored", "telemetry"]
    runs: tuple[ImportedRunBody, ...]


class ImportRequest(JobRequest):
    """What an import job does.

    Attributes:
        kind: Kind of the job.
        files: Names of the files that were sent.
        sources: Those of them that are read; the others describe them or repeat them.
        bytes: Size of all.
        wishes: How they become runs.
    """

    model_config = ConfigDict(json_schema_extra={"example": _IMPORT})

    kind: Literal["import"] = "import"
    files: tuple[str, ...]
    sources: tuple[str, ...]
    bytes: int
    wishes: ImportWishes

    @property
    def target(self) -> JobTarget:
        """The same for all imports: which runs one writes is known only after reading its files."""
        return "", None

    def can_be_tried_again(self, phase: Phase) -> bool:
        """Return whether no run is visible yet, which a second attempt would find in its way."""
        return self.wishes.dry_run or phase != "publishing"


class ImportOrder(StorageOrder):
    """What a worker process imports.

    Attributes:
        kind: Distinguishes orders.
        request: The request of the job.
        files: Local folder of the files.
        scratch: Local folder for what is made of them on the way.
        out: URL that the run directories go below.
    """

    kind: Literal["import"] = "import"
    request: ImportRequest
    files: str
    scratch: str
    out: str
