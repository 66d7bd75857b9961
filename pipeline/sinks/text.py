"""Render values as text, each distinct one once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
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
_DAY = 1440 * _MINUTE
# From 0001-01-01 to 9999-12-31 a date has ten characters.
_FIRST_DAY, _END_DAY = -719_162, 2_932_897
_MINUTES = np.array(
    [f"T{hour:02d}:{minute:02d}:00Z" for hour in range(24) for minute in range(60)], dtype="S10"
)
_TOGETHER = 1024
"""Consecutive bins or whole numbers whose texts are kept as a block, of 15 to 50 KB."""
_BLOCKS_KEPT = 560
"""Blocks kept of each: a year by the minute is rendered once, however many series have it."""
_MOST_UNUSED = 4
"""Texts are looked up in blocks where at least one in so many is used."""
_SAMPLE = 64
"""Instants that show how far apart bins are; consecutive ones, as others may be a multiple."""
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
    instants: pl.Series,
    null: str,
    quote: str = "",
    before: str = "",
    *,
    has_fractions: bool = False,
) -> pa.Array:
    """Render UTC timestamps as `2025-01-01T00:05:00Z`.

    Formatting each instant would take longer than all else that is done to a row. Bins are whole
    minutes, one step apart, and the same in many series: their texts are kept in blocks, and looked
    up. Where bins are far apart, the texts of days and of minutes, which all have the same length,
    are laid side by side. Other instants are formatted.

    Args:
        instants: The timestamps, in microseconds.
        null: Text of a null.
        quote: Put before and after each timestamp.
        before: Put before each quoted timestamp and before each null.
        has_fractions: Write all of them with microseconds, `2025-01-01T00:05:00.500000Z`.
    """
    if not has_fractions and instants.null_count() == 0 and instants.len():
        texts = _texts_of_bins(instants.to_numpy().view(np.int64), before + quote, quote)
        if texts is not None:
            return texts
    rendered = instants.dt.to_string(MICROSECONDS if has_fractions else WHOLE_SECONDS)
    return texts_of((before + quote) + rendered + quote, before + null)


def render_integers(numbers: pl.Series, null: str, quote: str = "", before: str = "") -> pa.Array:
    """Render whole numbers; where few different ones occur, each of them once.

    Args:
        numbers: The numbers.
        null: Text of a null.
        quote: Put before and after each number.
        before: Put before each quoted number and before each null.
    """
    if numbers.null_count() == 0 and numbers.len():
        plain = numbers.to_numpy()
        blocks = _blocks(plain)
        if blocks is not None:
            texts = [_numbers_of(block, before + quote, quote) for block in blocks]
            return _looked_up(texts, plain - blocks[0] * _TOGETHER)
    return texts_of(_between(before + quote, numbers.cast(pl.String), quote), before + null)


def _texts_of_bins(instants: _Array, opening: str, closing: str) -> pa.Array | None:
    """Return whole minutes of years with four digits as text; None for other instants."""
    step = _step(instants)
    places, rest = np.divmod(instants, step)
    if rest.any():
        step = _MINUTE
        places, rest = np.divmod(instants, step)
        if rest.any():
            return None
    blocks = _blocks(places)
    if blocks is not None and _has_four_digits(blocks[0], blocks[-1] + 1, _TOGETHER * step):
        texts = [_bins_of(block, step, opening, closing) for block in blocks]
        return _looked_up(texts, places - blocks[0] * _TOGETHER)
    first, last = int(places.min()), int(places.max())
    is_close = (last - first) * step <= len(places) * _DAY
    if is_close and _has_four_digits(first, last, step):
        return _fixed_width(places * (step // _MINUTE), opening, closing)
    return None


def _step(instants: _Array) -> int:
    """Return a step in microseconds, of whole minutes and up to a day, that bins may be apart."""
    step = math.gcd(int(np.gcd.reduce(instants[:_SAMPLE])), _DAY)
    return _MINUTE if step % _MINUTE else step


def _has_four_digits(first: int, last: int, step: int) -> bool:
    """Return whether all multiples of a step are in years of four digits."""
    return first * step >= _FIRST_DAY * _DAY and last * step < _END_DAY * _DAY


def _blocks(places: _Array) -> range | None:
    """Return the blocks that hold some places; None where few of their texts would be used."""
    first, last = int(places.min()) // _TOGETHER, int(places.max()) // _TOGETHER
    is_dense = (last - first) * _TOGETHER <= len(places) * _MOST_UNUSED
    return range(first, last + 1) if is_dense else None


def _looked_up(blocks: Sequence[pa.Array], places: _Array) -> pa.Array:
    """Return the texts at some places of blocks that follow each other."""
    texts = blocks[0] if len(blocks) == 1 else pa.concat_arrays(blocks)
    first = int(places[0])
    if int(places[-1]) - first == len(places) - 1 and bool((places[1:] > places[:-1]).all()):
        return texts.slice(first, len(places))
    return texts.take(as_arrow(places))


@lru_cache(_BLOCKS_KEPT)
def _bins_of(block: int, step: int, opening: str, closing: str) -> pa.Array:
    """Return the texts of consecutive multiples of a step, in microseconds."""
    return _fixed_width(_members(block) * (step // _MINUTE), opening, closing)


@lru_cache(_BLOCKS_KEPT)
def _numbers_of(block: int, opening: str, closing: str) -> pa.Array:
    """Return the texts of consecutive whole numbers."""
    return _arrow(_between(opening, as_column(_members(block)).cast(pl.String), closing))


def _members(block: int) -> _Array:
    return np.arange(_TOGETHER) + block * _TOGETHER


def _between(opening: str, texts: pl.Series, closing: str) -> pl.Series:
    return opening + texts + closing if opening or closing else texts


def _fixed_width(minutes: _Array, opening: str, closing: str) -> pa.Array:
    """Return minutes since 1970 as text, laid out from the texts of days and of times."""
    days, times = np.divmod(minutes, len(_MINUTES))
    begin, end = opening.encode(), closing.encode()
    text = np.dtype(
        [("begin", f"S{len(begin)}"), ("day", "S10"), ("minute", "S10"), ("end", f"S{len(end)}")]
    )
    laid = np.empty(len(days), dtype=text)
    laid["begin"], laid["end"] = begin, end
    first = int(days.min())
    names = np.arange(first, int(days.max()) + 1).astype("datetime64[D]").astype("S10")
    laid["day"] = names[days - first]
    laid["minute"] = _MINUTES[times]
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
