"""One commit replaces exactly the runs that changed or disappeared."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from pipeline.errors import ConfigError, PublishConflictError, SinkError
from pipeline.exports.run import export
from pipeline.imports.importer import import_export
from pipeline.verification.check import verify
from tests.exporting import config, descriptor, spec, write_runs
from tests.lake_tables.lakes import LAKES, DeltaLake, IcebergLake, Lake, query, rows, whole
from tests.read_outputs import read_runs

NAN, INF = math.nan, math.inf
ODD = ("a b", "it's", "100%", "%41", 'say "x"', "ü€", "a&b=c", "_x")


def test_a_commit_holds_the_runs_that_differ(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", *(spec(f"run_{n:03d}") for n in range(100)))
    made = lake.config(runs)
    export(made)
    assert (lake.versions, len(lake.commit().added), len(lake.commit().written)) == (1, 100, 100)
    before = lake.files()
    write_runs(runs, spec("run_005", values=(9.0,)), spec("run_999"))
    shutil.rmtree(runs / "run_007")
    report = export(made)
    assert report.targets[0].status == "exported"
    assert (report.targets[0].files, report.rows_read) == (100, 3 + 12)
    after, commit = lake.files(), lake.commit()
    assert lake.versions == 2
    assert commit.added == after["run_005"] | after["run_999"]
    assert commit.removed == before["run_005"] | before["run_007"]
    assert {*commit.written} == {"run_005", "run_999"}
    assert commit.disappeared == {"run_007"}
    unchanged = before.keys() - {"run_005", "run_007"}
    assert {run: after[run] for run in unchanged} == {run: before[run] for run in unchanged}
    again = export(made)
    assert (lake.versions, again.targets[0].status, again.rows_read) == (2, "unchanged", 0)
    assert len(descriptor(lake.folder / "_datapackage.json")["resources"]) == 100


def test_a_run_that_disappears_alone_is_removed(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", *map(spec, ("run_a", "run_b", "run_c")))
    made = lake.config(runs)
    export(made)
    gone = lake.files()["run_b"]
    shutil.rmtree(runs / "run_b")
    report = export(made)
    commit = lake.commit()
    assert (commit.added, commit.removed, commit.disappeared) == (frozenset(), gone, {"run_b"})
    assert (report.targets[0].status, report.targets[0].rows) == ("exported", 24)
    assert "1 run that the source does not give any more" in report.notes[0]
    assert export(made).targets[0].status == "unchanged"
    assert lake.versions == 2


def test_export_verify_import(tmp_path: Path, lake: Lake) -> None:
    values = (1.5, NAN, INF, -INF, -0.0, 1e-310)
    specs = [spec(f"run {n}", values=values, run_id=f"{text}{n}") for n, text in enumerate(ODD)]
    runs = write_runs(tmp_path / "runs", *specs)
    export(lake.config(runs, partition_by=["run_id", "measure"]))
    found = verify(str(lake.folder), str(runs))
    assert found.ok, found.as_text()
    assert found.comparisons[0].values == len(specs) * 3 * len(values)
    import_export([str(lake.folder)], str(tmp_path / "back"))
    for run in runs.iterdir():
        for series in (run / "series").glob("*.csv"):
            assert (tmp_path / "back" / run.name / "series" / series.name).read_bytes() == (
                series.read_bytes()
            )
    expected = {run.run_id for run in read_runs(runs)}
    assert {*lake.scan().collect()["run_id"]} == expected
    for run_id in expected:
        text = run_id.replace("'", "''")
        assert query(lake.dataset(), f"run_id = '{text}'").num_rows == 3 * len(values)


@pytest.mark.parametrize("partition_by", [[], ["source"], ["created_month"]], ids=str)
def test_partitions_and_nulls(tmp_path: Path, lake: Lake, partition_by: list[str]) -> None:
    sources = {"run_a": "plant", "run_b": None, "run_c": "a b%20'c"}
    runs = write_runs(
        tmp_path / "runs",
        *(spec(name, extra={"source": source}) for name, source in sources.items()),
    )
    blocks = {"metadata": {"columns": ["run_id", "source", "created_month"]}}
    made = lake.config(runs, blocks=blocks, partition_by=partition_by)
    export(made)
    table = lake.scan().select("run_id", "source").unique().sort("run_id").collect()
    assert dict(table.iter_rows()) == sources
    assert query(lake.dataset(), "source IS NULL")["run_id"].unique().to_pylist() == ["run_b"]
    assert verify(str(lake.folder), str(runs)).ok
    write_runs(runs, spec("run_b", values=(7.0,), extra={"source": None}))
    export(made)
    assert {*lake.commit().written} == {"run_b"}
    assert (len(lake.commit().added), len(lake.commit().removed)) == (1, 1)


def test_partitions_of_other_types(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    constants = {"team": 7, "is_test": True, "place": "a=b/c d%"}
    blocks = {"metadata": {"columns": ["run_id"], "constants": constants}}
    export(lake.config(runs, blocks=blocks, partition_by=[*constants]))
    found = lake.scan().select(*constants).unique().collect().to_dicts()
    assert found == [constants]
    assert query(lake.dataset(), "team = 7 AND is_test AND place = 'a=b/c d%'").num_rows == 24
    assert verify(str(lake.folder), str(runs)).ok
    write_runs(runs, spec("run_b", values=(1.0,)))
    export(lake.config(runs, blocks=blocks, partition_by=[*constants]))
    assert (len(lake.commit().added), len(lake.commit().removed)) == (1, 1)


def test_an_empty_text_is_no_partition_of_delta(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    blocks = {"metadata": {"columns": ["run_id"], "constants": {"team": ""}}}
    with pytest.raises(ConfigError, match="empty text"):
        export(DeltaLake(tmp_path / "d").config(runs, blocks=blocks, partition_by=["team"]))
    lake = IcebergLake(tmp_path / "i")
    export(lake.config(runs, blocks=blocks, partition_by=["team"]))
    assert lake.scan().collect()["team"].unique().to_list() == [""]


def test_layouts_and_instants(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a", values=(1.0, NAN, 2.0)), spec("run_b"))
    blocks = {"metadata": {"columns": ["run_id", "created_at", "seed"]}}
    made = lake.config(runs, blocks=blocks, layout="wide", max_rows_per_file=2)
    export(made)
    schema = whole(lake).schema
    for name in ("time_bin", "created_at"):
        assert schema.field(name).type == pa.timestamp("us", "UTC")
    assert (schema.field("arrivals").type, schema.field("seed").type) == (pa.float64(), pa.int64())
    assert verify(str(lake.folder), str(runs)).ok
    write_runs(runs, spec("run_c", "errors@A@DEFAULT"))
    export(made)
    assert "errors" in whole(lake).schema.names
    assert verify(str(lake.folder), str(runs)).ok
    assert lake.versions == 2


FILTERS = {
    "> 100": pc.field("value") > 100,
    ">= 7": pc.field("value") >= 7,
    "<> 7": pc.field("value") != 7,
    "= 0": pc.field("value") == 0,
    "< 1": pc.field("value") < 1,
    "> 6": pc.field("value") > 6,
}


def kept(lake: Lake, condition: pc.Expression) -> pa.Table:
    """Rows that a condition keeps, with the bounds of the log where the reader has them."""
    found = lake.dataset()
    return (
        found.filter(condition) if isinstance(found, pa.Table) else found.to_table(filter=condition)
    )


def test_readers_that_skip_files_find_nan(tmp_path: Path, lake: Lake) -> None:
    shapes: list[tuple[float, ...]] = [
        (7.0, NAN, 7.0),
        (NAN, NAN),
        (1.0, 2.0),
        (-0.0, 0.0),
        (INF, 5.0),
    ]
    runs = write_runs(
        tmp_path / "runs",
        *(spec(f"run_{n}", "arrivals@A@X", values=shape) for n, shape in enumerate(shapes)),
    )
    export(lake.config(runs))
    everything = whole(lake)
    for condition in ("> 100", ">= 7", "<> 7", "= 0", "< 1", "= 'nan'::DOUBLE", "> 6"):
        with_pruning = query(lake.dataset(), f"value {condition}")
        assert rows(with_pruning) == rows(query(everything, f"value {condition}")), condition
        if isinstance(lake, IcebergLake) and "nan" not in condition:
            wanted_by_name = f"value {condition.replace('<>', '!=')}"
            own = lake.table.scan(row_filter=wanted_by_name).to_arrow()
            assert rows(own) == rows(everything.filter(FILTERS[condition]))
    for condition, filtered in FILTERS.items():
        found = kept(lake, filtered)
        assert rows(found) == rows(everything.filter(filtered)), condition
    frame = lake.scan()
    for wanted in (pl.col("value") > 100, pl.col("value") != 7, pl.col("value").is_nan()):
        assert frame.filter(wanted).collect().height == frame.collect().filter(wanted).height


def test_readers_that_skip_files_find_nulls(tmp_path: Path, lake: Lake) -> None:
    """Beside NaN, of a column without statistics in the file itself."""
    ids = ("arrivals@A@X", "served@A@X", "arrivals@B@X")
    runs = write_runs(
        tmp_path / "runs",
        spec("run_a", *ids, values=(1.0, NAN)),
        spec("run_b", "arrivals@A@X", values=(1.0, 2.0)),
        spec("run_c", *ids, values=(3.0, INF)),
    )
    export(lake.config(runs, layout="wide"))
    everything, frame = whole(lake), lake.scan()
    for name in ("arrivals", "served"):
        column = pc.field(name)
        for condition in (column.is_null(), column.is_valid(), pc.is_nan(column), column > 2):
            assert kept(lake, condition).num_rows == everything.filter(condition).num_rows
        for wanted in (pl.col(name).is_null(), pl.col(name).is_nan(), pl.col(name) > 2):
            assert frame.filter(wanted).collect().height == frame.collect().filter(wanted).height
    if isinstance(lake, IcebergLake):
        assert lake.table.scan(row_filter="served IS NULL").to_arrow().num_rows == 6


def test_readers_that_skip_files_find_all_texts(tmp_path: Path, lake: Lake) -> None:
    """A bound that is cut off holds all texts; without one in some files rows were lost."""
    titles = ["a" * 200, "a" * 128 + "z", "b", "\U00020000", "\U0010ffff" * 140, ""]
    runs = write_runs(
        tmp_path / "runs",
        *(spec(f"run_{n}", "arrivals@A@X", title=title) for n, title in enumerate(titles)),
    )
    export(lake.config(runs, blocks={"metadata": {"columns": ["run_id", "model_title"]}}))
    frame = lake.scan()
    for title in titles[:-1]:
        assert kept(lake, pc.field("model_title") == title).num_rows == 4
        assert frame.filter(pl.col("model_title") == title).collect().height == 4
    beyond = pc.field("model_title") > "a" * 150
    assert kept(lake, beyond).num_rows == 20
    assert kept(lake, pc.field("model_title").is_null()).num_rows == 4


def test_a_metadata_column_is_added(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    export(lake.config(runs))
    wider = lake.config(runs, blocks={"metadata": {"columns": ["run_id", "unit", "kind"]}})
    export(wider)
    assert lake.versions == 2
    assert "kind" in lake.scan().collect_schema().names()
    assert "kind" not in lake.dataset(0).schema.names
    assert lake.scan().collect().height == 24
    export(lake.config(runs))
    assert "kind" not in lake.scan().collect_schema().names()
    assert lake.versions == 3
    assert verify(str(lake.folder), str(runs)).ok


def test_partitions_are_changed(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    export(lake.config(runs))
    export(lake.config(runs, partition_by=["measure"]))
    assert lake.versions == 2
    assert query(lake.dataset(), "measure = 'arrivals'").num_rows == 8
    assert verify(str(lake.folder), str(runs)).ok


def test_a_column_changes_its_type(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    for team in (7, "ops"):
        blocks = {"metadata": {"columns": ["run_id"], "constants": {"team": team}}}
        export(lake.config(runs, blocks=blocks))
        assert lake.scan().collect()["team"].unique().to_list() == [team]
    assert verify(str(lake.folder), str(runs)).ok
    if isinstance(lake, IcebergLake):
        export(lake.config(runs, blocks=blocks, partition_by=["team"]))
        blocks = {"metadata": {"columns": ["run_id"], "constants": {"team": 7}}}
        with pytest.raises(SinkError, match="'team' would have another type"):
            export(lake.config(runs, blocks=blocks))
        assert lake.scan().collect()["team"].unique().to_list() == ["ops"]


def test_names_of_delta_columns(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    for rename, message in (
        ({"component_id": "the node"}, "column 'the node' holds ' '"),
        ({"component_id": "Class"}, "case does not count"),
    ):
        with pytest.raises(ConfigError, match=message):
            export(lake.config(runs, blocks={"transform": {"rename": rename}}))
    export(lake.config(runs, blocks={"transform": {"rename": {"component_id": "größe.é"}}}))
    assert "größe.é" in lake.scan().collect_schema().names()


def test_each_commit_is_a_transaction_of_its_own(tmp_path: Path) -> None:
    """By an application's version that goes up by one: readers identify commits by it."""
    lake = DeltaLake(tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"))

    def transactions() -> list[list[tuple[str, int]]]:
        logs = sorted((lake.folder / "_delta_log").glob("*.json"))
        actions = [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]
        return [
            [(one["txn"]["appId"], one["txn"]["version"]) for one in commit if "txn" in one]
            for commit in actions
        ]

    export(lake.config(runs))
    write_runs(runs, spec("run_b"))
    export(lake.config(runs))
    more = {"metadata": {"columns": ["run_id", "unit", "kind"]}}
    export(lake.config(runs, blocks=more))  # another schema
    export(lake.config(runs, blocks=more, partition_by=["run_id"]))  # a table that is made anew
    assert transactions() == [[("flowtime-export", number)] for number in range(4)]
    assert DeltaTable(lake.folder).transaction_version("flowtime-export") == 3
    same = export(lake.config(runs, blocks=more, partition_by=["run_id"]))
    assert same.targets[0].status == "unchanged"
    assert len(transactions()) == 4


def test_tables_of_both_formats_at_once(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    lakes = [made(tmp_path / form) for form, made in LAKES.items()]
    sinks = [sink for lake in lakes for sink in lake.config(runs).sinks]
    made = lakes[0].config(runs).model_copy(update={"sinks": tuple(sinks)})
    export(made)
    write_runs(runs, spec("run_b", values=(1.0,)))
    report = export(made)
    assert [one.format for one in report.targets] == [*LAKES]
    assert [lake.versions for lake in lakes] == [2, 2]
    assert rows(whole(lakes[0])) == rows(whole(lakes[1]))


def test_a_data_set_becomes_a_table_and_not_back(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    data_set = config(runs, {"format": "parquet", "path": f"{lake.folder}/"})
    export(data_set)
    export(lake.config(runs))
    assert len([*lake.folder.glob("*.parquet")]) == 1
    assert verify(str(lake.folder), str(runs)).ok
    with pytest.raises(PublishConflictError, match=r"is the folder of a \w+ table"):
        export(data_set)
    assert verify(str(lake.folder), str(runs)).ok


def test_columns_without_the_run(tmp_path: Path) -> None:
    """Runs whose rows are the same, in the columns that are written, are runs all the same."""
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    lake = DeltaLake(tmp_path / "gold")
    export(lake.config(runs, columns=["time_bin", "value"], partition_by=["measure"]))
    assert lake.scan().collect().height == 24
    assert len(lake.commit().added) == 4


def test_time_travel_after_ten_exports(tmp_path: Path, lake: Lake) -> None:
    runs = tmp_path / "runs"
    expected = []
    for number in range(10):
        # Every other export brings back what was there two before.
        write_runs(runs, spec("run_a", values=(float(number % 2), 2.0)), spec(f"run_{number}"))
        export(lake.config(runs))
        expected.append(rows(whole(lake)))
    assert lake.versions == 10
    for number, wanted in enumerate(expected):
        assert rows(whole(lake, number)) == wanted


def test_the_table_exists(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs, if_exists="error"))
    assert export(lake.config(runs, if_exists="error")).targets[0].status == "unchanged"
    write_runs(runs, spec("run_b"))
    with pytest.raises(PublishConflictError, match="if_exists is error"):
        export(lake.config(runs, if_exists="error"))
    assert export(lake.config(runs, if_exists="skip")).targets[0].status in ("kept", "unchanged")
    assert lake.versions == 1
    export(lake.config(runs))
    assert (lake.versions, lake.files().keys()) == (2, {"run_a", "run_b"})


def test_a_filter_leaves_no_row(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b", values=(50.0, 60.0)))
    blocks = {"transform": {"filter": "value > 40"}}
    made = lake.config(runs, blocks=blocks, partition_by=["measure"])
    export(made)
    assert rows(whole(lake)).total() == 6
    assert export(made).targets[0].status == "unchanged"
    assert verify(str(lake.folder)).ok
