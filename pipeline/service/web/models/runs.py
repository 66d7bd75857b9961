"""Define runs, their series and their exports as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pipeline.registry.records.artifact import ArtifactState
from pipeline.service.api_base import Data
from pipeline.service.web.models.examples import (
    BAND,
    EXPORTED_FILE,
    GRID,
    RUN_EXPORT,
    SERIES,
    SUMMARY,
)
from pipeline.sinks.formats import Format


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
    state: ArtifactState
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
    states: dict[ArtifactState, int]
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
