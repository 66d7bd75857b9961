"""Read the values of a stored comparison: thinned out for charts, or all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from pipeline.comparison.metrics.tolerance import Tolerance
from pipeline.comparison.paired_values import PairBlock
from pipeline.comparison.reports.envelopes import Envelope, PairEnvelopes

_VALUES = ("baseline", "comparison", "difference", "percent_change")

SeriesKey = tuple[str | None, str, str]
"""Component, measure and class of a series, as rows have them."""


@dataclass(frozen=True)
class PairChart:
    """A pair of series thinned out.

    Attributes:
        envelopes: What is drawn of it.
        gaps: First bins of groups in which a side is not finite.
    """

    envelopes: PairEnvelopes
    gaps: list[int]


def series_rows(rows: pl.LazyFrame, key: SeriesKey) -> pl.DataFrame:
    """Return the values of one pair of series, by bin.

    Args:
        rows: The differences of a comparison.
        key: Which series.
    """
    component, measure, class_name = key
    found = rows.filter(
        pl.col("component_id").eq_missing(pl.lit(component, dtype=pl.String)),
        pl.col("measure") == measure,
        pl.col("class") == class_name,
    )
    return found.select(_VALUES).collect()


def pair_chart(values: pl.DataFrame, tolerance: Tolerance, points: int) -> PairChart:
    """Thin out the values of a pair of series.

    Args:
        values: As `series_rows` returns them.
        tolerance: How far they may lie apart.
        points: Groups of bins at the most.
    """
    baseline, comparison = (values[name].to_numpy() for name in ("baseline", "comparison"))
    envelopes = PairEnvelopes.empty(len(baseline), points)
    envelopes.add(PairBlock(0, 0, baseline, comparison), tolerance)
    odd = np.flatnonzero(~(np.isfinite(baseline) & np.isfinite(comparison)))
    groups = np.unique(odd // envelopes.bins_per_point) * envelopes.bins_per_point
    return PairChart(envelopes, groups.tolist())


def range_of(envelope: Envelope) -> dict[str, list[float | None]]:
    """Return an envelope as JSON-compatible data."""
    return {"lows": finite(envelope.low.tolist()), "highs": finite(envelope.high.tolist())}


def finite(values: list[float]) -> list[float | None]:
    """Return values with None for what JSON has no number for."""
    return [value if value is not None and math.isfinite(value) else None for value in values]


def all_values(rows: pl.LazyFrame, keys: Mapping[str, SeriesKey]) -> dict[str, dict[str, Any]]:
    """Return all values of a small comparison.

    Args:
        rows: The differences of the comparison.
        keys: Id of each series → its key.
    """
    parts = rows.collect().partition_by(
        "component_id", "measure", "class", as_dict=True, maintain_order=True
    )
    return {
        series: {name: finite(parts[key][name].to_list()) for name in _VALUES}
        for series, key in keys.items()
        if key in parts
    }
