"""Imports as data: what is uploaded, how it is to be understood, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.service.job import Data

_Text = Annotated[str, Field(min_length=1, max_length=512)]
_Columns = dict[str, _Text]


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


class ImportOrder(BaseModel):
    """What a worker process is told, as one line of JSON.

    Attributes:
        sources: Local files.
        out: URL that the run directories go below.
        storage: Options of the storage of `out`, in clear; None for none.
        protocol: Protocol that they are meant for.
        wishes: How files become runs.
        address_space: Bytes of address space that the process may have.
    """

    model_config = ConfigDict(frozen=True)

    sources: list[str]
    out: str
    storage: dict[str, Any] | None = None
    protocol: str | None = None
    wishes: ImportWishes
    address_space: Annotated[int, Field(ge=1)]


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


class ImportBody(Data):
    """What an import did.

    Attributes:
        message: The same in words.
        dry_run: Whether it only looked.
        kind: `restored` from an export of this project, or `telemetry` made of a plain table.
        runs: The runs.
        notes: What was assumed or left out.
        problems: None: an import with problems writes nothing and answers 422 with them.
    """

    message: str
    dry_run: bool
    kind: Literal["restored", "telemetry"]
    runs: tuple[ImportedRunBody, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[ProblemBody, ...] = ()


class ImportProblemsBody(Data):
    """Why nothing was imported.

    Attributes:
        error: What was wrong.
        hint: What to do about it.
        problems: The first of each kind.
        problem_counts: How many there are of each kind.
    """

    error: str
    hint: str = ""
    problems: tuple[ProblemBody, ...] = ()
    problem_counts: dict[str, int] = Field(default_factory=dict)
