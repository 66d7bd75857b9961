"""Means and squared deviations of paired values, updated block by block without cancellation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

_PLAIN_EXPONENTS = 300
"""Squares of doubles with binary exponents within this range neither overflow nor vanish."""


def scale_of(values: _Array) -> int:
    """Return the power of two that keeps squares of these finite values in range; mostly 0."""
    largest = float(np.abs(values).max()) if len(values) else 0.0
    exponent = math.frexp(largest)[1]
    return 0 if largest == 0 or abs(exponent) <= _PLAIN_EXPONENTS else exponent


@dataclass
class SumOfSquares:
    """A sum of squares of any size, as `total * 4**scale`."""

    total: float = 0.0
    scale: int = 0

    def add(self, values: _Array) -> None:
        """Add the squares of finite values."""
        scale = scale_of(values)
        scaled = np.ldexp(values, -scale) if scale else values
        self.merge(SumOfSquares(float(np.square(scaled).sum()), scale))

    def merge(self, other: SumOfSquares) -> None:
        """Add another sum."""
        if other.total == 0:
            return
        if self.total == 0:
            self.total, self.scale = other.total, other.scale
            return
        scale = max(self.scale, other.scale)
        mine = math.ldexp(self.total, 2 * (self.scale - scale))
        theirs = math.ldexp(other.total, 2 * (other.scale - scale))
        self.total, self.scale = mine + theirs, scale

    def root_mean(self, count: int) -> float:
        """Return the square root of the mean square."""
        try:
            return math.ldexp(math.sqrt(self.total / count), self.scale)
        except OverflowError:
            return math.inf


@dataclass
class PairedMoments:
    """The moments of finite pairs that Pearson's correlation needs.

    Blocks are merged by the update of Chan, Golub and LeVeque (1979). Each side has a scale, a
    power of two by which its values are divided.
    """

    count: int = 0
    scales: tuple[int, int] = (0, 0)
    means: tuple[float, float] = (0.0, 0.0)
    squares: tuple[float, float] = (0.0, 0.0)
    products: float = 0.0
    lowest: tuple[float, float] = (math.inf, math.inf)
    highest: tuple[float, float] = (-math.inf, -math.inf)

    def add(self, baseline: _Array, comparison: _Array) -> None:
        """Add pairs of finite values."""
        if len(baseline):
            self.merge(_moments_of(baseline, comparison))

    def merge(self, other: PairedMoments) -> None:
        """Add other pairs."""
        if other.count == 0:
            return
        if self.count == 0:
            self.__dict__.update(other.__dict__)
            return
        scales = _larger(self.scales, other.scales)
        ours, theirs = self._scaled(scales), other._scaled(scales)
        count = ours.count + theirs.count
        shift = tuple(b - a for a, b in zip(ours.means, theirs.means, strict=True))
        weight = ours.count * theirs.count / count
        share = theirs.count / count
        self.count, self.scales = count, scales
        self.means = (ours.means[0] + shift[0] * share, ours.means[1] + shift[1] * share)
        self.squares = (
            ours.squares[0] + theirs.squares[0] + shift[0] * shift[0] * weight,
            ours.squares[1] + theirs.squares[1] + shift[1] * shift[1] * weight,
        )
        self.products = ours.products + theirs.products + shift[0] * shift[1] * weight
        self.lowest = (min(ours.lowest[0], theirs.lowest[0]), min(ours.lowest[1], theirs.lowest[1]))
        self.highest = _larger(ours.highest, theirs.highest)

    def _scaled(self, scales: tuple[int, int]) -> PairedMoments:
        if scales == self.scales:
            return self
        down = (self.scales[0] - scales[0], self.scales[1] - scales[1])
        return PairedMoments(
            self.count,
            scales,
            (math.ldexp(self.means[0], down[0]), math.ldexp(self.means[1], down[1])),
            (math.ldexp(self.squares[0], 2 * down[0]), math.ldexp(self.squares[1], 2 * down[1])),
            math.ldexp(self.products, down[0] + down[1]),
            self.lowest,
            self.highest,
        )

    def correlation(self) -> float | None:
        """Return Pearson's correlation; None where a side is constant or there are no two pairs."""
        if self.count < 2 or any(a == b for a, b in zip(self.lowest, self.highest, strict=True)):
            return None
        spread = math.sqrt(self.squares[0]) * math.sqrt(self.squares[1])
        if spread == 0:
            return None
        return max(-1.0, min(1.0, self.products / spread))


def _moments_of(baseline: _Array, comparison: _Array) -> PairedMoments:
    scales = (scale_of(baseline), scale_of(comparison))
    x = np.ldexp(baseline, -scales[0]) if scales[0] else baseline
    y = np.ldexp(comparison, -scales[1]) if scales[1] else comparison
    count = len(x)
    means = (float(x.sum()) / count, float(y.sum()) / count)
    x, y = x - means[0], y - means[1]
    # What rounding of the means has left: the second term of Björck's corrected two-pass formula.
    left = (float(x.sum()), float(y.sum()))
    return PairedMoments(
        count,
        scales,
        (means[0] + left[0] / count, means[1] + left[1] / count),
        (
            float(np.square(x).sum()) - left[0] * left[0] / count,
            float(np.square(y).sum()) - left[1] * left[1] / count,
        ),
        float((x * y).sum()) - left[0] * left[1] / count,
        (float(baseline.min()), float(comparison.min())),
        (float(baseline.max()), float(comparison.max())),
    )


def _larger(one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[Any, Any]:
    return max(one[0], other[0]), max(one[1], other[1])
