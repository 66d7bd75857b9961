"""The layout of a series file is detected, written and found again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import IntegrityError
from connectors.flowtime.restore import layout as layouts
from connectors.flowtime.restore.layout import SeriesLayout, candidates, find_layout, sniff
from tests.connectors.flowtime.test_float_text import DOUBLES, reference
from tests.examples import in_parts
from tests.run_builder import AWKWARD, DIALECTS, RunSpec, series_bytes

ALL = tuple(candidates())
by_code = pytest.mark.parametrize("layout", ALL, ids=lambda one: one.code)


def written(values: Sequence[float], layout: SeriesLayout) -> bytes:
    """A series file, without the code under test."""
    end = {"lf": "\n", "crlf": "\r\n"}[layout.newline]
    lines = [f"{layout.header},value"]
    lines += [f"{at},{reference(value, layout.floats)}" for at, value in enumerate(values)]
    return (b"\xef\xbb\xbf" if layout.bom else b"") + (end.join(lines) + end).encode()


def test_there_is_one_of_each() -> None:
    assert len(ALL) == len(set(ALL)) == 2 * 2 * 2 * 4
    assert ALL[0] == SeriesLayout()
    hint = SeriesLayout("t", False, "crlf", "dotnet16")
    ordered = list(candidates(hint))
    assert ordered[0] == hint
    assert {replace(one, floats="rust") for one in ordered[:4]} == {replace(hint, floats="rust")}
    assert set(ordered) == set(ALL)
    assert len(ordered) == len(ALL)


@by_code
def test_codes_are_read_again(layout: SeriesLayout) -> None:
    assert SeriesLayout.parse(layout.code) == layout


@pytest.mark.parametrize(
    "code", ["", "t", "t lf", "t LF rust", "t  lf rust", "x lf rust", "a" * 999]
)
def test_other_codes_are_refused(code: str) -> None:
    with pytest.raises(ValueError, match="is no layout of a series file") as caught:
        SeriesLayout.parse(code)
    assert len(str(caught.value)) < 300


def test_codes_are_stable() -> None:
    assert SeriesLayout().code == "bin_index lf rust"
    assert SeriesLayout("t", True, "crlf", "dotnet").code == "t bom crlf dotnet"


@by_code
def test_files_are_as_written(layout: SeriesLayout) -> None:
    values = [*AWKWARD, 23099.9630126953125]
    assert layout.encode(np.array(values)) == written(values, layout)


@in_parts(1_000)
@given(values=st.lists(DOUBLES, min_size=1, max_size=10), layout=st.sampled_from(ALL))
def test_any_file_is_found_by_its_hash(values: list[float], layout: SeriesLayout) -> None:
    data = written(values, layout)
    array = np.array(values)
    assert layout.encode(array) == data
    for hint in (None, sniff(data), layout):
        found = find_layout(array, hashlib.sha256(data).hexdigest(), hint)
        assert found is not None
        assert found.encode(array) == data
    sniffed = sniff(data)
    assert (sniffed.header, sniffed.bom, sniffed.newline) == (
        layout.header,
        layout.bom,
        layout.newline,
    )


def test_files_longer_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "BLOCK_ROWS", 7)
    values = [math.sqrt(number) for number in range(50)]
    layout = SeriesLayout("t", True, "crlf", "dotnet")
    data = written(values, layout)
    assert layout.encode(np.array(values)) == data
    assert len(list(layout.body(np.array(values)))) == 8
    assert find_layout(np.array(values), hashlib.sha256(data).hexdigest()) is not None


def test_other_values_are_not_found() -> None:
    data = written([1.0, 2.0], SeriesLayout())
    assert find_layout(np.array([1.0, 2.5]), hashlib.sha256(data).hexdigest()) is None


def test_ordinary_values_are_rendered_once_for_each_line_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rendered = []
    real = layouts.float_text
    monkeypatch.setattr(
        layouts, "float_text", lambda *args: (rendered.append(args), real(*args))[1]
    )
    assert find_layout(np.array([1.0, 2.5]), "0" * 64) is None
    assert len(rendered) == 2


@by_code
def test_floats_are_detected_from_what_is_there(layout: SeriesLayout) -> None:
    evidence = {
        "rust": ([math.inf], [-1e-5], [1e20]),
        "dotnet": ([-math.inf], [1e-7], [1e300], [2.5e-300, 1e16]),
        "dotnet16": ([1e15, -1.5e16],),
        "dotnet15": ([1e15], [-1.25e15, 1e16]),
    }
    for values in evidence[layout.floats]:
        assert sniff(written([1.0, *values, 2.0], layout)) == layout


@pytest.mark.parametrize(
    ("head", "floats"),
    [("bin_index,value\n", "rust"), ("t,value\n", "dotnet"), ("\ufeffbin_index,value\n", "dotnet")],
)
def test_what_is_assumed_where_nothing_shows_it(head: str, floats: str) -> None:
    assert sniff(f"{head}0,93\n1,1.5\n".encode()).floats == floats
    assert sniff(head.encode()).floats == floats


@pytest.mark.parametrize("data", [b"", b"bin,value\n", b"t,value", b"\xff\xfet", b"\x1f\x8b" * 90])
def test_other_files_have_no_layout(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="expected 't,value' or 'bin_index,value'") as caught:
        sniff(data)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_of_run_is_found(dialect: str) -> None:
    spec: RunSpec = DIALECTS[dialect]("run")
    for values in spec.series.values():
        data = series_bytes(spec, values)
        sniffed = sniff(data)
        found = find_layout(np.array(values), hashlib.sha256(data).hexdigest(), sniffed)
        assert found is not None
        assert found.encode(np.array(values)) == data
        assert (found.header, found.bom, found.newline) == (
            sniffed.header,
            sniffed.bom,
            sniffed.newline,
        )
