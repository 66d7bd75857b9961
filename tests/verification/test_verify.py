"""Exports checked, and what is wrong with them found."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.cli.main import run_cli
from pipeline.errors import IntegrityError
from pipeline.exports.run import export
from pipeline.verification import verify
from tests.exporting import config, spec, write_runs
from tests.run_builder import AWKWARD, RunSpec
from tests.servers import S3Server

FILES: dict[str, dict[str, Any]] = {
    "csv": {"path": "e.csv"},
    "bare csv": {"path": "e.csv", "metadata_header": False},
    "csv gz": {"path": "e.csv.gz"},
    "ndjson": {"path": "e.ndjson"},
    "ndjson zst": {"path": "e.ndjson.zst"},
    "parquet": {"path": "e.parquet"},
    "wide csv": {"path": "e.csv", "layout": "wide"},
    "wide parquet": {"path": "e.parquet", "layout": "wide"},
    "parts": {"path": "set-csv", "max_rows_per_file": 17},
    "folders": {"path": "set-parquet", "partition_by": ["measure"]},
}


def runs_below(folder: Path) -> Path:
    return write_runs(
        folder / "runs",
        spec("run_a", values=AWKWARD),
        spec("run_b", "served@A@Order", "served@B@Order", values=AWKWARD),
    )


def exported(folder: Path, sink: dict[str, Any], **blocks: Any) -> Path:
    """Export to a folder; give the folder with the descriptor."""
    target = folder / "out" / sink["path"]
    export(config(runs_below(folder), {**sink, "path": target}, **blocks))
    return next(target.parent.rglob("*datapackage.json")).parent


def data_files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not path.name.endswith("datapackage.json"))


def sealed(folder: Path) -> None:
    """A forger's work: size and hash in the descriptor made those of the files."""
    (path,) = folder.rglob("*datapackage.json")
    found = json.loads(path.read_text())
    for resource in found["resources"]:
        data = (folder / resource["path"]).read_bytes()
        resource["bytes"] = len(data)
        resource["hash"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path.write_text(json.dumps(found))


def problems(folder: Path, **options: Any) -> list[str]:
    report = verify(str(folder), **options)
    found = [problem for file in report.files for problem in file.problems]
    found += [problem for one in report.comparisons for problem in one.problems]
    assert report.ok == (not found)
    assert report.exit_code == (1 if found else 0)
    assert all(problem in report.as_text() for problem in found)
    return found


@pytest.mark.parametrize("sink", FILES.values(), ids=FILES)
def test_a_sound_export(tmp_path: Path, sink: dict[str, Any]) -> None:
    folder = exported(tmp_path, sink)
    report = verify(str(folder), str(tmp_path / "runs"))
    assert report.ok
    assert report.notes == ()
    assert [one.values for one in report.comparisons] == [5 * len(AWKWARD)]
    assert {file.path for file in report.files} == {
        path.relative_to(folder).as_posix() for path in data_files(folder)
    }
    assert problems(folder) == []


HARMS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a link": lambda path: (shutil.move(path, f"{path}.real"), path.symlink_to(f"{path}.real")),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
@pytest.mark.parametrize("sink", FILES.values(), ids=FILES)
def test_harm_is_found(
    tmp_path: Path, sink: dict[str, Any], harm: Callable[[Path], object]
) -> None:
    folder = exported(tmp_path, sink)
    harm(data_files(folder)[-1])
    assert len(problems(folder)) == 1


@pytest.mark.parametrize("sink", FILES.values(), ids=FILES)
def test_a_flipped_byte_is_found_anywhere(
    tmp_path_factory: pytest.TempPathFactory, sink: dict[str, Any]
) -> None:
    folder = exported(tmp_path_factory.mktemp("flip"), sink)
    path = data_files(folder)[0]
    data = path.read_bytes()

    @given(st.integers(0, len(data) - 1), st.integers(1, 255))
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )
    def flip(place: int, mask: int) -> None:
        harmed = bytearray(data)
        harmed[place] ^= mask
        path.write_bytes(harmed)
        assert len(problems(folder)) == 1

    flip()


@pytest.mark.parametrize("sink", [FILES[n] for n in ("csv", "ndjson", "wide csv", "parts")])
def test_a_forger_who_seals_is_found_by_the_rows(tmp_path: Path, sink: dict[str, Any]) -> None:
    folder = exported(tmp_path, sink)
    path = data_files(folder)[0]
    data = path.read_bytes()
    lines = data.splitlines(keepends=True)
    forgeries = {
        "swapped rows": [*lines[:-2], lines[-1], lines[-2]],
        "a row twice": [*lines, lines[-1]],
        "a row less": lines[:-1],
        "another component": [*lines[:-1], lines[-1].replace(b"A", b"B").replace(b"B", b"Q")],
        "another time": [*lines[:-1], lines[-1].replace(b"2025-01-01", b"2025-01-02")],
        "no UTF-8": [*lines[:-1], lines[-1].replace(b"2025", b"20\xff5")],
    }
    for name, forged in forgeries.items():
        path.write_bytes(b"".join(forged))
        assert path.read_bytes() != data, name
        sealed(folder)
        assert problems(folder), name
        assert "line" in problems(folder)[0] or "rows" in problems(folder)[0], name


def test_another_value_is_found_by_the_runs_alone(tmp_path: Path) -> None:
    folder = exported(tmp_path, {"path": "e.csv"})
    (path,) = data_files(folder)
    path.write_bytes(path.read_bytes().replace(b",93.0,", b",93.5,", 1))
    sealed(folder)
    assert problems(folder) == []
    (found,) = problems(folder, against=str(tmp_path / "runs"))
    assert found == (
        "run run_a, series arrivals@A@DEFAULT, bin 0: the export has 93.5, the run 93.0"
    )


def test_swapped_columns(tmp_path: Path) -> None:
    folder = exported(tmp_path, {"path": "e.csv"})
    (path,) = data_files(folder)
    lines = path.read_text().replace("time_bin,component_id", "component_id,time_bin")
    path.write_text(lines)
    sealed(folder)
    (found,) = problems(folder)
    assert "the columns are component_id, time_bin" in found


def test_swapped_files(tmp_path: Path) -> None:
    folder = exported(tmp_path, FILES["folders"])
    first, second, *_ = data_files(folder)
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    assert len(problems(folder)) == 2
    sealed(folder)
    assert problems(folder)


def test_a_forged_number_of_rows(tmp_path: Path) -> None:
    folder = exported(tmp_path, {"path": "e.csv"})
    path = folder / "e.datapackage.json"
    found = json.loads(path.read_text())
    found["resources"][0]["rowCount"] = 10**9
    path.write_text(json.dumps(found))
    (problem,) = problems(folder)
    assert problem == "has 100 rows; 1000000000 were promised"


def test_zero_is_not_minus_zero_and_nan_is_nan(tmp_path: Path) -> None:
    before = RunSpec("run_a", {"served@A@X": [0.0, -0.0, math.nan, math.inf]})
    runs = write_runs(tmp_path / "runs", before)
    export(config(runs, {"path": tmp_path / "e.csv"}))
    assert verify(str(tmp_path / "e.csv"), str(runs)).ok
    shutil.rmtree(runs)
    write_runs(runs, RunSpec("run_a", {"served@A@X": [0.0, 0.0, math.nan, -math.inf]}))
    report = verify(str(tmp_path / "e.csv"), str(runs))
    (one,) = report.comparisons
    assert (one.values, one.different) == (4, 2)
    assert "bin 1: the export has -0.0, the run 0.0" in one.problems[0]
    assert "bin 3: the export has inf, the run -inf" in one.problems[1]
    assert any("written again" in note for note in report.notes)


def test_runs_that_are_not_there(tmp_path: Path) -> None:
    folder = exported(tmp_path, {"path": "e.parquet"})
    shutil.rmtree(tmp_path / "runs" / "run_b")
    (found,) = problems(folder, against=str(tmp_path / "runs"))
    assert "run run_b is not under" in found
    series = next((tmp_path / "runs" / "run_a" / "series").glob("*.csv"))
    series.write_bytes(series.read_bytes().replace(b"93", b"94", 1))
    found = problems(folder, against=str(tmp_path / "runs"))[-1]
    assert "the run cannot be read" in found


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_a_filtered_export_is_compared_by_keys(tmp_path: Path, form: str, layout: str) -> None:
    sink = {"path": f"e.{form}", "layout": layout}
    folder = exported(tmp_path, sink, transform={"filter": "value > 1"})
    report = verify(str(folder), str(tmp_path / "runs"))
    assert report.ok
    wanted = 3 * sum(value > 1 for value in AWKWARD)
    assert report.comparisons[0].values > wanted
    assert any("rows were filtered by value > 1" in note for note in report.notes)


def test_a_filtered_export_without_keys_says_so(tmp_path: Path) -> None:
    sink = {"path": "e.csv", "columns": ["value"]}
    folder = exported(tmp_path, sink, transform={"filter": "value > 1"})
    report = verify(str(folder))
    assert report.ok
    assert any("neither time_bin nor bin_index" in note for note in report.notes)
    assert "cannot be compared" in problems(folder, against=str(tmp_path / "runs"))[0]


def test_values_written_as_null(tmp_path: Path) -> None:
    folder = exported(tmp_path, {"path": "e.ndjson", "non_finite": "null"})
    assert problems(folder, against=str(tmp_path / "runs")) == []


def test_a_lone_file_is_checked_by_its_own_metadata(tmp_path: Path) -> None:
    folder = exported(tmp_path, {"path": "e.csv"})
    (folder / "e.datapackage.json").unlink()
    path = folder / "e.csv"
    report = verify(str(path), str(tmp_path / "runs"))
    assert report.ok
    assert report.descriptor is None
    assert any("its descriptor is not there" in note for note in report.notes)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert "has 99 rows; 100 were promised" in verify(str(path)).files[0].problems[0]


def test_files_that_are_not_named_are_noted(tmp_path: Path) -> None:
    folder = exported(tmp_path, FILES["parts"])
    shutil.copy(data_files(folder)[0], folder / "part-00099-0123456789ab.csv")
    (folder / "mine.csv").write_text("mine\n")
    report = verify(str(folder))
    assert report.ok
    (note,) = report.notes
    assert "mine.csv, part-00099-0123456789ab.csv" in note


def test_several_tables_and_the_file_of_one(tmp_path: Path) -> None:
    runs = runs_below(tmp_path)
    export(config(runs, *({"path": tmp_path / f"e.{f}"} for f in ("csv", "ndjson", "parquet"))))
    assert len(verify(str(tmp_path / "e.datapackage.json")).files) == 3
    (only,) = verify(str(tmp_path / "e.csv")).files
    assert only.path == "e.csv"


def test_exports_of_other_runs_may_share_a_descriptor(tmp_path: Path) -> None:
    runs = runs_below(tmp_path)
    export(config(runs, {"path": tmp_path / "e.csv"}))
    export(config(runs, {"path": tmp_path / "e.ndjson"}, source={"include": ["run_b"]}))
    half = {"include": ["run_a"], "series": {"measures": ["served"]}}
    export(config(runs, {"path": tmp_path / "e.parquet"}, source=half))
    report = verify(str(tmp_path / "e.datapackage.json"), str(runs))
    assert report.ok
    assert sorted(one.values for one in report.comparisons) == [40, 40, 100]


def test_on_s3(tmp_path: Path, rclone_s3: S3Server) -> None:
    options = rclone_s3.options()
    url = f"s3://{rclone_s3.bucket}/{tmp_path.name}"
    lake = {"lake": {"protocol": "s3", **options.options}}
    sink = {"path": f"{url}/set-parquet", "storage": "lake", "partition_by": ["measure"]}
    export(config(runs_below(tmp_path), sink, storage=lake))
    report = verify(f"{url}/set-parquet", str(tmp_path / "runs"), options)
    assert report.ok
    assert len(report.files) == 2


def test_what_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="holds no descriptor"):
        verify(str(runs_below(tmp_path)))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = exported(tmp_path, {"path": "e.csv"})
    runs = str(tmp_path / "runs")
    assert run_cli(["verify", str(folder), "--against", runs]) == 0
    shown = capsys.readouterr().out
    assert "1 file, 100 rows, as promised" in shown
    assert "100 equal" in shown
    assert run_cli(["verify", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    (folder / "e.csv").unlink()
    assert run_cli(["verify", str(folder), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["exit_code"]) == (False, 1)
    assert found["files"][0]["problems"]
    assert run_cli(["verify", str(tmp_path / "nothing")]) == 1
