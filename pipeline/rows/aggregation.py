"""Aggregate time bins: values of a fine grid become those of a coarser one, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np

    _Array = np.ndarray[Any, Any]

Aggregation = Literal["sum", "mean", "last", "first", "min", "max"]
"""How the values of several bins become the value of one."""

AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)

KIND_AGGREGATIONS: Mapping[str, Aggregation] = MappingProxyType(
    {"flow": "sum", "state": "mean", "ratio": "mean", "stock": "last"}
)
"""The aggregation of each kind of series that has a natural one."""


def aggregation_of(
    kind: str | None, chosen: Mapping[str, Aggregation] = MappingProxyType({})
) -> Aggregation | None:
    """Return the aggregation of a kind of series.

    Args:
        kind: Kind of the series, such as `flow`, or None where it is unknown.
        chosen: Aggregation by kind, which comes first; `*` is for all kinds without one.

    >>> aggregation_of("flow"), aggregation_of("time"), aggregation_of("time", {"*": "max"})
    ('sum', None, 'max')
    """
    name = kind or ""
    return chosen.get(name) or KIND_AGGREGATIONS.get(name) or chosen.get("*")


def aggregate(values: _Array, factor: int, aggregation: Aggregation) -> _Array:
    """Return one value for every `factor` bins; a bin without a number (NaN) makes it NaN.

    Args:
        values: One double for each bin of the fine grid.
        factor: Bins that become one; a divisor of the number of values.
        aggregation: How.

    Raises:
        ValueError: The values are no multiple of `factor`.
    """
    import numpy as np  # noqa: PLC0415  # configs are read before it is loaded

    if factor == 1:
        return values
    grouped = values.reshape(-1, factor)
    if aggregation in ("first", "last"):
        chosen: _Array = grouped[:, 0 if aggregation == "first" else -1]
        return np.where(np.isnan(grouped).any(axis=1), np.nan, chosen)
    with np.errstate(invalid="ignore", over="ignore"):
        reduced: _Array = getattr(grouped, aggregation)(axis=1)
    return reduced
