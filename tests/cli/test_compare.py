"""The verb `compare`: its report, its outputs and its exit codes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipeline.cli.main import run_cli
from pipeline.verification import verify
from tests.exporting import names, snapshot, spec, write_runs
from tests.run_builder import RunSpec

METRICS = (
    "n", "nanBoth", "nanBaselineOnly", "nanComparisonOnly", "outOfTolerance", "maxAbs",
    "meanDifference", "mae", "rmse", "smape", "percentChange", "correlation",
)  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    base = {
        "served@A@DEFAULT": [1.0, 2.0, 3.0, 4.0],
        "errors@A@DEFAULT": [0.0, 0.0, math.nan, math.inf],
        "queue@A@DEFAULT": [5.0, 5.0, 5.0, 5.0],
    }
    other = {
        "served@A@DEFAULT": [1.0, 2.0, 3.0, 5.0],
        "errors@A@DEFAULT": [0.0, 1.0, math.nan, math.inf],
        "arrivals@A@DEFAULT": [5.0, 5.0, 5.0, 5.0],
    }
    return write_runs(tmp_path / "runs", RunSpec("base", base), RunSpec("other", other))


def cli(runs: Path, *arguments: str) -> int:
    return run_cli(["compare", str(runs / "base"), str(runs / "other"), *arguments])


def test_json_is_that_of_the_contract(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(runs, "--json", "--tolerance", "absolute=1e-9,relative=1e-6") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"grid", "method", "bins", "from", "to"} <= found["alignment"].keys()
    assert found["definitions"]["smape"].startswith("mean of 2|d|/(|a|+|b|), 0 to 2, 0/0 = 0")
    assert found["onlyInBaseline"] == ["queue@A@DEFAULT"]
    assert found["onlyInComparison"] == ["arrivals@A@DEFAULT"]
    assert found["summary"] == {"equal": 0, "within": 0, "different": 2}
    served, errors = found["series"]
    assert {"seriesId", "unit", "kind", "status", *METRICS} <= served.keys()
    assert {name: served[name] for name in METRICS} == {
        "n": 4, "nanBoth": 0, "nanBaselineOnly": 0, "nanComparisonOnly": 0, "outOfTolerance": 1,
        "maxAbs": 1.0, "meanDifference": 0.25, "mae": 0.25, "rmse": 0.5,
        "smape": pytest.approx(2 / 9 / 4), "percentChange": 10.0,
        "correlation": pytest.approx(0.9827076298239908),
    }  # fmt: skip
    assert {name: errors[name] for name in METRICS} == {
        "n": 3, "nanBoth": 1, "nanBaselineOnly": 0, "nanComparisonOnly": 0, "outOfTolerance": 1,
        "maxAbs": 1.0, "meanDifference": pytest.approx(1 / 3), "mae": pytest.approx(1 / 3),
        "rmse": pytest.approx(math.sqrt(1 / 3)), "smape": pytest.approx(2 / 3),
        "percentChange": None, "correlation": None,
    }  # fmt: skip
    assert errors["percentChangeUndefined"] == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 0),
        (["--fail-on", "different"], 4),
        (["--fail-on", "missing"], 4),
        (["--fail-on", "any"], 4),
        (["--fail-on", "different", "--tolerance", "absolute=1"], 0),
        (["--fail-on", "missing", "--tolerance", "absolute=1"], 4),
        (["--fail-on", "never"], 2),
        (["--tolerance", "absolut=1"], 2),
        (["--map", "A"], 2),
        (["--aggregation", "flow=average"], 2),
        (["--out", "differences.xlsx"], 2),
    ],
)
def test_exit_codes(runs: Path, arguments: list[str], code: int) -> None:
    assert cli(runs, *arguments) == code


def test_the_table_is_worst_first(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli(runs)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "base and other: 0 equal, 0 within, 2 different, 2 on one side only"
    assert [line.split()[0] for line in lines[3:5]] == ["errors@A@DEFAULT", "served@A@DEFAULT"]
    assert "  only in the baseline: queue@A@DEFAULT" in lines


def test_outputs_are_read_by_others(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    paths = [out / name for name in ("d.csv", "d.ndjson.gz", "d.parquet", "d.html")]
    assert cli(runs, *(part for path in paths for part in ("--out", str(path)))) == 0
    assert verify(str(out / "d.datapackage.json")).ok
    frames = [
        pl.read_csv(paths[0], comment_prefix="#", try_parse_dates=True),
        pl.read_parquet(paths[2]),
        duckdb.sql(f"SELECT * FROM read_json('{paths[1]}')").pl(),
        duckdb.sql(f"SELECT * FROM '{paths[2]}' WHERE difference = 1").pl(),
    ]
    names_of_columns = [
        "time_bin", "component_id", "measure", "class", "baseline", "comparison", "difference",
        "percent_change",
    ]  # fmt: skip
    for frame in frames:
        assert frame.columns == names_of_columns
    assert [frame.height for frame in frames] == [8, 8, 8, 2]
    served = frames[1].filter(pl.col("measure") == "served")
    assert served["difference"].to_list() == [0.0, 0.0, 0.0, 1.0]
    assert served["percent_change"].to_list() == [0.0, 0.0, 0.0, 25.0]
    errors = frames[1].filter(pl.col("measure") == "errors")
    assert errors["percent_change"].to_list() == [0.0, None, None, 0.0]
    assert errors["difference"].is_nan().to_list() == [False, False, True, False]


def test_writing_again_keeps_what_is_beside(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for form in ("csv", "parquet", "csv"):
        assert cli(runs, "--out", str(out / f"d.{form}")) == 0
    listed = json.loads((out / "d.datapackage.json").read_text())["resources"]
    assert sorted(one["path"] for one in listed) == ["d.csv", "d.parquet"]
    before = (out / "d.csv").read_bytes()
    assert cli(runs, "--out", str(out / "d.csv")) == 0
    assert (out / "d.csv").read_bytes() == before


@pytest.mark.parametrize("out", ["other/series/d.csv", "base/d.html", "other/run.json.csv"])
def test_nothing_is_written_into_what_is_compared(
    runs: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(runs)
    assert cli(runs, "--out", str(runs / out)) == 2
    assert snapshot(runs) == before


def test_the_folder_for_exports_of_a_run_may_be_written(runs: Path) -> None:
    assert cli(runs, "--out", str(runs / "other" / "gold" / "d.csv")) == 0
    assert cli(runs) == 0


@pytest.mark.parametrize(
    "fault",
    ["broken", "units", "grid", "series", "missing"],
)
def test_wrong_input_writes_nothing(
    runs: Path, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = runs / "other"
    out = tmp_path / "out"
    if fault == "broken":
        file = other / "series" / "served@A@DEFAULT.csv"
        file.write_bytes(file.read_bytes() + b"4,1\n")
    elif fault == "units":
        index = other / "series" / "index.json"
        index.write_text(index.read_text().replace("entities/bin", "hours"))
    elif fault == "grid":
        (other / "spec.yaml").write_text('grid: {start: "2031-01-01T00:00:00Z"}\n')
    elif fault == "series":
        write_runs(runs, spec("other", "wait@Z@DEFAULT"))
    else:
        (other / "series" / "served@A@DEFAULT.csv").unlink()
    paths = [str(out / name) for name in ("d.csv", "d.parquet", "d.html")]
    assert cli(runs, *(part for path in paths for part in ("--out", path))) == 1
    assert not out.exists() or names(out) == []
    assert "other" in capsys.readouterr().err


def test_mapping_and_plain_tables(
    tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    rows = ["when;node;measure;amount"]
    rows += [f"2025-01-01T0{hour}:00:00Z;B;served;{hour + 1}" for hour in range(4)]
    table.write_text("\n".join(rows) + "\n")
    arguments: list[Any] = ["--column", "time_bin=when", "--column", "component_id=node"]
    arguments += ["--column", "value=amount", "--map", "A=B", "--json", "--fail-on", "different"]
    assert run_cli(["compare", str(runs / "base"), str(table), *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["seriesId"], one["status"]) for one in found["series"]] == [
        ("served@A@DEFAULT", "equal")
    ]
    assert found["comparison"]["type"] == "table"
