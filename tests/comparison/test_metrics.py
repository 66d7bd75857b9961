"""Metrics against an independent computation in exact fractions, and properties that must hold."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.comparison.metrics.differences import differences_of, percent_changes_of
from pipeline.comparison.metrics.exact_sum import ExactSum
from pipeline.comparison.metrics.series_metrics import MetricsAccumulator, SeriesMetrics
from pipeline.comparison.metrics.tolerance import Tolerance

SPECIAL = (0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1.7976931348623157e308, 1e-300, 1e300, 0.1)
EXACT = Tolerance()

numbers = st.one_of(
    st.sampled_from((*SPECIAL, math.nan, math.inf, -math.inf)),
    st.floats(),
    st.floats(-1e6, 1e6),
    st.integers(-5, 5).map(float),
)
pairs = st.lists(st.tuples(numbers, numbers), max_size=60)


def measured(
    values: list[tuple[float, float]], tolerance: Tolerance = EXACT, block: int = 7
) -> SeriesMetrics:
    found = MetricsAccumulator()
    both = np.array(values, dtype=np.float64).reshape(-1, 2)
    for first in range(0, len(both), block):
        part = both[first : first + block]
        found.add(part[:, 0].copy(), part[:, 1].copy(), tolerance)
    return found.result()


def kept(values: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(a, b) for a, b in values if not (math.isnan(a) or math.isnan(b))]


def close(found: float | None, expected: Fraction | float, least: float = 0.0) -> bool:
    """Whether a number is right to 12 digits; `least` is the unit of the smallest doubles."""
    assert found is not None
    exact = (
        Fraction(expected) if not isinstance(expected, float) or math.isfinite(expected) else None
    )
    if exact is None:
        return found == expected
    if not math.isfinite(found):
        return abs(exact) > Fraction(1.797e308)
    return abs(Fraction(found) - exact) <= abs(exact) * Fraction(1, 10**12) + Fraction(least)


def root(number: Fraction) -> Fraction:
    with localcontext() as context:
        context.prec = 60
        context.Emax, context.Emin = 10**8, -(10**8)
        return Fraction((Decimal(number.numerator) / Decimal(number.denominator)).sqrt())


@given(pairs)
@example([(1e16, 1e16 + 2), (-1e16, -1e16)])
@example([(1e308, -1e308), (1.0, 2.0)])
@example([(5e-324, 1e-323), (1e300, 1e300)])
def test_finite_metrics_are_those_of_exact_fractions(values: list[tuple[float, float]]) -> None:
    found = measured(values)
    both = kept(values)
    assert found.n == len(both)
    assert found.nan_both == sum(math.isnan(a) and math.isnan(b) for a, b in values)
    assert found.nan_baseline_only == sum(math.isnan(a) and not math.isnan(b) for a, b in values)
    assert found.nan_comparison_only == sum(math.isnan(b) and not math.isnan(a) for a, b in values)
    differences = [0.0 if a == b else b - a for a, b in both]
    if not both:
        assert (found.mae, found.rmse, found.smape, found.max_abs) == (None,) * 4
        return
    n = len(both)
    assert found.max_abs == max(abs(d) for d in differences)
    if any(math.isinf(d) for d in differences):
        assert found.mae == found.rmse == math.inf
        return
    exact = [Fraction(d) for d in differences]
    assert close(found.mean_difference, sum(exact) / n, 5e-324)
    assert close(found.mae, sum(map(abs, exact)) / n, 5e-324)
    assert close(found.rmse, root(sum((d * d for d in exact), Fraction(0)) / n), 5e-324)


@given(pairs)
def test_smape_is_its_definition(values: list[tuple[float, float]]) -> None:
    both = kept(values)
    terms = []
    for a, b in both:
        if a == b:
            terms.append(Fraction(0))
        elif math.isinf(a) or math.isinf(b):
            terms.append(Fraction(2))
        else:
            x, y = Fraction(a), Fraction(b)
            # The difference is a double: the term is that of the rounded one.
            d = Fraction(b - a) if math.isfinite(b - a) else y - x
            terms.append(2 * abs(d) / (abs(x) + abs(y)))
    found = measured(values).smape
    assert found is None if not both else close(found, sum(terms, Fraction(0)) / len(both))


@given(pairs)
def test_percent_change_is_that_of_the_exact_totals(values: list[tuple[float, float]]) -> None:
    both = kept(values)
    found = measured(values)
    assert found.percent_change_undefined == sum(a == 0 and b != 0 for a, b in both)
    if not both or any(math.isinf(one) for pair in both for one in pair):
        assert found.percent_change is None
        return
    before, after = (sum((Fraction(pair[side]) for pair in both), Fraction(0)) for side in (0, 1))
    if before == 0:
        assert found.percent_change == (0.0 if after == 0 else None)
    else:
        assert close(found.percent_change, 100 * (after - before) / before, 5e-324)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=40))
def test_correlation_is_that_of_exact_fractions(values: list[tuple[float, float]]) -> None:
    found = measured(values).correlation
    xs, ys = ([Fraction(pair[side]) for pair in values] for side in (0, 1))
    if len(set(xs)) == 1 or len(set(ys)) == 1:
        assert found is None
        return
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    sxx = sum((x - mean_x) ** 2 for x in xs)
    syy = sum((y - mean_y) ** 2 for y in ys)
    sxy = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    # A constant but for a few units in the last place has no more digits than those.
    spread = min(root(sxx / len(xs)) / max(map(abs, xs)), root(syy / len(ys)) / max(map(abs, ys)))
    if spread > Fraction(1, 1000):
        assert found is not None
        assert abs(Fraction(found) - sxy / root(sxx * syy)) < Fraction(1, 10**12)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1.0, 1e200, 1e300])
def test_size_changes_neither_correlation_nor_smape(scale: float) -> None:
    random = np.random.default_rng(1)
    x = random.uniform(1, 2, 200_000)
    y = x + random.uniform(0, 1, 200_000)
    plain, scaled = MetricsAccumulator(), MetricsAccumulator()
    for first in range(0, len(x), 65_536):
        a, b = x[first : first + 65_536], y[first : first + 65_536]
        plain.add(a, b, Tolerance())
        scaled.add(a * scale, b * scale, Tolerance())
    found, expected = scaled.result(), plain.result()
    digits = 1e-12 if scale > 1e-307 else 1e-9  # subnormals have fewer
    for name in ("correlation", "smape", "percent_change"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=digits)
    assert found.rmse == pytest.approx(expected.rmse * scale, rel=digits)
    assert np.corrcoef(x, y)[0, 1] == pytest.approx(expected.correlation, rel=1e-12)


@given(pairs)
@example([(64.1, 64.1), (72.1, 72.1)])
def test_a_series_equals_itself(values: list[tuple[float, float]]) -> None:
    found = measured([(a, a) for a, _ in values])
    assert found.status == "equal"
    assert found.correlation in (None, 1.0)
    assert (found.out_of_tolerance, found.max_abs or 0.0, found.smape or 0.0) == (0, 0.0, 0.0)


@given(pairs)
def test_swapping_sides_negates_differences(values: list[tuple[float, float]]) -> None:
    one, other = measured(values), measured([(b, a) for a, b in values])
    assert other.mean_difference == (None if one.mean_difference is None else -one.mean_difference)
    assert (other.mae, other.rmse, other.max_abs) == (one.mae, one.rmse, one.max_abs)
    assert (other.n, other.status) == (one.n, one.status)
    assert other.nan_baseline_only == one.nan_comparison_only
    both = np.array(values, dtype=np.float64).reshape(-1, 2)
    forth, back = differences_of(both[:, 0], both[:, 1]), differences_of(both[:, 1], both[:, 0])
    np.testing.assert_array_equal(forth, -back)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=50), st.integers(1, 9))
def test_sums_have_no_rounding_error(values: list[float], block: int) -> None:
    found = ExactSum()
    for first in range(0, len(values), block):
        found.add(np.array(values[first : first + block], dtype=np.float64))
    exact = sum(map(Fraction, values), Fraction(0))
    try:
        expected = exact.numerator / exact.denominator
    except OverflowError:
        expected = math.inf if exact > 0 else -math.inf
    assert found.value == expected


@pytest.mark.parametrize(
    ("tolerance", "value", "status"),
    [
        (Tolerance(), 100.0, "equal"),
        (Tolerance(), 100.5, "different"),
        (Tolerance(absolute=0.5), 100.5, "within"),
        (Tolerance(absolute=0.49), 100.5, "different"),
        (Tolerance(relative=0.005), 100.5, "within"),
        (Tolerance(relative=0.004), 100.5, "different"),
        (Tolerance(absolute=0.25, relative=0.0025), 100.5, "within"),
        (Tolerance(relative=0.0025, nominal=200.0), 100.5, "within"),
        (Tolerance(absolute=1e300, relative=1e300), math.inf, "different"),
        (Tolerance(absolute=1e300), math.nan, "different"),
    ],
)
def test_tolerance(tolerance: Tolerance, value: float, status: str) -> None:
    assert measured([(100.0, value)], tolerance).status == status


def test_a_relative_tolerance_never_covers_an_infinity() -> None:
    for pair in ((math.inf, 1.0), (1.0, math.inf), (math.inf, -math.inf)):
        found = measured([pair], Tolerance(relative=1.0))
        assert (found.status, found.out_of_tolerance) == ("different", 1)
    assert measured([(math.inf, math.inf)]).status == "equal"


def test_percent_change_of_a_bin() -> None:
    baseline = np.array([0.0, 0.0, 4.0, -4.0, math.nan, math.inf, math.inf, 1.0])
    comparison = np.array([0.0, 1.0, 5.0, -5.0, 1.0, math.inf, 1.0, math.inf])
    changes, defined = percent_changes_of(baseline, differences_of(baseline, comparison))
    assert defined.tolist() == [True, False, True, True, False, True, False, True]
    assert changes[defined].tolist() == [0.0, 25.0, 25.0, 0.0, math.inf]


def test_metrics_are_those_of_a_forecasting_library() -> None:
    """Its sMAPE is half of ours: the mean of |d| / (|a| + |b|), 0 to 1, 0/0 = 0."""
    losses = pytest.importorskip("utilsforecast.losses")
    random = np.random.default_rng(7)
    size = 2_000
    a = random.normal(0, 10, size).round(1)
    b = a + random.normal(0, 1, size) * (random.random(size) < 0.7)
    a[:50] = b[:50] = 0.0
    a[50:60], b[60:70] = 0.0, 0.0
    frame = pl.DataFrame({"unique_id": ["x"] * size, "ds": range(size), "y": a, "model": b})
    found = measured(list(zip(a.tolist(), b.tolist(), strict=True)))
    for name, factor, value in (
        ("smape", 2, found.smape),
        ("mae", 1, found.mae),
        ("rmse", 1, found.rmse),
    ):
        theirs = getattr(losses, name)(frame, ["model"])["model"].item()
        assert value == pytest.approx(factor * theirs, rel=1e-12)
