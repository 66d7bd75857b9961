"""Define comparisons of runs as data: what is compared, how, and the result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.comparison.alignment import AlignmentMethod
from pipeline.comparison.metrics.series_metrics import PairStatus
from pipeline.rows.aggregation import Aggregation
from pipeline.service.api_base import Data
from pipeline.service.jobs.job_request import JobRequest, JobTarget, StorageOrder

SideType = Literal["run", "export"]
"""What a side of a comparison of the service is."""

_Name = Annotated[str, Field(min_length=1, max_length=512)]
_Bound = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
_TOLERANCE: dict[str, Any] = {"absolute": 0.0, "relative": 1e-6, "nominal": 1.0}
OPTIONS_EXAMPLE: dict[str, Any] = {"alignment": "auto", "tolerance": _TOLERANCE}
_RESULT: dict[str, Any] = {
    "series": 6,
    "bins": 288,
    "counts": {"equal": 5, "within": 0, "different": 1},
    "missing": 0,
}
_REQUEST: dict[str, Any] = {
    "kind": "comparison",
    "run": "run_checkout_hourly",
    "other": "run_checkout_daily",
    "path": "run_checkout_hourly",
    "otherPath": "run_checkout_daily",
    "versions": ["sha256:9f86d081", "sha256:60303ae2"],
    "options": OPTIONS_EXAMPLE,
}


class ToleranceBody(Data):
    """How far two values may lie apart: absolute + relative * max(|baseline|, nominal).

    Attributes:
        absolute: In the unit of the series.
        relative: As a fraction of the baseline's value.
        nominal: A usual size of the values, so that `relative` allows for something near 0.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _TOLERANCE})

    absolute: _Bound = 0.0
    relative: _Bound = 0.0
    nominal: _Bound = 0.0


class CompareOptions(Data):
    """How two runs are compared.

    Attributes:
        alignment: How their time grids are laid over each other.
        metrics: Metrics that the caller is interested in; all of them are computed.
        tolerance: How far values may lie apart.
        measure_tolerances: The same for the series of single measures, by glob.
        aggregation: How bins of a finer grid become one, by kind of series; `*` for all others.
        renamed: Component or series id of the baseline, and its name in the comparison.
        export_results: Whether the differences are written in every format, and a report.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": OPTIONS_EXAMPLE})

    alignment: AlignmentMethod = "auto"
    metrics: Annotated[tuple[_Name, ...], Field(max_length=50)] = ()
    tolerance: ToleranceBody = ToleranceBody()
    measure_tolerances: Annotated[dict[_Name, ToleranceBody], Field(max_length=100)] = Field(
        default_factory=dict
    )
    aggregation: Annotated[dict[_Name, Aggregation], Field(max_length=50)] = Field(
        default_factory=dict
    )
    renamed: Annotated[dict[_Name, _Name], Field(max_length=1000)] = Field(default_factory=dict)
    export_results: bool = True

    def tolerances(self) -> Mapping[str, Any]:
        """Return the tolerances as plain data, as a config has them."""
        measures = {name: one.model_dump() for name, one in self.measure_tolerances.items()}
        return {**self.tolerance.model_dump(), "measures": measures}


class CompareResult(Data):
    """What a comparison found, in short.

    Attributes:
        series: Pairs of series.
        bins: Compared bins of each.
        counts: How many pairs are equal, within their tolerance, and different.
        missing: Series without a counterpart.
    """

    model_config = ConfigDict(json_schema_extra={"example": _RESULT})

    series: int
    bins: int
    counts: dict[PairStatus, int]
    missing: int


class CompareRequest(JobRequest):
    """What a comparison job does.

    Attributes:
        kind: Kind of the job.
        run: Key of the baseline in the catalog; of an export, its id in the registry.
        other: Key or id of what is compared with it.
        path, other_path: Their directories, relative to the folder of the runs; of exports, ids.
        forms: What both are.
        versions: Fingerprints of both.
        options: How they are compared.
    """

    model_config = ConfigDict(json_schema_extra={"example": _REQUEST})

    kind: Literal["comparison"] = "comparison"
    run: str
    other: str
    path: str
    other_path: str
    forms: tuple[SideType, SideType] = ("run", "run")
    versions: tuple[str, str]
    options: CompareOptions

    @property
    def digest(self) -> str:
        """Digest of all that shapes the result."""
        text = self.model_dump_json(exclude={"run", "other"})
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def subject(self) -> str:
        """Key of the baseline."""
        return self.run

    @property
    def target(self) -> JobTarget:
        """What only one job may write at a time: nothing but the result of this comparison."""
        return "comparison", self.digest

    def is_same_work(self, other: JobRequest) -> bool:
        """Return whether one job can serve both requests."""
        return isinstance(other, CompareRequest) and other.digest == self.digest


class CompareSideOrder(BaseModel):
    """A run directory or an export that a worker process reads.

    Attributes:
        url: Where it is.
        shown_as: What reports call it.
    """

    model_config = ConfigDict(frozen=True)

    url: str
    shown_as: str


class CompareOrder(StorageOrder):
    """What a worker process compares.

    Attributes:
        kind: Distinguishes orders.
        request: What the job does.
        baseline, comparison: The sides.
        folder: Local folder for the result; made when all of it is written.
    """

    kind: Literal["comparison"] = "comparison"
    request: CompareRequest
    baseline: CompareSideOrder
    comparison: CompareSideOrder
    folder: str
