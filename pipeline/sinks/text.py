"""Render values as text, each distinct one once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from connectors.flowtime.scan.arrays import as_arrow, as_column

WHOLE_SECONDS = "%Y-%m-%dT%H:%M:%SZ"
"""How timestamps are written where all of a column are whole seconds."""

MICROSECONDS = "%Y-%m-%dT%H:%M:%S%.6fZ"
"""How timestamps are written where some of a column are not."""

TEXT = pa.large_string()
"""Type of rendered values, whose offsets cannot overflow."""

_MINUTE = 60_000_000
_DAY_MINUTES = 1440
# From 0001-01-01 to 9999-12-31 a date has ten characters.
_FIRST_DAY, _END_DAY = -719_162, 2_932_897
_MINUTES = np.array(
    [f"T{hour:02d}:{minute:02d}:00Z" for hour in range(24) for minute in range(60)], dtype="S10"
)
_OCCURRENCES = 4
"""Texts are looked up where each whole number occurs at least this often on average."""
_MOST_KEPT = 2_000
"""Number of rendered texts kept for a column: hundreds of files may be open."""
_Array = np.ndarray[Any, Any]


def texts_of(rendered: pl.Series, null: str) -> pa.Array:
    """Return rendered values as an Arrow array, with a text in the place of nulls."""
    if rendered.null_count():
        rendered = rendered.fill_null(null)
    return _arrow(rendered)


def arrow_texts(texts: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow array, made by Polars: `pyarrow.array` would import pandas."""
    return _arrow(pl.Series(texts, dtype=pl.String))


def _arrow(texts: pl.Series) -> pa.Array:
    array: pa.Array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    return array


def render_timestamps(
    instants: pl.Series, null: str, quote: str = "", *, has_fractions: bool = False
) -> pa.Array:
    """Render UTC timestamps as `2025-01-01T00:05:00Z`.

    Formatting each instant would take longer than all else that is done to a row. Bins are whole
    minutes, close together: the texts of days and of minutes, which all have the same length, are
    gathered and laid side by side. Other instants are formatted.

    Args:
        instants: The timestamps, in microseconds.
        null: Text of a null.
        quote: Put before and after each timestamp.
        has_fractions: Write all of them with microseconds, `2025-01-01T00:05:00.500000Z`.
    """
    if has_fractions:
        return texts_of(quote + instants.dt.to_string(MICROSECONDS) + quote, null)
    if instants.null_count() == 0 and instants.len():
        minutes, rest = np.divmod(instants.to_numpy().view(np.int64), _MINUTE)
        days = minutes // _DAY_MINUTES
        first, last = int(days.min()), int(days.max())
        close = first >= _FIRST_DAY and last < _END_DAY and last - first <= len(days)
        if close and not rest.any():
            return _fixed_width(days, minutes - days * _DAY_MINUTES, quote.encode("ascii"))
    rendered = quote + instants.dt.to_string(WHOLE_SECONDS) + quote
    return texts_of(rendered, null)


def render_integers(numbers: pl.Series, null: str, quote: str = "") -> pa.Array:
    """Render whole numbers; where few different ones occur, each of them once."""
    low, high = numbers.min(), numbers.max()
    if not isinstance(low, int) or not isinstance(high, int):
        return texts_of(numbers.cast(pl.String), null)
    if numbers.null_count() or (high - low) * _OCCURRENCES > len(numbers):
        return texts_of(_between(quote, numbers), null)
    known = as_column(np.arange(high - low + 1) + low)
    places = as_arrow(numbers.to_numpy() - low)
    return _arrow(_between(quote, known)).take(places)


def _between(quote: str, numbers: pl.Series) -> pl.Series:
    texts = numbers.cast(pl.String)
    return quote + texts + quote if quote else texts


def _fixed_width(days: _Array, minutes: _Array, quote: bytes) -> pa.Array:
    mark = f"S{len(quote)}"
    text = np.dtype([("begin", mark), ("day", "S10"), ("minute", "S10"), ("end", mark)])
    laid = np.empty(len(days), dtype=text)
    laid["begin"] = laid["end"] = quote
    first = int(days.min())
    names = np.arange(first, int(days.max()) + 1).astype("datetime64[D]").astype("S10")
    laid["day"] = names[days - first]
    laid["minute"] = _MINUTES[minutes]
    ends = np.arange(len(days) + 1, dtype=np.int64) * text.itemsize
    content = [None, pa.py_buffer(ends), pa.py_buffer(laid)]
    texts: pa.Array = pa.Array.from_buffers(TEXT, len(days), content)
    return texts


class TextRenderer:
    """Renders a text column, each distinct text once.

    Rows come run by run, so that texts which have not occurred for long need not be kept.

    Args:
        render: Renders a text.
        null: The text of nulls.
    """

    def __init__(self, render: Callable[[str], str], null: str) -> None:
        self._render = render
        self._null = null
        self._rendered: dict[str | None, str] = {None: null}

    def __call__(self, column: pl.Series) -> list[str]:
        """Return the rendered column."""
        texts = column.cast(pl.String).to_list()
        if len(self._rendered) > _MOST_KEPT:
            self._rendered = {None: self._null}
        for text in dict.fromkeys(texts):
            if text is not None and text not in self._rendered:
                self._rendered[text] = self._render(text)
        return [self._rendered[text] for text in texts]
