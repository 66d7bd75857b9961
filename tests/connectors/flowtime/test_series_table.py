"""The series of a run, held small: nothing of them is lost."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.series import Series
from connectors.flowtime.model.series_table import SeriesTable
from connectors.storage import connect
from tests.run_builder import DIALECTS, write_run

NAMES = st.text("ABCabc_.-", min_size=1, max_size=8)
SHA256 = st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex)
SIZES = st.none() | st.integers(0, 2**63 - 1)
SERIES = st.lists(
    st.builds(
        Series,
        id=NAMES,
        measure=NAMES,
        component=st.none() | NAMES,
        class_name=NAMES,
        kind=st.none() | NAMES,
        unit=st.none() | NAMES,
        class_kind=st.none() | NAMES,
        path=NAMES,
        points=st.integers(1, 10**9),
        sha256=SHA256,
        size=SIZES,
    ),
    max_size=6,
)


def a_series(sha256: str | None) -> Series:
    return Series("a", "a", None, "DEFAULT", None, None, None, "series/a.csv", 3, sha256, 10)


@given(SERIES)
def test_it_gives_what_it_was_made_of(series: list[Series]) -> None:
    table = SeriesTable.of(series)
    assert list(table) == series
    assert [table[place] for place in range(len(table))] == series
    assert [table[place - len(table)] for place in range(len(table))] == series
    assert list(table[1:4]) == series[1:4]
    assert list(table.promises()) == [(one.sha256, one.size) for one in series]
    assert list(table.are_vouched()) == [one.sha256 is not None for one in series]
    assert list(table.sizes()) == [one.size or 0 for one in series]


@given(SERIES, SERIES)
def test_tables_are_equal_where_their_series_are(one: list[Series], other: list[Series]) -> None:
    assert (SeriesTable.of(one) == SeriesTable.of(other)) == (one == other)
    assert pickle.loads(pickle.dumps(SeriesTable.of(one))) == SeriesTable.of(one)


@given(SERIES)
def test_a_listing_gives_sizes_and_nothing_else(series: list[Series]) -> None:
    listed = SeriesTable.of(series).listed({one.path: 7 for one in series[:1]})
    there = series[0].path if series else None
    assert [one.size for one in listed] == [7 if one.path == there else None for one in series]
    assert [one.sha256 for one in listed] == [one.sha256 for one in series]
    assert listed.kinds == SeriesTable.of(series).kinds


@pytest.mark.parametrize("sha256", ["zz", "", "ab", "0" * 63, "0" * 66, "g" * 64])
def test_what_is_no_sha256_is_refused(sha256: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        SeriesTable.of([a_series(sha256)])


def test_no_place_beyond_the_last() -> None:
    table = SeriesTable.of([a_series(None)])
    for place in (1, -2):
        with pytest.raises(IndexError):
            table[place]


def test_runs_of_a_sweep_share_what_they_have_in_common(tmp_path: Path) -> None:
    for number in range(3):
        write_run(tmp_path, DIALECTS["classes"](f"run_{number}"))
    first, *others = discover(*connect(str(tmp_path))).runs
    assert all(run.series.kinds is first.series.kinds for run in others)


def test_a_series_takes_a_few_dozen_bytes() -> None:
    kinds = SeriesTable.of([a_series(None)] * 100).kinds
    tracemalloc.start()
    try:
        table = SeriesTable(kinds, (("ab" * 32, 5000) for _ in kinds))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == 100
    assert held / len(table) < 50
