"""Doubles are spelled as .NET and Rust spell them, digit for digit."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.flowtime.restore.float_text import (
    FLOAT_DIALECTS,
    FloatDialect,
    distinct_dialects,
    float_text,
)
from tests.examples import in_parts

LARGEST_PLAIN_EXPONENT = {"dotnet": 16, "dotnet16": 15, "dotnet15": 14}

DYADIC = st.builds(math.ldexp, st.integers(-(2**53), 2**53), st.integers(-40, 8))
DECIMAL = st.builds(
    lambda digits, exponent: float(f"{digits}e{exponent}"),
    st.integers(-(10**17), 10**17),
    st.integers(-30, 10),
)
DOUBLES = st.floats() | DYADIC | DECIMAL

KNOWN = {
    93.0: ("93", "93"),
    1.5: ("1.5", "1.5"),
    -7.0: ("-7", "-7"),
    0.0001: ("0.0001", "0.0001"),
    0.00012345: ("0.00012345", "0.00012345"),
    1e-5: ("1E-05", "0.00001"),
    -1.25e-5: ("-1.25E-05", "-0.0000125"),
    9.999e-5: ("9.999E-05", "0.00009999"),
    1e14: ("100000000000000", "100000000000000"),
    1e15: ("1000000000000000", "1000000000000000"),
    1e16: ("10000000000000000", "10000000000000000"),
    12345678901234568.0: ("12345678901234568", "12345678901234568"),
    1e17: ("1E+17", "100000000000000000"),
    123456789012345680.0: ("1.2345678901234568E+17", "123456789012345680"),
    1e100: ("1E+100", "1" + "0" * 100),
    5e-324: ("5E-324", "0." + "0" * 323 + "5"),
    2.2250738585072014e-308: (
        "2.2250738585072014E-308",
        "0." + "0" * 307 + "22250738585072014",
    ),
    1.7976931348623157e308: ("1.7976931348623157E+308", "17976931348623157" + "0" * 292),
    0.1 + 0.2: ("0.30000000000000004", "0.30000000000000004"),
    # In the middle between two texts.
    23099.9630126953125: ("23099.963012695312", "23099.963012695313"),
    -1417370865764593.25: ("-1417370865764593.2", "-1417370865764593.3"),
    math.inf: ("Infinity", "inf"),
    -math.inf: ("-Infinity", "-inf"),
}
"""What .NET Core 3.1 and Rust 1.95 print."""


def reference(value: float, dialect: FloatDialect) -> str:
    """The text of a value, from the digits of `repr` and exact arithmetic."""
    if math.isnan(value):
        return "NaN"
    sign = "-" if math.copysign(1, value) < 0 else ""
    if math.isinf(value):
        return sign + ("inf" if dialect == "rust" else "Infinity")
    if value == 0:
        return f"{sign}0"
    shortest = Decimal(repr(abs(value))).normalize()
    if dialect == "rust":
        return sign + format(_larger_if_as_near(shortest, abs(value)), "f")
    exponent = shortest.adjusted()
    if -4 <= exponent <= LARGEST_PLAIN_EXPONENT[dialect]:
        return sign + format(shortest, "f")
    first, rest = str(shortest.as_tuple().digits[0]), shortest.as_tuple().digits[1:]
    mantissa = f"{first}.{''.join(map(str, rest))}" if rest else first
    return f"{sign}{mantissa}E{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _larger_if_as_near(shortest: Decimal, size: float) -> Decimal:
    digits, exponent = shortest.as_tuple().digits, int(shortest.as_tuple().exponent)
    numerator, denominator = size.as_integer_ratio()
    last = int("".join(map(str, digits)))
    # Whether size / 10**exponent is last + 1/2, in whole numbers.
    scale = 10 ** abs(exponent)
    left = 2 * numerator * (scale if exponent < 0 else 1)
    right = (2 * last + 1) * denominator * (scale if exponent > 0 else 1)
    return Decimal(last + 1).scaleb(exponent).normalize() if left == right else shortest


@pytest.mark.parametrize("dialect", FLOAT_DIALECTS)
@in_parts(1_000)
@given(values=st.lists(DOUBLES, min_size=1, max_size=20))
@example(values=list(KNOWN))
@example(values=[0.0, -0.0, math.nan])
@example(values=[float(f"{digit}e{power}") for power in range(-323, 309) for digit in (1, 9)])
@example(values=[math.ldexp(1, power) for power in range(-1074, 1024)])
def test_texts_are_those_of_the_shortest_digits(dialect: FloatDialect, values: list[float]) -> None:
    texts = float_text(np.array(values), dialect).to_list()
    assert texts == [reference(value, dialect) for value in values]
    back = np.array([float(text) for text in texts])
    assert np.array_equal(back, np.array(values), equal_nan=True)
    assert np.array_equal(np.signbit(back), np.signbit(values) & ~np.isnan(values))


@pytest.mark.parametrize("value", KNOWN)
def test_known_texts(value: float) -> None:
    dotnet, rust = KNOWN[value]
    assert float_text(pl.Series([value, 1.0]), "dotnet").to_list() == [dotnet, "1"]
    assert float_text(pl.Series([1.0, value]), "rust").to_list() == ["1", rust]


@pytest.mark.parametrize(
    ("value", "dotnet16", "dotnet15"),
    [
        (1e14, "100000000000000", "100000000000000"),
        (1e15, "1000000000000000", "1E+15"),
        (1.5e15, "1500000000000000", "1.5E+15"),
        (1e16, "1E+16", "1E+16"),
        (-12345678901234568.0, "-1.2345678901234568E+16", "-1.2345678901234568E+16"),
    ],
)
def test_writers_that_change_to_exponents_earlier(
    value: float, dotnet16: str, dotnet15: str
) -> None:
    assert float_text(np.array([value]), "dotnet16").to_list() == [dotnet16]
    assert float_text(np.array([value]), "dotnet15").to_list() == [dotnet15]


@in_parts(1_000)
@given(
    values=st.lists(DOUBLES, min_size=1, max_size=3),
    dialects=st.permutations(FLOAT_DIALECTS).map(tuple),
)
@example(values=[23099.9630126953125], dialects=FLOAT_DIALECTS)
@example(values=[1.0], dialects=FLOAT_DIALECTS)
def test_a_dialect_that_is_left_out_says_nothing_new(
    values: list[float], dialects: tuple[FloatDialect, ...]
) -> None:
    kept = distinct_dialects(np.array(values), dialects)
    assert kept[0] == dialects[0]

    def texts(dialect: FloatDialect) -> tuple[str, ...]:
        return tuple(reference(value, dialect) for value in values)

    assert {texts(one) for one in kept} == {texts(one) for one in dialects}


def test_ordinary_values_are_spelled_alike() -> None:
    assert distinct_dialects(np.array([0.0, -1.5, 1e14, 0.25, math.nan])) == ("dotnet",)


def test_an_empty_series_has_no_texts() -> None:
    assert float_text(np.array([]), "rust").to_list() == []
    assert distinct_dialects(np.array([])) == ("dotnet",)
