"""Runs through descriptors and back."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Grid, Run
from connectors.flowtime.model.series import FileDigest, SeriesSpec
from connectors.flowtime.model.series_table import SeriesTable
from connectors.storage import connect
from pipeline.datapackage import descriptor
from pipeline.datapackage.run_list import merged_runs, places_of
from pipeline.datapackage.run_record import describe_run, read_run
from pipeline.datapackage.table_spec import TableSpec, read_contents
from pipeline.errors import IntegrityError
from tests.run_builder import DIALECTS, write_run

Entry = dict[str, Any]


def described(run: Run) -> Entry:
    entry: Entry = json.loads(json.dumps(describe_run(run)))
    return entry


def without_place(run: Run) -> Run:
    return replace(run, path="", listing="", series=run.series.listed({}))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_comes_back(tmp_path: Path, dialect: str) -> None:
    write_run(tmp_path, DIALECTS[dialect](dialect))
    (run,) = discover(*connect(str(tmp_path))).runs
    found = read_run(described(run), "here")
    assert without_place(found.run) == without_place(run)
    assert found.layouts == (None,) * len(run.series)


def a_run(series: int = 3) -> Run:
    rows = [
        SeriesSpec(
            id=f"arrivals@COMP_{n}@DEFAULT",
            measure="arrivals",
            component=f"COMP_{n}",
            class_name="DEFAULT",
            kind="flow",
            unit="entities/bin",
            class_kind="fallback",
            path=f"series/arrivals@COMP_{n}@DEFAULT.csv",
            points=288,
        )
        for n in range(series)
    ]
    moment = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    return Run(
        url="/runs/run_1",
        path="/runs/run_1",
        name="run_1",
        run_id="run_1",
        grid=Grid(288, 5),
        series=SeriesTable.of(rows, [FileDigest("a" * 64, 5000)] * series),
        created=moment,
        time_origin=moment,
        origin_source="spec.yaml grid.start",
        fingerprint="b" * 64,
        listing="c" * 64,
        notes=("a note",),
        warnings=("a warning",),
        source="engine",
        engine_version="1.0",
        scenario_hash="sha256:" + "d" * 64,
        model_hash=None,
        schema_version=1,
        template_id=None,
        template_title=None,
        model_title='Größe,\n# and "quotes"',
        mode="simulation",
        seed=-(2**63),
        extra={"nested": {"list": [1, 2.5, None]}},
        series_left_out=2,
    )


def test_layouts_and_what_json_cannot_say() -> None:
    run = replace(a_run(), extra={"odd": [float("nan"), float("inf")]})
    entry = describe_run(run, layouts=["t bom crlf dotnet", None, "bin_index lf rust"])
    text = json.dumps(entry, allow_nan=False)
    found = read_run(json.loads(text), "here")
    assert found.layouts == ("t bom crlf dotnet", None, "bin_index lf rust")
    assert found.run.extra == {"odd": ["nan", "inf"]}


def test_without_place_nothing_identifies_the_machine() -> None:
    there = replace(a_run(), url="/elsewhere/run_1", path="/elsewhere/run_1", listing="e" * 64)
    assert describe_run(a_run(), with_place=False) == describe_run(there, with_place=False)
    assert read_run(describe_run(there, with_place=False), "here").run.url == ""


def change(path: str, value: object) -> Callable[[Entry], None]:
    def apply(entry: Entry) -> None:
        *keys, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        place: Any = entry
        for key in keys:
            place = place[key]
        place[last] = value

    return apply


FORGED = {
    "series id climbs": change("series/rows/0/0", "../../etc/passwd"),
    "series id has a slash": change("series/rows/0/0", "a/b"),
    "no measure": change("series/rows/0/0", "@COMP_0@DEFAULT"),
    "component climbs": change("series/rows/0/1", "../x"),
    "path climbs": change("series/rows/1/6", "series/../../x.csv"),
    "path is absolute": change("series/rows/1/6", "/etc/passwd"),
    "path is an export": change("series/rows/1/6", "gold/x.csv"),
    "path of another": change("series/rows/1/6", "series/arrivals@COMP_0@DEFAULT.csv"),
    "points differ": change("series/rows/2/7", 289),
    "points are text": change("series/rows/2/7", "288"),
    "points are true": change("series/rows/2/7", True),
    "wrong digest": change("series/rows/2/8", "A" * 64),
    "layout of control characters": change("series/rows/2/9", "t\n"),
    "a cell too many": change("series/rows/0", ["a"] * 11),
    "row is no list": change("series/rows/0", {"id": "a"}),
    "twice": change("series/rows/1/0", "arrivals@COMP_0@DEFAULT"),
    "other columns": change("series/columns/0", "name"),
    "count of series": change("seriesCount", 4),
    "a billion bins": change("bins", 10**9),
    "no bins": change("bins", 0),
    "bins beyond time": change("binMinutes", 10**9),
    "run id climbs": change("id", ".."),
    "run id has a slash": change("id", "a/b"),
    "name is empty": change("name", ""),
    "origin is no instant": change("timeOrigin", "yesterday"),
    "origin is a number": change("timeOrigin", 5),
    "origin is no day": change("timeOrigin", "2025-02-30T00:00:00Z"),
    "seed too large": change("seed", 2**63),
    "unit of control characters": change("series/rows/0/4", "a\x00b"),
    "fingerprint": change("fingerprint", "sha256:x"),
    "warnings": change("warnings", [1]),
    "extra": change("extra", []),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_forged_facts_are_refused(forge: Callable[[Entry], None]) -> None:
    entry = described(a_run())
    forge(entry)
    with pytest.raises(IntegrityError, match=r"there\.json: runs"):
        read_run(entry, "there.json: runs[0]")


@pytest.mark.parametrize("key", [key for key in describe_run(a_run()) if key != "listing"])
def test_a_missing_key_is_named(key: str) -> None:
    entry = described(a_run())
    del entry[key]
    if key == "url":
        assert read_run(entry, "here").run.url == ""
        return
    with pytest.raises(IntegrityError, match=rf"here: {key}: is missing"):
        read_run(entry, "here")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.sampled_from(sorted(describe_run(a_run()))), json_values)
def test_any_value_is_read_or_refused(key: str, value: object) -> None:
    entry = copy.deepcopy(described(a_run()))
    entry[key] = value
    with suppress(IntegrityError):
        assert described(read_run(entry, "here").run)


def test_contents_that_contradict_themselves() -> None:
    good = TableSpec(layout="long", columns={"v": "value"}, reasons=("filtered",)).as_json()
    assert read_contents(good, "here").reasons == ("filtered",)
    for wrong in (
        {**good, "complete": True},
        {**good, "columns": {"v": "nothing"}},
        {**good, "columns": {"v": "value", "w": "value"}},
        {**good, "columns": {"v": "exported_at"}},
        {**good, "layout": "tall"},
        {"layout": "long"},
        None,
    ):
        with pytest.raises(IntegrityError, match="here: "):
            read_contents(wrong, "here")


def test_forty_thousand_series_are_written_and_read_quickly() -> None:
    runs = [describe_run(replace(a_run(20), run_id=f"run_{n}")) for n in range(2000)]
    package = descriptor.package("big", "0" * 64, datetime.now(UTC), runs, [])
    began = time.process_time()
    data = b"".join(descriptor.dump(package))
    found = descriptor.load(data, "here")
    assert time.process_time() - began < 1.0  # a tenth of it on a machine that does nothing else
    assert len(data) < 10_000_000
    assert list(found["flowtime"].pop("runs")) == json.loads(json.dumps(runs))


def test_runs_of_one_shape_share_their_series() -> None:
    entries = [described(replace(a_run(20), run_id=f"run_{n}")) for n in range(2)]
    entries[1]["series"]["rows"][3][8] = "f" * 64
    one, other = (read_run(entry, "here").run.series for entry in entries)
    assert one.shape is other.shape
    assert (one.digest(3).sha256, other.digest(3).sha256) == ("a" * 64, "f" * 64)


def test_runs_of_what_stays_in_a_descriptor() -> None:
    a, b, c = ({"id": name} for name in "abc")
    kept = [{"path": "old.csv", "flowtime": {"target": "old.csv", "runs": [[1, 2]]}}]
    runs, moved = merged_runs([c, a], [a, b], kept)
    assert list(runs) == [c, a, b]
    assert moved[0]["flowtime"]["runs"] == [[2, 3]]
    assert kept[0]["flowtime"] == {"target": "old.csv", "runs": [[1, 2]]}


@pytest.mark.parametrize(
    "spans", [None, 1, [1], [[0]], [[0, 9]], [[1, 1]], [[-1, 1]], [[0, 1], [0, 1]], [[0, True]]]
)
def test_places_that_are_none(spans: object) -> None:
    assert places_of(spans, 3) is None
