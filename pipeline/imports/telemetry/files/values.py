"""Parse the values of a foreign table as doubles."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.imports.telemetry.files.rows import Array

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NAMED = {
    "nan": math.nan,
    "1.#qnan": math.nan,
    "1.#ind": math.nan,
    "inf": math.inf,
    "infinity": math.inf,
    "1.#inf": math.inf,
}
_ABSENT = frozenset({"", "na", "n/a", "<na>", "null", "none"})


@dataclass(frozen=True, slots=True)
class Values:
    """Values of a batch.

    Attributes:
        numbers: The doubles; NaN where there is none.
        wrong: Positions of what is no number.
        too_large: Positions of numbers that no double holds.
        absent: Number of rows without a value.
    """

    numbers: Array
    wrong: tuple[int, ...]
    too_large: tuple[int, ...]
    absent: int


def values(column: pl.Series) -> Values:
    """Return the doubles of a column of text or numbers."""
    kind = column.dtype
    if kind == pl.String:
        return _texts(column)
    if kind.is_decimal():
        return _texts(column.cast(pl.String))  # by its digits: a division could be off by one
    if kind.is_float() or kind.is_integer():
        absent = column.null_count()
        numbers = column.cast(pl.Float64).fill_null(math.nan).to_numpy()
        return Values(numbers, (), (), absent)
    if kind == pl.Null:
        return Values(np.full(len(column), math.nan), (), (), len(column))
    return Values(np.full(len(column), math.nan), tuple(range(len(column))), (), 0)


def _texts(column: pl.Series) -> Values:
    cast = column.cast(pl.Float64, strict=False)
    numbers = cast.fill_null(math.nan).to_numpy()
    doubtful = np.flatnonzero(~np.isfinite(numbers))
    if not len(doubtful):
        return Values(numbers, (), (), 0)
    numbers = numbers.copy()
    wrong, too_large, absent = [], [], 0
    known: dict[str, float | None] = {}
    for at, text in zip(doubtful.tolist(), column.gather(doubtful).to_list(), strict=True):
        plain = (text or "").strip().lower()
        if plain in _ABSENT:
            numbers[at] = math.nan
            absent += 1
            continue
        if plain not in known:
            if len(known) > 10_000:
                known.clear()
            known[plain] = _number(plain)
        value = known[plain]
        if value is None:
            wrong.append(at)
        elif math.isinf(value) and "inf" not in plain:
            too_large.append(at)
        else:
            numbers[at] = value
    return Values(numbers, tuple(wrong), tuple(too_large), absent)


def _number(text: str) -> float | None:
    """Return the double of a number or a name such as `nan` and `-inf`, in lower case."""
    if _NUMBER.fullmatch(text):
        return float(text)
    sign, name = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    value = _NAMED.get(name)
    return None if value is None else -value if sign == "-" else value
