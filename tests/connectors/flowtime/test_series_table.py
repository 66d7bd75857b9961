"""The series of a run, held small: nothing of them is lost."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.series import FileDigest, SeriesSpec
from connectors.flowtime.model.series_table import SeriesShape, SeriesTable
from connectors.storage import connect
from tests.run_builder import DIALECTS, write_run

NAMES = st.text("ABCabc_.-", min_size=1, max_size=8)
SHA256 = st.none() | st.binary(min_size=32, max_size=32).map(bytes.hex)
SIZES = st.none() | st.integers(0, 2**63 - 1)
SPECS = st.builds(
    SeriesSpec,
    id=NAMES,
    measure=NAMES,
    component=st.none() | NAMES,
    class_name=NAMES,
    kind=st.none() | NAMES,
    unit=st.none() | NAMES,
    class_kind=st.none() | NAMES,
    path=NAMES,
    points=st.integers(1, 10**9),
)
DIGESTS = st.builds(FileDigest, sha256=SHA256, size=SIZES)
SERIES = st.lists(st.tuples(SPECS, DIGESTS), max_size=6)
Drawn = list[tuple[SeriesSpec, FileDigest]]
A_SERIES = SeriesSpec("a", "a", None, "DEFAULT", None, None, None, "series/a.csv", 3)


def a_table(series: Drawn) -> SeriesTable:
    return SeriesTable.of([spec for spec, _ in series], [digest for _, digest in series])


@given(SERIES)
def test_it_gives_what_it_was_made_of(series: Drawn) -> None:
    table = a_table(series)
    specs, digests = [spec for spec, _ in series], [digest for _, digest in series]
    assert list(table) == specs
    assert [table[place] for place in range(len(table))] == specs
    assert [table[place - len(table)] for place in range(len(table))] == specs
    assert list(table[1:4]) == specs[1:4]
    assert list(table.digests()) == digests
    assert [table.digest(place) for place in range(len(table))] == digests
    assert [table.digest(place - len(table)) for place in range(len(table))] == digests
    assert list(table.are_vouched()) == [one.sha256 is not None for one in digests]
    assert list(table.sizes()) == [one.size or 0 for one in digests]


@given(SERIES)
def test_picked_series_keep_their_digests(series: Drawn) -> None:
    places = list(range(len(series)))[::-2]
    assert a_table(series).picked(places) == a_table([series[place] for place in places])


@given(SERIES, SERIES)
def test_tables_are_equal_where_their_series_are(one: Drawn, other: Drawn) -> None:
    assert (a_table(one) == a_table(other)) == (one == other)
    assert pickle.loads(pickle.dumps(a_table(one))) == a_table(one)


@given(SERIES)
def test_a_listing_gives_sizes_and_nothing_else(series: Drawn) -> None:
    table = a_table(series)
    there = series[0][0].path if series else None
    listed = table.listed({there: 7} if there else {})
    assert [one.size for one in listed.digests()] == [
        7 if one.path == there else None for one in table
    ]
    assert [one.sha256 for one in listed.digests()] == [one.sha256 for one in table.digests()]
    assert listed.shape is table.shape


@pytest.mark.parametrize("sha256", ["zz", "", "ab", "0" * 63, "0" * 66, "g" * 64])
def test_what_is_no_sha256_is_refused(sha256: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        SeriesTable.of([A_SERIES], [FileDigest(sha256, 10)])


def test_without_digests_nothing_is_known_of_the_files() -> None:
    assert list(SeriesTable.of([A_SERIES] * 2).digests()) == [FileDigest()] * 2


def test_no_place_beyond_the_last() -> None:
    table = SeriesTable.of([A_SERIES])
    for place in (1, -2):
        with pytest.raises(IndexError):
            table[place]
        with pytest.raises(IndexError):
            table.digest(place)


def test_runs_of_a_sweep_share_what_they_have_in_common(tmp_path: Path) -> None:
    for number in range(3):
        write_run(tmp_path, DIALECTS["classes"](f"run_{number}"))
    first, *others = discover(*connect(str(tmp_path))).runs
    assert all(run.series.shape is first.series.shape for run in others)


def test_a_series_takes_a_few_dozen_bytes() -> None:
    shape = SeriesShape((A_SERIES,) * 100)
    tracemalloc.start()
    try:
        table = SeriesTable(shape, (FileDigest("ab" * 32, 5000) for _ in shape.specs))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == 100
    assert held / len(table) < 50
