"""Render doubles as FlowTime's writers do."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

FloatDialect = Literal["dotnet", "dotnet16", "dotnet15", "rust"]
"""How a writer spells doubles, always by the shortest digits that round-trip.

`dotnet` is `double.ToString("R", InvariantCulture)` of .NET 5 and later: fixed-point from
1e-4 to below 1e17, else scientific (`Number.FormatDouble` of dotnet/runtime: `nMaxDigits` is 17,
`FormatGeneral` turns scientific where the scale is above it or below -3). `dotnet16` and
`dotnet15` turn scientific from 1e16 and 1e15 on already, as writers do that hold to 16 or 15
digits. `rust` is `{}` of `f64`, which never has an exponent.

Where two texts are equally short and equally near, `rust` takes the larger (23099.963012695313
for 23099.9630126953125), all others the one that ends in an even digit, as Python does.
"""

FLOAT_DIALECTS: tuple[FloatDialect, ...] = get_args(FloatDialect)

_Array = np.ndarray[Any, Any]
_Zone = Literal["small", "from 1e15", "from 1e16", "from 1e17", "infinite", "tie"]

# A tie has at most 18 digits in full, the last of them a 5: it is a multiple of 2**-_TIE_BITS, and
# needs more than the 15 digits that distinguish every double of its size.
_TIE_BITS = 26
_TIE_SMALLEST = 2.0**-_TIE_BITS
_TIE_LARGEST = 2.0**52
_TIE_TEXT = 17

_SLICE_ROWS = 262_144


@dataclass(frozen=True, slots=True)
class _Spelling:
    """What sets one dialect apart.

    Attributes:
        infinity: Text of positive infinity.
        scientific: Zones of size that are written with an exponent.
        ties_up: Whether the larger of two equally near texts is taken.
    """

    infinity: str
    scientific: frozenset[_Zone]
    ties_up: bool = False


_SPELLINGS: dict[FloatDialect, _Spelling] = {
    "dotnet": _Spelling("Infinity", frozenset({"small", "from 1e17"})),
    "dotnet16": _Spelling("Infinity", frozenset({"small", "from 1e16", "from 1e17"})),
    "dotnet15": _Spelling("Infinity", frozenset({"small", "from 1e15", "from 1e16", "from 1e17"})),
    "rust": _Spelling("inf", frozenset(), ties_up=True),
}


def float_text(values: _Array | pl.Series, dialect: FloatDialect) -> pl.Series:
    """Return the text of each value.

    Sizes from 1e-4 to below 1e15 are rendered in bulk; what lies outside is rendered once for
    each different value.

    Args:
        values: Doubles without nulls.
        dialect: How to spell them.

    >>> float_text(np.array([93.0, 1.5, 1e-5, -0.0]), "dotnet").to_list()
    ['93', '1.5', '1E-05', '-0']
    >>> float_text(np.array([1e-5, 1e16]), "rust").to_list()
    ['0.00001', '10000000000000000']
    """
    spelling = _SPELLINGS[dialect]
    series = pl.Series("value", values, dtype=pl.Float64)
    # Polars prints the shortest digits as well, fixed-point in this range, but whole numbers
    # with `.0` behind.
    text = series.cast(pl.String).str.strip_suffix(".0")
    rare = _out_of_range(series)
    if spelling.ties_up:
        rare |= _may_tie(series, text)
    if not rare.any():
        return text
    unusual = series.filter(rare)
    spelled = unusual.unique()
    texts = [_rare_text(value, spelling) for value in spelled.to_list()]
    rendered = unusual.replace_strict(spelled, pl.Series(texts, dtype=pl.String))
    return text.scatter(rare.arg_true(), rendered)


def distinct_dialects(
    values: _Array | pl.Series, dialects: tuple[FloatDialect, ...] = FLOAT_DIALECTS
) -> tuple[FloatDialect, ...]:
    """Those of the dialects that may give these values a text that no dialect before them gives.

    >>> distinct_dialects(np.array([93.0, 1.5]))
    ('dotnet',)
    >>> distinct_dialects(np.array([1e-5]), ("rust", "dotnet", "dotnet15"))
    ('rust', 'dotnet')
    """
    series = pl.Series("value", values, dtype=pl.Float64)
    zones = frozenset[_Zone]().union(*map(_zones, series.to_frame().iter_slices(_SLICE_ROWS)))
    kept: dict[tuple[str, frozenset[_Zone], bool], FloatDialect] = {}
    for dialect in dialects:
        spelling = _SPELLINGS[dialect]
        infinity = spelling.infinity if "infinite" in zones else ""
        ties_up = spelling.ties_up and "tie" in zones
        kept.setdefault((infinity, spelling.scientific & zones, ties_up), dialect)
    return tuple(kept.values())


def _out_of_range(series: pl.Series) -> pl.Series:
    """Return which values, NaN aside, the bulk rendering spells otherwise than writers do."""
    size = series.abs()
    return ((size >= 1e15) & series.is_not_nan()) | ((size < 1e-4) & (size > 0))


def _may_tie(series: pl.Series, text: pl.Series) -> pl.Series:
    """Return which values may lie in the middle between two texts that are equally short."""
    scaled = series * 2.0**_TIE_BITS
    is_fraction = (scaled == scaled.floor()) & (series != series.floor())
    return is_fraction & (text.str.len_bytes() >= _TIE_TEXT)


def _zones(values: pl.DataFrame) -> frozenset[_Zone]:
    series = values.to_series()
    rare = series.filter(_out_of_range(series)).abs()
    held: dict[_Zone, bool] = {
        "small": bool((rare < 1).any()),
        "from 1e15": bool(rare.is_between(1e15, 1e16, closed="left").any()),
        "from 1e16": bool(rare.is_between(1e16, 1e17, closed="left").any()),
        "from 1e17": bool(((rare >= 1e17) & rare.is_finite()).any()),
        "infinite": bool(rare.is_infinite().any()),
        "tie": bool(_may_tie(series, series.cast(pl.String)).any()),
    }
    return frozenset(zone for zone, is_held in held.items() if is_held)


def _rare_text(value: float, spelling: _Spelling) -> str:
    sign = "-" if value < 0 else ""
    size = abs(value)
    if size == float("inf"):
        return sign + spelling.infinity
    digits, exponent = _shortest(size, ties_up=spelling.ties_up)
    if _zone(size) not in spelling.scientific:
        return sign + _fixed(digits, exponent)
    point = "." if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{point}{digits[1:]}E{exponent:+03d}"


def _zone(size: float) -> _Zone | None:
    if size < 1e15:
        return "small" if size < 1e-4 else None
    if size < 1e16:
        return "from 1e15"
    return "from 1e16" if size < 1e17 else "from 1e17"


def _shortest(size: float, *, ties_up: bool) -> tuple[str, int]:
    """Return the shortest digits that round-trip, and the exponent of the first of them."""
    shortest = Decimal(repr(size)).normalize()
    if ties_up and _TIE_SMALLEST <= size < _TIE_LARGEST:
        exact = Decimal(size)
        rounded = exact.quantize(shortest, ROUND_HALF_UP)
        if abs(exact - rounded) == abs(exact - shortest):
            shortest = rounded.normalize()
    return "".join(map(str, shortest.as_tuple().digits)), shortest.adjusted()


def _fixed(digits: str, exponent: int) -> str:
    """Return a number written without an exponent.

    >>> _fixed("12", -5), _fixed("15", 16), _fixed("15", 0)
    ('0.000012', '15000000000000000', '1.5')
    """
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole, fraction = digits[: exponent + 1].ljust(exponent + 1, "0"), digits[exponent + 1 :]
    return f"{whole}.{fraction}" if fraction else whole
