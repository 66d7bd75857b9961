"""Differences between two sides, bin by bin: the definitions that all outputs share."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.comparison.metrics.tolerance import Tolerance

_Array = np.ndarray[Any, Any]

DEFINITIONS = {
    "difference": "comparison - baseline; 0 where both are the same infinity",
    "n": "bins where neither side is NaN",
    "outOfTolerance": "bins of n with |difference| > absolute + relative * max(|baseline|, "
    "nominal), and those where one side alone is infinite",
    "status": "equal: every difference is 0 and NaN meets NaN; within: no bin is out of "
    "tolerance and NaN meets NaN; different: any other",
    "maxAbs": "largest |difference|",
    "meanDifference": "mean of the differences",
    "mae": "mean of |difference|",
    "rmse": "square root of the mean of difference^2",
    "smape": "mean of 2|d|/(|a|+|b|), 0 to 2, 0/0 = 0; 2 where one side alone is infinite",
    "percentChange": "100 * (total of comparison - total of baseline) / total of baseline, over n; "
    "0 from 0 to 0, null from 0 to anything else or where a total is not finite",
    "percentChangeUndefined": "bins of n whose baseline is 0 and whose comparison is not",
    "correlation": "Pearson, over the bins where both sides are finite; null where a side is "
    "constant or n < 2",
    "nonFinite": 'NaN and infinities are the texts "NaN", "inf" and "-inf" in JSON',
}
"""What the numbers of a comparison mean, as its report states it."""


def differences_of(baseline: _Array, comparison: _Array) -> _Array:
    """Return comparison minus baseline; NaN where a side is NaN, 0 between equal infinities."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = comparison - baseline
    same: _Array = np.isinf(baseline) & (baseline == comparison)
    if same.any():
        difference[same] = 0.0
    return difference


def percent_changes_of(baseline: _Array, difference: _Array) -> tuple[_Array, _Array]:
    """Return 100 times difference over baseline, and where that is defined.

    It is 0 where nothing differs, and not defined where a side is NaN, the baseline is 0, or the
    baseline alone is infinite.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        changes = difference / baseline * 100.0
    nothing = difference == 0
    changes[nothing] = 0.0
    defined: _Array = nothing | ((baseline != 0) & np.isfinite(baseline) & ~np.isnan(difference))
    return changes, defined


def smape_terms_of(baseline: _Array, comparison: _Array, difference: _Array) -> _Array:
    """Return 2|d|/(|a|+|b|) of pairs without NaN: 0 to 2, and 0 where nothing differs."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        size = np.abs(baseline) + np.abs(comparison)
        terms: _Array = np.abs(difference) / size * 2.0
    odd = np.flatnonzero(~np.isfinite(size) | (size == 0))
    if len(odd):
        terms[odd] = _odd_terms(baseline[odd], comparison[odd])
    return terms


def _odd_terms(baseline: _Array, comparison: _Array) -> _Array:
    """Return the terms of pairs whose size is 0, infinite or too large for a double."""
    finite = np.isfinite(baseline) & np.isfinite(comparison)
    same = baseline == comparison
    terms = np.where(same, 0.0, 2.0)
    apart = np.flatnonzero(finite & ~same)
    low, high = baseline[apart] / 4, comparison[apart] / 4
    terms[apart] = np.abs(high - low) / (np.abs(low) + np.abs(high)) * 2.0
    return terms


def out_of_tolerance(baseline: _Array, difference: _Array, tolerance: Tolerance) -> _Array:
    """Return which differences are beyond the tolerance; NaN is not looked at.

    An infinity against another value is beyond every tolerance.
    """
    beyond: _Array = np.abs(difference) > tolerance.bounds(baseline)
    return beyond | np.isinf(difference)
