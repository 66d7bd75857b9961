"""Thin series out for charts: the lowest and highest value of each group of bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.comparison.matching import MatchedSides
from pipeline.comparison.metrics.differences import differences_of
from pipeline.comparison.metrics.tolerance import Tolerance
from pipeline.comparison.paired_values import PairBlock

_Array = np.ndarray[Any, Any]


@dataclass
class Envelope:
    """Lowest and highest finite value of each group of bins; NaN where there is none.

    Attributes:
        low, high: One value for each group: a point of the chart.
    """

    low: _Array
    high: _Array

    @classmethod
    def empty(cls, size: int) -> Envelope:
        """Return an envelope without values."""
        return cls(np.full(size, np.nan), np.full(size, np.nan))

    def add(self, points: _Array, values: _Array) -> None:
        """Take values, each with the point that its bin is in; points ascend."""
        finite = np.where(np.isfinite(values), values, np.nan)
        starts = np.flatnonzero(np.diff(points, prepend=-1))
        places = points[starts]
        self.low[places] = np.fmin(self.low[places], np.fmin.reduceat(finite, starts))
        self.high[places] = np.fmax(self.high[places], np.fmax.reduceat(finite, starts))


@dataclass
class PairEnvelopes:
    """What is drawn of a pair of series.

    Attributes:
        bins: Compared bins.
        bins_per_point: Bins of a point; the last may have fewer.
        baseline, comparison, difference: Their values.
        band: The baseline's values less and plus the tolerance.
        bound: The tolerance itself, as a difference.
    """

    bins: int
    bins_per_point: int
    baseline: Envelope
    comparison: Envelope
    difference: Envelope
    band: Envelope
    bound: Envelope
    has_tolerance: bool = False

    @classmethod
    def empty(cls, bins: int, most: int) -> PairEnvelopes:
        """Return envelopes without values, of at most so many points."""
        bins_per_point = -(-bins // most)
        count = -(-bins // bins_per_point)
        return cls(
            bins,
            bins_per_point,
            baseline=Envelope.empty(count),
            comparison=Envelope.empty(count),
            difference=Envelope.empty(count),
            band=Envelope.empty(count),
            bound=Envelope.empty(count),
        )

    def add(self, block: PairBlock, tolerance: Tolerance) -> None:
        """Take a block of values."""
        bins = block.first_bin + np.arange(len(block.baseline))
        points = bins // self.bins_per_point
        bounds = tolerance.bounds(block.baseline)
        self.baseline.add(points, block.baseline)
        self.comparison.add(points, block.comparison)
        self.difference.add(points, differences_of(block.baseline, block.comparison))
        if bounds.any():
            self.has_tolerance = True
            self.band.add(points, block.baseline - bounds)
            self.band.add(points, block.baseline + bounds)
            self.bound.add(points, bounds)


def envelopes_of(
    sides: MatchedSides, places: Sequence[int], tolerances: Sequence[Tolerance], most: int
) -> list[PairEnvelopes]:
    """Read pairs of series and thin them out.

    Args:
        sides: The open sides.
        places: Places of the pairs, ascending.
        tolerances: The tolerance of each of these pairs.
        most: Points of each at the most.

    Raises:
        IntegrityError: The values of a side are not as they should be.
        StorageError: A side could not be read.
    """
    found = [PairEnvelopes.empty(sides.alignment.bins, most) for _ in places]
    if places:
        with sides.blocks(places) as blocks:
            for block in blocks:
                found[block.place].add(block, tolerances[block.place])
    return found
