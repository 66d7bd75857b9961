"""Values as text, each distinct one rendered once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
"""ISO 8601 to the second: bins are whole minutes, so nothing is cut off."""

TEXT = pa.large_string()
"""Type of rendered values: its offsets cannot overflow."""

_SECOND = 1_000_000
_DAY_MINUTES = 1440
# From 0001-01-01 to 9999-12-31 a date has ten characters.
_FIRST_DAY, _END_DAY = -719_162, 2_932_897
_MINUTES = np.array(
    [f"T{hour:02d}:{minute:02d}:" for hour in range(24) for minute in range(60)], dtype="S7"
)
_SECONDS = np.array([f"{second:02d}Z" for second in range(60)], dtype="S3")
_Array = np.ndarray[Any, Any]


def texts_of(rendered: pl.Series, null: str) -> pa.Array:
    """Rendered values as an Arrow array, with a text in the place of nulls."""
    if rendered.null_count():
        rendered = rendered.fill_null(null)
    texts: pa.Array = rendered.to_arrow(compat_level=pl.CompatLevel.oldest())
    return texts


def render_timestamps(instants: pl.Series, null: str, quote: str = "") -> pa.Array:
    """UTC timestamps as `2025-01-01T00:05:00Z`, between quotes where asked for.

    Formatting each instant would take longer than all else that is done to a row: the texts of
    days, minutes and seconds are gathered and laid side by side, as all have the same length.
    """
    if instants.null_count() == 0 and instants.len():
        seconds = instants.to_physical().to_numpy() // _SECOND
        days = seconds // (_DAY_MINUTES * 60)
        if days.min() >= _FIRST_DAY and days.max() < _END_DAY:
            return _fixed_width(seconds, days, quote.encode("ascii"))
    rendered = quote + instants.dt.to_string(TIMESTAMP_FORMAT) + quote
    return texts_of(rendered, null)


def _fixed_width(seconds: _Array, days: _Array, quote: bytes) -> pa.Array:
    mark = f"S{len(quote)}"
    text = np.dtype(
        [("begin", mark), ("day", "S10"), ("minute", "S7"), ("second", "S3"), ("end", mark)]
    )
    laid = np.empty(len(seconds), dtype=text)
    laid["begin"] = laid["end"] = quote
    first = int(days.min())
    names = np.arange(first, int(days.max()) + 1).astype("datetime64[D]").astype("S10")
    laid["day"] = names[days - first]
    minutes = seconds // 60
    laid["minute"] = _MINUTES[minutes - days * _DAY_MINUTES]
    laid["second"] = _SECONDS[seconds - minutes * 60]
    ends = np.arange(len(seconds) + 1, dtype=np.int64) * text.itemsize
    content = [None, pa.py_buffer(ends), pa.py_buffer(laid)]
    texts: pa.Array = pa.Array.from_buffers(TEXT, len(seconds), content)
    return texts


class TextRenderer:
    """Renders a text column through its distinct values.

    The categories of an Enum column are the same for every batch of a run, so that the rendered
    categories are kept and only gathered.

    Args:
        render: Renders texts; nulls stay null.
        null: What stands in the place of nulls.
    """

    def __init__(self, render: Callable[[pl.Series], pl.Series], null: str) -> None:
        self._render = render
        self._null = null
        self._dtype: pl.DataType | None = None
        self._rendered = pl.Series([], dtype=pl.String)

    def __call__(self, column: pl.Series) -> pa.Array:
        """The rendered column."""
        if not isinstance(column.dtype, pl.Enum):
            return texts_of(self._render(column.cast(pl.String)), self._null)
        if column.dtype != self._dtype:
            self._dtype = column.dtype
            self._rendered = self._render(column.dtype.categories)
        return texts_of(self._rendered.gather(column.to_physical()), self._null)
