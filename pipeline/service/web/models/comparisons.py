"""Define the bodies of comparisons, with FlowTime's own fields."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from pipeline.service.api_base import Data
from pipeline.service.jobs.compare_order import OPTIONS_EXAMPLE, CompareOptions
from pipeline.service.jobs.job import Job, JobState

_Id = Annotated[str, Field(min_length=1, max_length=1024)]

SessionStatus = Literal["Draft", "Configured", "Computing", "Completed", "Failed"]
STATUSES: dict[JobState, SessionStatus] = {
    "queued": "Configured",
    "running": "Computing",
    "done": "Completed",
    "failed": "Failed",
    "cancelled": "Failed",
}

_ARTIFACT: dict[str, Any] = {"artifactId": "run_checkout_hourly", "type": "run"}
_IDS: dict[str, Any] = {
    "baselineId": "run_checkout_hourly",
    "comparisonId": "run_checkout_hourly",
    "options": OPTIONS_EXAMPLE,
}
_OTHER: dict[str, Any] = {"comparison": _ARTIFACT, "configuration": OPTIONS_EXAMPLE}
_OTHER_ID: dict[str, Any] = {"comparisonId": "run_checkout_hourly", "options": OPTIONS_EXAMPLE}
_ERROR: dict[str, Any] = {
    "error": "series served@CHECKOUT@DEFAULT: the units differ",
    "code": "not-comparable",
    "hint": "name renamed components in `renamed`, or choose another `alignment`",
}
_VALUES: dict[str, Any] = {
    "seriesId": "served@CHECKOUT@DEFAULT",
    "baselineValues": [1.0, 2.0],
    "comparisonValues": [1.0, 3.0],
    "differenceValues": [0.0, 1.0],
    "percentChangeValues": [0.0, 50.0],
}
_METRICS: dict[str, Any] = {
    "seriesMetrics": {"served@CHECKOUT@DEFAULT": {"MAE": 0.5, "SMAPE": 0.2, "Correlation": 1.0}}
}
_SESSION: dict[str, Any] = {
    "sessionId": "29b0b15aa2c4358e",
    "status": "Completed",
    "baseline": _ARTIFACT,
    "comparison": _ARTIFACT,
    "configuration": OPTIONS_EXAMPLE,
    "created": "2026-11-27T08:00:00Z",
    "finished": "2026-11-27T08:00:01Z",
    "progress": 1.0,
    "metrics": _METRICS,
    "exports": ["csv", "ndjson", "parquet", "html"],
}
_RANGE: dict[str, Any] = {"lows": [0.5, None], "highs": [9.0, None]}
_CHART: dict[str, Any] = {
    "seriesId": "served@CHECKOUT@DEFAULT",
    "unit": "entities/bin",
    "timeOrigin": "2025-01-01T00:00:00Z",
    "binMinutes": 5,
    "bins": 288,
    "fromBin": 0,
    "toBin": 288,
    "binsPerPoint": 144,
    "baseline": _RANGE,
    "comparison": _RANGE,
    "difference": _RANGE,
    "band": None,
    "bound": None,
    "gaps": [144],
}


class ArtifactBody(Data):
    """A side of a comparison.

    Attributes:
        artifact_id: Id of a run, or of an export in the registry.
        type: What it is.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _ARTIFACT})

    artifact_id: _Id
    type: Literal["run", "telemetry", "export"] = "run"


class ArtifactsCompareBody(Data):
    """A comparison of two artifacts.

    Attributes:
        baseline: What the other is compared with.
        comparison: The other.
        configuration: How they are compared.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "baseline": {"artifactId": "run_checkout_hourly", "type": "run"},
                "comparison": {"artifactId": "run_checkout_hourly", "type": "run"},
                "configuration": {"alignment": "start_time", "tolerance": {"relative": 1e-6}},
            }
        },
    )

    baseline: ArtifactBody
    comparison: ArtifactBody
    configuration: CompareOptions = CompareOptions()

    @property
    def sides(self) -> tuple[str, str]:
        """The ids of both sides."""
        return self.baseline.artifact_id, self.comparison.artifact_id


class IdsCompareBody(Data):
    """A comparison of two runs by their ids.

    Attributes:
        baseline_id: What the other is compared with.
        comparison_id: The other.
        options: How they are compared.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _IDS})

    baseline_id: _Id
    comparison_id: _Id
    options: CompareOptions = CompareOptions()

    @property
    def sides(self) -> tuple[str, str]:
        """The ids of both sides."""
        return self.baseline_id, self.comparison_id

    @property
    def configuration(self) -> CompareOptions:
        """How they are compared."""
        return self.options


class OtherArtifactBody(Data):
    """What an artifact is compared with.

    Attributes:
        comparison: The other.
        configuration: How they are compared.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _OTHER})

    comparison: ArtifactBody
    configuration: CompareOptions = CompareOptions()

    @property
    def other(self) -> str:
        """The id of the other."""
        return self.comparison.artifact_id


class OtherIdBody(Data):
    """What an artifact is compared with, by its id.

    Attributes:
        comparison_id: The other.
        options: How they are compared.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _OTHER_ID})

    comparison_id: _Id
    options: CompareOptions = CompareOptions()

    @property
    def other(self) -> str:
        """The id of the other."""
        return self.comparison_id

    @property
    def configuration(self) -> CompareOptions:
        """How they are compared."""
        return self.options


def _spelling(body: object) -> str:
    """Return which of the two bodies is meant, so that errors are about that one alone."""
    names = body.keys() if isinstance(body, dict) else ()
    return "ids" if {"baselineId", "comparisonId", "options"} & set(names) else "artifacts"


CompareBody = Annotated[
    Annotated[ArtifactsCompareBody, Tag("artifacts")] | Annotated[IdsCompareBody, Tag("ids")],
    Discriminator(_spelling),
]
"""Both bodies that FlowTime's documents have for one request."""

OtherBody = Annotated[
    Annotated[OtherArtifactBody, Tag("artifacts")] | Annotated[OtherIdBody, Tag("ids")],
    Discriminator(_spelling),
]
"""The same where the path names the baseline."""


class CompareErrorBody(Data):
    """Why a comparison failed.

    Attributes:
        error: What was wrong.
        code: Stable code of the kind of problem.
        hint: What to do about it.
    """

    model_config = ConfigDict(json_schema_extra={"example": _ERROR})

    error: str
    code: str
    hint: str = ""


class SeriesValuesBody(Data):
    """The values of a pair of series.

    Attributes:
        series_id: Its id.
        baseline_values, comparison_values, difference_values: By bin; null where not finite.
        percent_change_values: Likewise; null where it is not defined.
    """

    model_config = ConfigDict(json_schema_extra={"example": _VALUES})

    series_id: str
    baseline_values: list[float | None]
    comparison_values: list[float | None]
    difference_values: list[float | None]
    percent_change_values: list[float | None]


class MetricsBody(Data):
    """Metrics under FlowTime's names.

    Attributes:
        series_metrics: Id of a series → `MAE`, `SMAPE` (a fraction), `Correlation` and
            `PercentChange`.
    """

    model_config = ConfigDict(json_schema_extra={"example": _METRICS})

    series_metrics: dict[str, dict[str, float | str | None]]


class CompareSession(Data):
    """A comparison, computed or not.

    Attributes:
        session_id: Its id, which is that of its job.
        status: Its state.
        baseline, comparison: The sides.
        configuration: How they are compared.
        created, finished: When, UTC.
        progress: Share of the bins that are compared, 0 to 1.
        series: Values of the series, where there are not too many; else empty.
        values_omitted: Whether there are too many values to list them here.
        metrics: Metrics under FlowTime's names.
        result: The comparison as `flowtime-export compare --json` prints it.
        exports: Formats that the result can be downloaded in.
        error: Why it failed.
    """

    model_config = ConfigDict(json_schema_extra={"example": _SESSION})

    session_id: str
    status: SessionStatus
    baseline: ArtifactBody
    comparison: ArtifactBody
    configuration: CompareOptions
    created: datetime
    finished: datetime | None = None
    progress: float = 0.0
    series: dict[str, SeriesValuesBody] = Field(default_factory=dict)
    values_omitted: bool = False
    metrics: MetricsBody | None = None
    result: dict[str, Any] | None = None
    exports: tuple[str, ...] = ()
    error: CompareErrorBody | None = None


class RangeBody(Data):
    """Lowest and highest finite value of each group of bins; null where there is none."""

    model_config = ConfigDict(json_schema_extra={"example": _RANGE})

    lows: list[float | None]
    highs: list[float | None]


class CompareChartBody(Data):
    """A pair of series thinned out for charts.

    Attributes:
        series_id: Its id.
        unit: Unit of the values.
        time_origin: Start of the first compared bin, UTC.
        bin_minutes: Width of a bin.
        bins: Compared bins in all.
        from_bin: First bin of the window.
        to_bin: Bin after the last one of the window.
        bins_per_point: Bins in a group.
        baseline, comparison, difference: The values.
        band: The baseline less and plus the tolerance; none where there is no tolerance.
        bound: The tolerance as a difference; none where there is no tolerance.
        gaps: First bins of groups in which a value is missing, infinite, or NaN on one side alone.
    """

    model_config = ConfigDict(json_schema_extra={"example": _CHART})

    series_id: str
    unit: str | None
    time_origin: datetime
    bin_minutes: int
    bins: int
    from_bin: int
    to_bin: int
    bins_per_point: int
    baseline: RangeBody
    comparison: RangeBody
    difference: RangeBody
    band: RangeBody | None
    bound: list[float | None] | None
    gaps: list[int]


def session_of(job: Job) -> dict[str, Any]:
    """Return the fields of a session that its job has."""
    request = job.request
    assert request.kind == "comparison"
    done, total = job.progress.rows, job.progress.rows_total
    error = job.error
    return {
        "session_id": job.id,
        "status": STATUSES[job.state],
        "baseline": ArtifactBody(artifact_id=request.run, type=request.forms[0]),
        "comparison": ArtifactBody(artifact_id=request.other, type=request.forms[1]),
        "configuration": request.options,
        "created": job.created,
        "finished": job.finished,
        "progress": 1.0 if job.state == "done" else done / total if total else 0.0,
        "error": None
        if error is None
        else CompareErrorBody(error=error.error, code=error.code, hint=error.hint),
    }
