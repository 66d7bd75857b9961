"""Values as text, each distinct one rendered once."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
"""ISO 8601 to the second: bins are whole minutes, so nothing is cut off."""

_WORTH_A_LOOKUP = 4


def render_timestamps(column: pl.Series) -> pl.Series:
    """UTC timestamps as `2025-01-01T00:05:00Z`.

    Formatting costs far more than a look-up, and a grid repeats its bins for every series: the
    distinct instants of the batch are rendered and gathered.
    """
    if column.n_unique() * _WORTH_A_LOOKUP > column.len():
        return column.dt.to_string(TIMESTAMP_FORMAT)
    distinct = column.unique()
    return column.replace_strict(
        distinct, distinct.dt.to_string(TIMESTAMP_FORMAT), return_dtype=pl.String
    )


class TextRenderer:
    """Renders a text column through its distinct values.

    The categories of an Enum column are the same for every batch of a run, so that the rendered
    categories are kept and only gathered.
    """

    def __init__(self, render: Callable[[pl.Series], pl.Series]) -> None:
        self._render = render
        self._dtype: pl.DataType | None = None
        self._rendered = pl.Series([], dtype=pl.String)

    def __call__(self, column: pl.Series) -> pl.Series:
        """The rendered column as String; nulls stay null."""
        if not isinstance(column.dtype, pl.Enum):
            return self._render(column.cast(pl.String)).alias(column.name)
        if column.dtype != self._dtype:
            self._dtype = column.dtype
            self._rendered = self._render(column.dtype.categories)
        return self._rendered.gather(column.to_physical()).alias(column.name)
