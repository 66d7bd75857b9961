"""The result of a comparison: metrics per series and in total, differences and reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl
from pydantic.alias_generators import to_camel

from pipeline.comparison.alignment import Alignment
from pipeline.comparison.metrics.differences import DEFINITIONS
from pipeline.comparison.metrics.series_metrics import PairStatus, SeriesMetrics
from pipeline.comparison.metrics.tolerance import Tolerance, Tolerances
from pipeline.comparison.model_differences import ModelComparison
from pipeline.comparison.pairing import SeriesPair
from pipeline.comparison.sides.side import Side
from pipeline.config import registry_block
from pipeline.registry.session import RegistrySession
from pipeline.rows.aggregation import Aggregation

FailOn = Literal["different", "missing", "any"]
"""What makes a comparison fail: series that differ, series without a counterpart, or either."""

STATUSES: tuple[PairStatus, ...] = ("equal", "within", "different")
_SEVERITY = {status: place for place, status in enumerate(STATUSES)}

METRIC_TYPES: Mapping[str, pl.DataType] = {
    "status": pl.String(),
    "n": pl.Int64(),
    "nan_both": pl.Int64(),
    "nan_baseline_only": pl.Int64(),
    "nan_comparison_only": pl.Int64(),
    "out_of_tolerance": pl.Int64(),
    "percent_change_undefined": pl.Int64(),
    "max_abs": pl.Float64(),
    "mean_difference": pl.Float64(),
    "mae": pl.Float64(),
    "rmse": pl.Float64(),
    "smape": pl.Float64(),
    "percent_change": pl.Float64(),
    "correlation": pl.Float64(),
}
"""The columns of metrics, in the order of `SeriesMetrics`."""


@dataclass(frozen=True, slots=True)
class SeriesComparison:
    """A pair of series and how far they lie apart.

    Attributes:
        pair: The series.
        tolerance: How far they may lie apart.
        aggregation: How bins of the finer grid became one; None where grids are equal.
        metrics: How far they lie apart.
    """

    pair: SeriesPair
    tolerance: Tolerance
    aggregation: Aggregation | None
    metrics: SeriesMetrics

    @property
    def badness(self) -> tuple[float, ...]:
        """What series are sorted by, the worst having the largest."""
        found = self.metrics
        one_sided = found.nan_baseline_only + found.nan_comparison_only
        return (
            _SEVERITY[found.status],
            found.out_of_tolerance + one_sided,
            found.smape or 0.0,
            found.max_abs or 0.0,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the comparison of the series as JSON-compatible data."""
        pair = self.pair
        renamed = (
            {} if pair.comparison.id == pair.series_id else {"comparisonId": pair.comparison.id}
        )
        aggregation = {} if self.aggregation is None else {"aggregation": self.aggregation}
        return {
            "seriesId": pair.series_id,
            **renamed,
            "componentId": pair.baseline.component,
            "measure": pair.baseline.measure,
            "class": pair.baseline.class_name,
            "unit": pair.unit,
            "kind": pair.kind,
            **metrics_as_json(self.metrics),
            "tolerance": self.tolerance.as_json(),
            **aggregation,
        }


@dataclass(frozen=True)
class Comparison:
    """Two sides compared.

    Attributes:
        baseline, comparison: The sides.
        alignment: How their grids were laid over each other.
        tolerances: How far series may lie apart.
        series: The pairs of series, in the order of the baseline's.
        only_in_baseline, only_in_comparison: Ids of series without a counterpart.
        total: Metrics over all bins of all pairs.
        models: In what the models differ.
        notes: What a reader should know.
    """

    baseline: Side
    comparison: Side
    alignment: Alignment
    tolerances: Tolerances
    series: tuple[SeriesComparison, ...]
    only_in_baseline: tuple[str, ...]
    only_in_comparison: tuple[str, ...]
    total: SeriesMetrics
    models: ModelComparison
    notes: tuple[str, ...]
    _rows: Callable[[Sequence[str] | None], pl.LazyFrame]
    _html: Callable[[Comparison, str], None]
    _write: Callable[[Comparison, Sequence[str], RegistrySession | None], tuple[str, ...]]

    def __repr__(self) -> str:
        return f"Comparison({self.headline()!r})"

    @property
    def metrics(self) -> pl.DataFrame:
        """A row for each pair of series, with its metrics as columns."""
        return metrics_frame(self.series)

    def differences(self, series: Sequence[str] | None = None) -> pl.LazyFrame:
        """Return the compared values as rows; nothing is read before they are collected.

        The columns are `time_bin, component_id, measure, class, baseline, comparison, difference,
        percent_change`; a bin is there whether its values differ or not.

        Args:
            series: Ids of the series to return; default all.

        Raises:
            IntegrityError, StorageError: When collected, as by `compare`.
        """
        return self._rows(series)

    def to_html(self, path: str) -> None:
        """Write a report that a browser shows without a network, and a descriptor beside it.

        Args:
            path: A file, or any URL that can be written.

        Raises:
            IntegrityError, StorageError: The values could not be read again.
            SinkError: The report could not be written.
        """
        self._html(self, str(path))

    def write(self, *paths: str, registry: str | None = None) -> tuple[str, ...]:
        """Write the compared values as tables with a descriptor, and reports.

        Args:
            paths: Files, or any URLs that can be written, each ending in `.csv`, `.ndjson`,
                `.parquet` or `.html`.
            registry: URL of a registry that the comparison is entered in, by its tables or its
                report, with its sides.

        Returns:
            Notes: why the registry is not up to date, where it failed.

        Raises:
            ConfigError: An ending names no format, a path lies in what is compared, or the URL of
                the registry is none.
            IntegrityError, StorageError: The values could not be read again, or a store failed.
            SinkError: A file could not be written.
        """
        session = None if registry is None else RegistrySession.of(registry_block(registry))
        return self._write(self, [str(path) for path in paths], session)

    @property
    def summary(self) -> dict[PairStatus, int]:
        """How many series are equal, within their tolerance, and different."""
        return {
            status: sum(one.metrics.status == status for one in self.series) for status in STATUSES
        }

    @property
    def worst_first(self) -> list[SeriesComparison]:
        """The series, those that lie furthest apart first."""
        return sorted(self.series, key=lambda one: one.badness, reverse=True)

    def fails(self, fail_on: FailOn | None) -> bool:
        """Return whether there is what the caller wants to fail on."""
        is_different = self.summary["different"] > 0
        is_missing = bool(self.only_in_baseline or self.only_in_comparison)
        return (is_different and fail_on in ("different", "any")) or (
            is_missing and fail_on in ("missing", "any")
        )

    def headline(self) -> str:
        """Return the result in one line."""
        counts = self.summary
        parts = [f"{counts[status]:,} {status}" for status in STATUSES]
        missing = len(self.only_in_baseline) + len(self.only_in_comparison)
        parts += [f"{missing:,} on one side only"] if missing else []
        return f"{self.baseline.label} and {self.comparison.label}: {', '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON-compatible data."""
        return {
            "baseline": self.baseline.as_json(),
            "comparison": self.comparison.as_json(),
            "definitions": dict(DEFINITIONS),
            "alignment": self.alignment.as_json(),
            "tolerance": self.tolerances.as_json(),
            "series": [one.as_json() for one in self.series],
            "onlyInBaseline": list(self.only_in_baseline),
            "onlyInComparison": list(self.only_in_comparison),
            "summary": dict(self.summary),
            "total": metrics_as_json(self.total),
            "modelDifferences": [one.as_json() for one in self.models.differences],
            "notes": [*self.notes, *self.models.notes],
        }


def metrics_as_json(metrics: SeriesMetrics) -> dict[str, Any]:
    """Return metrics as JSON-compatible data; what JSON has no number for is text."""
    return {to_camel(name): _json_number(value) for name, value in asdict(metrics).items()}


def _json_number(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def metrics_frame(series: Iterable[SeriesComparison]) -> pl.DataFrame:
    """Return a row for each pair of series, with its metrics as columns."""
    listed = list(series)
    names: dict[str, list[str | None]] = {
        "series_id": [one.pair.series_id for one in listed],
        "component_id": [one.pair.baseline.component for one in listed],
        "measure": [one.pair.baseline.measure for one in listed],
        "class": [one.pair.baseline.class_name for one in listed],
        "unit": [one.pair.unit for one in listed],
        "kind": [one.pair.kind for one in listed],
    }
    columns = [pl.Series(name, texts, dtype=pl.String) for name, texts in names.items()]
    columns += [
        pl.Series(name, [getattr(one.metrics, name) for one in listed], dtype=kind)
        for name, kind in METRIC_TYPES.items()
    ]
    return pl.DataFrame(columns)


def table_lines(series: Sequence[SeriesComparison], most: int) -> Iterator[str]:
    """Yield a table for the terminal.

    Args:
        series: The series in the order in which they are shown.
        most: How many at the most.
    """
    shown = series[:most]
    width = max([6, *(len(one.pair.series_id) for one in shown)])
    yield (
        f"  {'series':<{width}}  {'status':<9}  {'bins':>9}  {'out':>9}  {'max |d|':>10}  "
        f"{'mae':>10}  {'rmse':>10}  {'smape':>8}  {'change':>9}  {'corr':>7}"
    )
    for one in shown:
        found = one.metrics
        one_sided = found.nan_baseline_only + found.nan_comparison_only
        change = "" if found.percent_change is None else f"{found.percent_change:+.3g}%"
        yield (
            f"  {one.pair.series_id:<{width}}  {found.status:<9}  {found.n:>9,}  "
            f"{found.out_of_tolerance + one_sided:>9,}  {_short(found.max_abs):>10}  "
            f"{_short(found.mae):>10}  {_short(found.rmse):>10}  {_short(found.smape):>8}  "
            f"{change:>9}  {_short(found.correlation):>7}"
        )
    if len(series) > most:
        yield f"  ... {len(series) - most:,} more (all of them with --json)"


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"
