"""Descriptors whose runs stay text until they are asked for say what a whole reading says."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.strict_json import strict_loads
from pipeline.datapackage import descriptor
from pipeline.datapackage.lazy_sequence import LazySequence
from pipeline.datapackage.run_list import RunEntries, cut_out, merged_runs
from pipeline.errors import IntegrityError

scalars = (
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]))
)
runs = st.lists(
    st.dictionaries(st.text("abruns\n\"[]{}, :'", max_size=9), scalars | st.lists(scalars)),
    max_size=5,
)


def package(named: list[dict[str, Any]]) -> dict[str, Any]:
    resource = {"name": "a.csv", "path": "a.csv", "bytes": 1, "flowtime": {"runs": [[0, 1]]}}
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    return descriptor.package("some", "0" * 64, moment, named, [resource])


def written(named: list[dict[str, Any]]) -> bytes:
    return b"".join(descriptor.dump(package(named)))


def as_lists(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "flowtime": {**found["flowtime"], "runs": list(descriptor.runs_of(found))}}


@given(runs)
def test_what_is_written_comes_back(named: list[dict[str, Any]]) -> None:
    data = written(named)
    assert json.loads(data) == package(named)
    found = descriptor.load(data, "here")
    assert isinstance(found["flowtime"]["runs"], LazySequence) == bool(named)
    assert as_lists(found) == package(named)
    assert b"".join(descriptor.dump(found)) == data


PIECES = [
    *(piece.encode() for piece in ("{", "}", "[", "]", ",", '"', "\\", "\n", "\r", " ", "é")),
    b'\n    "runs": [\n',
    b"      {},\n",
    b"      {}\n",
    b"    ]",
    b'"flowtime": ',
    b'    "runs": [],\n',
    b"\xff",
    b"",
]


@given(
    runs,
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from(PIECES)), min_size=1),
)
@example([{"a": 1}], [(0.0, 0, b'{\n    "runs": [\n      {}\n    ]\n}')])
def test_any_text_is_read_as_a_whole_reading_reads_it(
    named: list[dict[str, Any]], changes: list[tuple[float, int, bytes]]
) -> None:
    """Meant to fail when a line is taken for a run that is none, or the other way round."""
    data = written(named)
    for where, length, piece in changes:
        place = int(where * len(data))
        data = data[:place] + piece + data[place + length :]
    try:
        expected = strict_loads(data)
    except ValueError:
        with pytest.raises(IntegrityError, match="here: the descriptor is no JSON"):
            descriptor.load(data, "here")
        return
    try:
        found = descriptor.load(data, "here")
    except IntegrityError:
        return
    entries = descriptor.runs_of(found)
    listed = expected["flowtime"].get("runs")
    said = [run for run in listed if isinstance(run, dict)] if isinstance(listed, list) else []
    assert list(entries) == said
    assert descriptor.without_runs(found) == descriptor.without_runs(expected)


ELSEWHERE = b"""{
  "resources": [],
  "other": {
    "runs": [
      {"id":"a"}
    ]
  },
  "flowtime": {"runs": [%s]}
}
"""


@pytest.mark.parametrize("named", [b"", b'{"id":"b"}'])
def test_runs_of_something_else_are_not_taken(named: bytes) -> None:
    data = ELSEWHERE % named
    assert cut_out(data) is None
    assert list(descriptor.runs_of(descriptor.load(data, "here"))) == (
        [json.loads(named)] if named else []
    )


@pytest.mark.parametrize("indent", [None, 1, 4])
def test_other_layouts_are_read_too(indent: int | None) -> None:
    made = package([{"id": "a"}, {"id": "b"}])
    for text in (json.dumps(made, indent=indent), json.dumps(made, indent=indent) + "\r\n"):
        assert descriptor.load(text.encode(), "here") == made


def test_a_line_that_is_no_json_is_reported() -> None:
    data = written([{"id": "a"}, {"id": "b"}]).replace(b'{"id":"b"}', b'{"id":NaN}')
    with pytest.raises(IntegrityError, match="here: the descriptor is no JSON: NaN"):
        descriptor.load(data, "here")
    later = descriptor.runs_of(descriptor.load(data, "here", check_runs=False))
    assert later[0] == {"id": "a"}
    with pytest.raises(ValueError, match="NaN"):
        later[1]


def test_places_as_those_of_a_list() -> None:
    entries = descriptor.runs_of(descriptor.load(written([{"id": n} for n in range(5)]), "here"))
    assert len(entries) == 5
    assert entries[-1] == {"id": 4}
    assert [run["id"] for run in entries[1::2]] == [1, 3]
    with pytest.raises(IndexError):
        entries[5]


def test_reading_takes_no_more_than_the_text() -> None:
    """Meant to fail when the runs are held as objects: they take four times as much."""
    rows = [[f"arrivals@COMP_{n}@DEFAULT", "a" * 64, n] for n in range(20)]
    data = written([{"id": f"run_{n}", "series": {"rows": rows}} for n in range(2000)])
    tracemalloc.start()
    try:
        found = descriptor.load(data, "here")
        merged, _ = merged_runs(
            RunEntries(2000, lambda place: {"id": f"run_{place}"}),
            descriptor.runs_of(found),
            [{"flowtime": {"runs": [[0, 2000]]}}],
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(merged) == 4000
    assert merged[3999] == json.loads(json.dumps({"id": "run_1999", "series": {"rows": rows}}))
    assert peak < len(data), (peak, len(data))
