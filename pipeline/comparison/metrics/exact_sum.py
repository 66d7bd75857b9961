"""Sum doubles without rounding, whatever their order and size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]

_BLOCK = 16_384
"""Values that are summed at once, so that they stay in the processor's cache."""

_SMALLEST_EXPONENT = -1074
"""Every double is a multiple of two to this power."""

_LARGEST_EXPONENT = 1023
_MANTISSA_BITS = 53


class ExactSum:
    """Adds finite doubles exactly.

    The sum is kept as a whole number of the smallest double, so that neither the order of the
    values nor how they are divided into blocks changes any digit, and nothing can overflow.
    """

    __slots__ = ("_units",)

    def __init__(self) -> None:
        self._units = 0

    def add(self, values: _Array) -> None:
        """Add finite values."""
        for start in range(0, len(values), _BLOCK):
            for part in _exact_parts(values[start : start + _BLOCK]):
                self._units += _units_of(part)

    def merge(self, other: ExactSum) -> None:
        """Add another sum."""
        self._units += other._units

    @property
    def is_zero(self) -> bool:
        """Whether the sum is exactly 0."""
        return self._units == 0

    @property
    def value(self) -> float:
        """The sum, rounded once; infinite beyond the largest double."""
        return self.mean(1)

    def mean(self, count: int) -> float:
        """Return the sum divided by a count, rounded once."""
        return _divided(self._units, count << -_SMALLEST_EXPONENT)

    def ratio_to(self, other: ExactSum, factor: int = 1) -> float:
        """Return `factor` times this sum over another one that is not 0, rounded once."""
        sign = -1 if other._units < 0 else 1
        return _divided(sign * factor * self._units, abs(other._units))

    def minus(self, other: ExactSum) -> ExactSum:
        """Return the difference of two sums."""
        difference = ExactSum()
        difference._units = self._units - other._units
        return difference


def _divided(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


def _units_of(value: float) -> int:
    mantissa, exponent = math.frexp(value)
    shift = exponent - _MANTISSA_BITS - _SMALLEST_EXPONENT
    whole = int(math.ldexp(mantissa, _MANTISSA_BITS))
    return whole << shift if shift >= 0 else whole >> -shift  # what is shifted out is 0


def _exact_parts(values: _Array) -> Iterator[float]:
    """Split values into a few numbers of the same exact sum.

    This is the error-free extraction of Rump, Ogita and Oishi (2008): high bits of all values are
    cut off at one power of two, below which their sum has room for no rounding error.
    """
    rest = values
    room = (len(values) + 2).bit_length()
    while rest.size:
        largest = max(float(rest.max()), -float(rest.min()))
        if largest == 0:
            return
        exponent = math.frexp(largest)[1] + room
        if exponent > _LARGEST_EXPONENT:
            yield from rest.tolist()
            return
        cut = math.ldexp(1.0, exponent)
        high = (rest + cut) - cut
        yield float(high.sum())
        rest = rest - high
        if not rest.any():
            return
