"""Metrics of one pair of series, gathered block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from pipeline.comparison.metrics.differences import differences_of, out_of_tolerance, smape_terms_of
from pipeline.comparison.metrics.exact_sum import ExactSum
from pipeline.comparison.metrics.moments import PairedMoments, SumOfSquares
from pipeline.comparison.metrics.tolerance import Tolerance

_Array = np.ndarray[Any, Any]

PairStatus = Literal["equal", "within", "different"]

_BLOCK = 16_384
"""Bins that are measured at once: their intermediate results stay in the processor's cache, which
takes less than half the time of blocks four times as large."""


@dataclass(frozen=True, slots=True)
class SeriesMetrics:
    """How far two series lie apart; `differences.DEFINITIONS` says what each number means.

    Attributes:
        status: Whether they are equal, equal within the tolerance, or different.
        n: Bins where neither side is NaN.
        nan_both, nan_baseline_only, nan_comparison_only: Bins with NaN.
        out_of_tolerance: Bins whose difference is beyond the tolerance.
        percent_change_undefined: Bins that change from 0 to another value.
        max_abs, mean_difference, mae, rmse, smape: None where n is 0.
        percent_change: Of the totals, in percent; None where it is not defined.
        correlation: Pearson's; None where it is not defined.
    """

    status: PairStatus
    n: int
    nan_both: int
    nan_baseline_only: int
    nan_comparison_only: int
    out_of_tolerance: int
    percent_change_undefined: int
    max_abs: float | None
    mean_difference: float | None
    mae: float | None
    rmse: float | None
    smape: float | None
    percent_change: float | None
    correlation: float | None


@dataclass
class _Total:
    """A sum of doubles of which some may be infinite."""

    finite: ExactSum = field(default_factory=ExactSum)
    positive: int = 0
    negative: int = 0

    def add(self, values: _Array, is_finite: bool) -> None:
        if is_finite:
            self.finite.add(values)
            return
        self.positive += int(np.count_nonzero(values == math.inf))
        self.negative += int(np.count_nonzero(values == -math.inf))
        self.finite.add(values[np.isfinite(values)])

    def merge(self, other: _Total) -> None:
        self.finite.merge(other.finite)
        self.positive += other.positive
        self.negative += other.negative

    @property
    def is_finite(self) -> bool:
        return not self.positive and not self.negative

    def mean(self, count: int) -> float | None:
        """Return the mean; None between infinities of both signs."""
        if self.positive and self.negative:
            return None
        if self.positive or self.negative:
            return math.inf if self.positive else -math.inf
        return self.finite.mean(count)


@dataclass
class MetricsAccumulator:
    """Gathers the metrics of a pair of series from blocks of aligned values.

    Sums are exact and blocks are merged by stable updates: no digit is lost to cancellation,
    however many values there are and however large.
    """

    n: int = 0
    nan_both: int = 0
    nan_baseline_only: int = 0
    nan_comparison_only: int = 0
    unequal: int = 0
    out_of_tolerance: int = 0
    from_zero: int = 0
    max_abs: float = 0.0
    smape: float = 0.0
    _baseline: _Total = field(default_factory=_Total)
    _comparison: _Total = field(default_factory=_Total)
    _difference: _Total = field(default_factory=_Total)
    _absolute: _Total = field(default_factory=_Total)
    _squares: SumOfSquares = field(default_factory=SumOfSquares)
    _moments: PairedMoments = field(default_factory=PairedMoments)

    def add(self, baseline: _Array, comparison: _Array, tolerance: Tolerance) -> None:
        """Take the values of some bins."""
        for first in range(0, len(baseline), _BLOCK):
            block = slice(first, first + _BLOCK)
            self._add(baseline[block], comparison[block], tolerance)

    def _add(self, baseline: _Array, comparison: _Array, tolerance: Tolerance) -> None:
        baseline, comparison = self._without_nan(baseline, comparison)
        if not len(baseline):
            return
        self.n += len(baseline)
        finite = np.isfinite(baseline) & np.isfinite(comparison)
        is_finite = bool(finite.all())
        self._baseline.add(baseline, is_finite)
        self._comparison.add(comparison, is_finite)
        self._add_differences(baseline, comparison, tolerance)
        if is_finite:
            self._moments.add(baseline, comparison)
        else:
            self._moments.add(baseline[finite], comparison[finite])

    def _without_nan(self, baseline: _Array, comparison: _Array) -> tuple[_Array, _Array]:
        nan_baseline, nan_comparison = np.isnan(baseline), np.isnan(comparison)
        either = nan_baseline | nan_comparison
        count = int(np.count_nonzero(either))
        if not count:
            return baseline, comparison
        both = int(np.count_nonzero(nan_baseline & nan_comparison))
        self.nan_both += both
        self.nan_baseline_only += int(np.count_nonzero(nan_baseline)) - both
        self.nan_comparison_only += int(np.count_nonzero(nan_comparison)) - both
        return baseline[~either], comparison[~either]

    def _add_differences(self, baseline: _Array, comparison: _Array, tolerance: Tolerance) -> None:
        difference = differences_of(baseline, comparison)
        unequal = int(np.count_nonzero(difference))
        if not unequal:
            return
        self.unequal += unequal
        beyond = out_of_tolerance(baseline, difference, tolerance)
        self.out_of_tolerance += int(np.count_nonzero(beyond))
        self.from_zero += int(np.count_nonzero((baseline == 0) & (difference != 0)))
        self.smape += float(smape_terms_of(baseline, comparison, difference).sum())
        is_finite = bool(np.isfinite(difference).all())
        self._difference.add(difference, is_finite)
        size = np.abs(difference)
        self.max_abs = max(self.max_abs, float(size.max()))
        self._absolute.add(size, is_finite)
        self._squares.add(size if is_finite else size[np.isfinite(size)])

    def merge(self, other: MetricsAccumulator) -> None:
        """Add what another one has gathered."""
        for name in (
            "n", "nan_both", "nan_baseline_only", "nan_comparison_only", "unequal",
            "out_of_tolerance", "from_zero", "smape",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.max_abs = max(self.max_abs, other.max_abs)
        for total in ("_baseline", "_comparison", "_difference", "_absolute"):
            getattr(self, total).merge(getattr(other, total))
        self._squares.merge(other._squares)
        self._moments.merge(other._moments)

    def result(self) -> SeriesMetrics:
        """Return the metrics of everything that was taken."""
        n = self.n
        return SeriesMetrics(
            status=self._status(),
            n=n,
            nan_both=self.nan_both,
            nan_baseline_only=self.nan_baseline_only,
            nan_comparison_only=self.nan_comparison_only,
            out_of_tolerance=self.out_of_tolerance,
            percent_change_undefined=self.from_zero,
            max_abs=self.max_abs if n else None,
            mean_difference=self._difference.mean(n) if n else None,
            mae=self._absolute.mean(n) if n else None,
            rmse=self._rmse() if n else None,
            smape=self.smape / n if n else None,
            percent_change=self._percent_change() if n else None,
            correlation=self._correlation(),
        )

    def _status(self) -> PairStatus:
        if self.nan_baseline_only or self.nan_comparison_only or self.out_of_tolerance:
            return "different"
        return "within" if self.unequal else "equal"

    def _correlation(self) -> float | None:
        correlation = self._moments.correlation()
        # The quotient of two roots is rounded: equal sides would be correlated by 1 - 1e-16.
        return correlation if correlation is None or self.unequal else 1.0

    def _rmse(self) -> float:
        return self._squares.root_mean(self.n) if self._absolute.is_finite else math.inf

    def _percent_change(self) -> float | None:
        before, after = self._baseline, self._comparison
        if not (before.is_finite and after.is_finite):
            return None
        change = after.finite.minus(before.finite)
        if before.finite.is_zero:
            return 0.0 if change.is_zero else None
        return change.ratio_to(before.finite, 100)
