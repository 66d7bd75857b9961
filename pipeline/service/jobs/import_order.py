"""Imports as data: what is uploaded, how it is to be understood, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.service.api_base import Data

_Text = Annotated[str, Field(min_length=1, max_length=512)]
_Columns = dict[str, _Text]

Phase = Literal["waiting", "discovering", "reading", "checking", "publishing", "over"]


class ImportWishes(Data):
    """How uploaded files are to become runs: the options of `flowtime-export import`.

    Attributes:
        dry_run: Read and check everything, and write nothing.
        if_exists: What to do where the run directory stands already.
        partial: Restore runs of which only some series were exported.
        values_only: Accept right values in other bytes.
        as_telemetry: Take an export of this project for a plain table.
        columns: What a plain table calls a column, by its name here.
        format: Format of a plain table.
        separator: Separator of CSV.
        bin_size: Width of a bin, such as `5m`.
        time_origin: Start of bin 0.
        time_unit: What the times are numbers of.
        time_zone: Time zone of times that name none.
        restamp: Times only number the bins.
        class_name: Class of rows that name none.
        run_id: Id of the telemetry run.
        gaps: What to do with bins without a row.
        duplicates: What to do with bins with two rows.
    """

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False
    if_exists: Literal["error", "skip", "replace"] = "error"
    partial: bool = False
    values_only: bool = False
    as_telemetry: bool = False
    columns: _Columns | None = None
    format: Literal["csv", "ndjson", "parquet"] | None = None
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
        """What is only of use for plain tables, as `ForeignOptions` takes it."""
        names = (
            "columns format separator bin_size time_origin time_unit time_zone restamp class_name "
            "run_id gaps duplicates"
        )
        return {name: getattr(self, name) for name in names.split()}


class ImportedRunBody(Data):
    """A run that came of an import.

    Attributes:
        run_id: Its id.
        status: `written`; `replaced`, as another stood there; `skipped`, as the same stood there;
            `checked`, as nothing was to be written.
        series: Its series.
        rows: Values in them.
        bytes: Bytes of its series files.
        notes: What a reader should know.
    """

    run_id: str
    status: Literal["written", "replaced", "skipped", "checked"]
    series: int
    rows: int
    bytes: int
    notes: tuple[str, ...] = ()


class ProblemBody(Data):
    """One thing that is wrong with a table.

    Attributes:
        where: File, line and column.
        message: What is there.
        hint: What would be right.
    """

    where: str
    message: str
    hint: str = ""


class ImportResult(Data):
    """What an import has done.

    Attributes:
        kind: `restored` from exports of this project, or `telemetry` made of a plain table.
        runs: The runs.
    """

    kind: Literal["restored", "telemetry"]
    runs: tuple[ImportedRunBody, ...]


class ImportRequest(Data):
    """What an import is to do.

    Attributes:
        kind: What kind of job it is.
        files: Names of the files that were sent.
        sources: Those of them that are read; others only describe them, or say the same.
        bytes: Size of all.
        wishes: How they are to become runs.
    """

    kind: Literal["import"] = "import"
    files: tuple[str, ...]
    sources: tuple[str, ...]
    bytes: int
    wishes: ImportWishes

    @property
    def run(self) -> str:
        """No run of the catalog."""
        return ""

    @property
    def target(self) -> tuple[str, str | None]:
        """The same for all: which runs they write is known only when they have been read."""
        return "", None

    @property
    def webhook(self) -> str | None:
        """None of its own."""
        return None

    @property
    def when(self) -> Literal["now"]:
        """It waits for no run."""
        return "now"

    @property
    def temporary(self) -> bool:
        """Whether it is for one request only; never."""
        return False

    def is_same_work(self, other: object) -> bool:
        """Never: whether files are the same is not known."""
        return False

    def can_be_tried_again(self, phase: Phase) -> bool:
        """Until runs become visible: those that are would then stand in the way."""
        return self.wishes.dry_run or phase != "publishing"


class ImportOrder(BaseModel):
    """What a worker process is told to import, as one line of JSON.

    Attributes:
        kind: Tells orders apart.
        request: What is to be done.
        files: Local folder of the files.
        scratch: Local folder for what is made of them on the way.
        out: URL that the run directories go below.
        storage: Options of the storage of `out`, in clear; None for none.
        protocol: Protocol that they are meant for.
        address_space: Bytes of address space that the process may have.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["import"] = "import"
    request: ImportRequest
    files: str
    scratch: str
    out: str
    storage: dict[str, Any] | None = None
    protocol: str | None = None
    address_space: Annotated[int, Field(ge=1)]
