"""Data sets of many files, and the one descriptor that says which of them count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset
import pytest

from pipeline.errors import ConfigError
from pipeline.exports.run import export
from pipeline.verification import verify
from tests.exporting import config, descriptor, names, spec, write_runs
from tests.read_outputs import exact, read_runs
from tests.run_builder import AWKWARD, write_run

IDS = ("arrivals@A@DEFAULT", "served@A@DEFAULT", "arrivals@B@Order", "served@B@Order")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs",
        spec("run_a", *IDS, values=AWKWARD),
        spec("run_b", *IDS, values=AWKWARD[::-1]),
        spec("run_c", *IDS, kinds=False),
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def expected(runs: Path) -> list[tuple[Any, ...]]:
    rows = [row for run in read_runs(runs) for row in run.rows]
    return sorted(exact(rows))


def found(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(exact(rows))


def data_files(folder: Path) -> list[str]:
    return [name for name in names(folder) if not name.endswith(".json")]


def listed(path: Path) -> list[str]:
    return sorted(resource["path"] for resource in descriptor(path)["resources"])


def test_hive_folders_in_duckdb_and_arrow(runs: Path, out: Path) -> None:
    sink = {"path": out / "parquet", "partition_by": ["run_id", "measure"]}
    export(config(runs, sink))
    folder = out / "parquet"
    assert {name.rpartition("/")[0] for name in data_files(folder)} == {
        f"run_id=run_{run}/measure={measure}" for run in "abc" for measure in ("arrivals", "served")
    }
    assert listed(folder / "_datapackage.json") == data_files(folder)
    query = (
        "select strftime(time_bin::timestamp, '%Y-%m-%dT%H:%M:%SZ'), component_id, measure, "
        "class, value from read_parquet(?, hive_partitioning=true)"
    )
    with duckdb.connect() as session:
        session.execute("set timezone = 'UTC'")
        rows = session.execute(query, [f"{folder}/**/*.parquet"]).fetchall()
    assert found(rows) == expected(runs)
    dataset = pyarrow.dataset.dataset(folder, format="parquet", partitioning="hive")
    frame = pl.DataFrame(dataset.to_table())
    assert set(dataset.schema.names) == {*frame.columns} >= {"run_id", "measure", "value", "unit"}
    text = pl.col("time_bin").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    picked = frame.select(text, "component_id", pl.col("measure").cast(pl.String), "class", "value")
    assert found(picked.rows()) == expected(runs)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_hive_folders_of_text_formats(runs: Path, out: Path, form: str) -> None:
    export(config(runs, {"path": out / form, "partition_by": ["class"]}))
    folders = {name.rpartition("/")[0] for name in data_files(out / form)}
    assert folders == {"class=DEFAULT", "class=Order"}
    reader = "read_csv(?, comment='#'" if form == "csv" else "read_ndjson(?"
    query = f"select class, count(*) from {reader}, hive_partitioning=true) group by 1 order by 1"
    rows = duckdb.execute(query, [f"{out / form}/**/*.{form}"]).fetchall()
    assert rows == [("DEFAULT", 2 * (20 + 20 + 4)), ("Order", 2 * (20 + 20 + 4))]


def test_a_missing_partition_value_and_odd_ones(tmp_path: Path, out: Path) -> None:
    source = write_runs(tmp_path / "runs", spec("run_a", "served@A@DEFAULT"))
    write_run(source, spec("run_b", "served@A@DEFAULT", kinds=False))
    constants = {"team": "ops/é = 1%"}
    sink = {"path": out / "parquet", "partition_by": ["kind", "team"]}
    blocks = {"columns": ["run_id", "kind"], "constants": constants}
    export(config(source, sink, metadata=blocks))
    folders = sorted({name.rpartition("/")[0] for name in data_files(out / "parquet")})
    tail = "team=ops%2F%C3%A9 %3D 1%25"
    assert folders == [f"kind=__HIVE_DEFAULT_PARTITION__/{tail}", f"kind=flow/{tail}"]
    files = f"{out}/parquet/**/*.parquet"
    query = "select run_id, kind, team from read_parquet(?, hive_partitioning=true) group by all"
    rows = sorted(duckdb.execute(query, [files]).fetchall())
    assert rows == [("run_a", "flow", "ops/é = 1%"), ("run_b", None, "ops/é = 1%")]


@pytest.mark.parametrize("most", [1, 7, 80, 10_000])
def test_files_of_bounded_length(runs: Path, out: Path, most: int) -> None:
    export(config(runs, {"path": out / "parquet", "max_rows_per_file": most}))
    files = data_files(out / "parquet")
    heights = [pl.read_parquet(out / "parquet" / name).height for name in files]
    total = len(expected(runs))
    assert heights == [most] * (total // most) + [total % most] * (total % most > 0)
    frames = [pl.read_parquet(out / "parquet" / name) for name in files]
    whole = pl.concat(frames)
    export(config(runs, {"path": out / "one.parquet"}))
    assert whole.equals(pl.read_parquet(out / "one.parquet"), null_equal=True)


def test_replaced_files_are_removed_and_others_are_not(runs: Path, out: Path) -> None:
    settings = config(runs, {"path": out / "set-csv", "partition_by": ["run_id"]})
    export(settings)
    (out / "set-csv" / "notes.txt").write_text("mine")
    before = data_files(out / "set-csv")
    write_run(runs, spec("run_c", *IDS, values=[1.0]))
    export(settings)
    after = data_files(out / "set-csv")
    assert listed(out / "set-csv" / "_datapackage.json") == [n for n in after if n != "notes.txt"]
    assert set(before) & set(after) == {"notes.txt"}
    assert len(after) == len(before) == 4


def test_fewer_runs_leave_no_file_behind(runs: Path, out: Path) -> None:
    sink = {"path": out / "set-parquet", "partition_by": ["run_id"], "max_rows_per_file": 9}
    export(config(runs, sink))
    export(config(runs, sink, source={"include": ["run_c"]}))
    files = data_files(out / "set-parquet")
    assert files == listed(out / "set-parquet" / "_datapackage.json")
    assert all(name.startswith("run_id=run_c/") for name in files)
    assert [
        run["id"]
        for run in descriptor(out / "set-parquet" / "_datapackage.json")["flowtime"]["runs"]
    ] == ["run_c"]


def test_one_descriptor_for_all_formats_of_a_stem(runs: Path, out: Path) -> None:
    paths = [f"{out}/e.{end}" for end in ("csv", "ndjson.gz", "parquet")]
    export(config(runs, *({"path": path} for path in paths)))
    assert names(out) == ["e.csv", "e.datapackage.json", "e.ndjson.gz", "e.parquet"]
    before = descriptor(out / "e.datapackage.json")
    assert listed(out / "e.datapackage.json") == ["e.csv", "e.ndjson.gz", "e.parquet"]
    export(config(runs, {"path": paths[0], "columns": ["time_bin", "value"]}))
    after = descriptor(out / "e.datapackage.json")
    kept = [r for r in before["resources"] if r["path"] != "e.csv"]
    assert [r for r in after["resources"] if r["path"] != "e.csv"] == kept
    (csv,) = [r for r in after["resources"] if r["path"] == "e.csv"]
    assert [field["name"] for field in csv["schema"]["fields"]] == ["time_bin", "value"]


def test_two_formats_share_a_folder(runs: Path, out: Path) -> None:
    both = [{"path": out, "format": form} for form in ("csv", "parquet")]
    export(config(runs, *both))
    only_orders = {"filter": "class = 'Order'"}
    report = export(config(runs, *both, transform=only_orders))
    assert [target.status for target in report.targets] == ["exported", "exported"]
    files = data_files(out)
    assert sorted(Path(name).suffix for name in files) == [".csv", ".parquet"]
    assert listed(out / "_datapackage.json") == files


def test_a_descriptor_of_something_else_is_left_alone(runs: Path, out: Path) -> None:
    out.mkdir()
    other = '{"name": "mine", "resources": []}'
    (out / "e.datapackage.json").write_text(other)
    with pytest.raises(Exception, match="descriptor of something else"):
        export(config(runs, {"path": out / "e.csv"}))
    assert names(out) == ["e.datapackage.json"]
    assert (out / "e.datapackage.json").read_text() == other


# --- columns --------------------------------------------------------------------------------


def test_columns_constants_and_new_names(runs: Path, out: Path) -> None:
    export(
        config(
            runs,
            {"path": out / "e.parquet"},
            {
                "path": out / "few.csv",
                "columns": ["node", "team", "value"],
                "metadata_header": False,
            },
            metadata={
                "columns": ["series_id", "bin_index", "kind", "seed", "created_at"],
                "constants": {"team": "ops", "rank": 3, "share": 0.5, "final": True},
            },
            transform={"rename": {"component_id": "node"}},
        )
    )
    frame = pl.read_parquet(out / "e.parquet")
    assert dict(frame.schema) == {
        "time_bin": pl.Datetime("us", "UTC"),
        "node": pl.String,
        "measure": pl.String,
        "class": pl.String,
        "value": pl.Float64,
        "series_id": pl.String,
        "bin_index": pl.Int64,
        "kind": pl.String,
        "seed": pl.Int64,
        "created_at": pl.Datetime("us", "UTC"),
        "team": pl.String,
        "rank": pl.Int64,
        "share": pl.Float64,
        "final": pl.Boolean,
    }
    assert frame["seed"].unique().to_list() == [42]
    assert frame.row(21)[5:8] == ("served@A@DEFAULT", 1, "state")
    assert frame.row(0)[10:] == ("ops", 3, 0.5, True)
    assert (out / "few.csv").read_text().splitlines()[:2] == ["node,team,value", "A,ops,93.0"]


@pytest.mark.parametrize("path", ["e.csv", "e.ndjson", "e.parquet", "set-parquet", "wide.csv"])
def test_no_row_is_left(runs: Path, out: Path, path: str) -> None:
    sink: dict[str, Any] = {"path": out / path}
    if path.startswith("wide"):
        sink["layout"] = "wide"
    report = export(config(runs, sink, transform={"filter": "value > 1e300 and value < 0"}))
    assert (report.targets[0].status, report.targets[0].rows) == ("exported", 0)
    folder = out / path if path.startswith("set") else out
    (place,) = folder.glob("*datapackage.json")
    (resource,) = descriptor(place)["resources"]
    assert resource["rowCount"] == 0
    if path == "e.parquet":
        assert pl.read_parquet(out / path).columns[:5] == [
            "time_bin",
            "component_id",
            "measure",
            "class",
            "value",
        ]


def test_a_run_without_a_wanted_series(runs: Path, out: Path) -> None:
    write_run(runs, spec("run_d", "queue@Q@DEFAULT"))
    settings = config(
        runs, {"path": f"{out}/{{run_id}}.csv"}, source={"series": {"measures": ["queue"]}}
    )
    report = export(settings)
    assert {Path(t.url).stem: t.rows for t in report.targets} == {
        "run_a": 0,
        "run_b": 0,
        "run_c": 0,
        "run_d": 4,
    }
    assert {t.status for t in export(settings).targets} == {"unchanged"}


@pytest.mark.parametrize(
    ("sink", "complaint"),
    [
        ({"columns": ["time_bin", "valu"]}, "'valu'.*value"),
        ({"partition_by": ["component"]}, "'component'.*component_id"),
        ({"partition_by": ["value"]}, "cannot name folders"),
        ({"partition_by": ["time_bin"]}, "cannot name folders"),
        ({"layout": "wide", "partition_by": ["measure"]}, "measure"),
    ],
)
def test_columns_that_are_not_there(
    runs: Path, out: Path, sink: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((ConfigError, ValueError), match=complaint):
        export(config(runs, {"path": out / "set-csv", **sink}))
    assert not out.exists()


CONSTANTS = {"team": "ops", "floor": 3, "is_final": True}


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize(
    "sink",
    [
        {"partition_by": ["team"]},
        {"partition_by": ["floor"], "layout": "wide"},
        {"partition_by": ["is_final", "team"], "columns": ["value"]},
        {"partition_by": ["team", "run_id"], "max_rows_per_file": 7},
        {"columns": ["team"]},
    ],
    ids=str,
)
def test_constants_alone_are_columns_like_others(
    runs: Path, out: Path, form: str, sink: dict[str, Any]
) -> None:
    wanted = config(runs, {"format": form, "path": out, **sink}, metadata={"constants": CONSTANTS})
    report = export(wanted)
    rows = len(expected(runs)) // (2 if "layout" in sink else 1)
    assert report.targets[0].rows == rows
    reader = {"csv": "read_csv", "ndjson": "read_json", "parquet": "read_parquet"}[form]
    options = ", comment='#', header=true, delim=',', quote='\"'" if form == "csv" else ""
    files = f"'{out}/**/part-*', hive_partitioning=true, hive_types_autocast=false{options}"
    found = duckdb.sql(f"SELECT * FROM {reader}({files})")
    for name in sink.get("partition_by", sink.get("columns", ())):
        if name in CONSTANTS:
            text = str(CONSTANTS[name]).lower()
            assert found.filter(f"\"{name}\"::text = '{text}'").shape[0] == rows
    has_values = sink != {"columns": ["team"]}
    assert verify(str(out), str(runs) if has_values else None).ok
