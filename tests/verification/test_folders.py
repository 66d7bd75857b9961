"""`verify` over a folder that holds several exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli.main import run_cli
from pipeline.exports.run import export
from pipeline.verification import verify
from tests.exporting import config, spec, write_runs

Streams = pytest.CaptureFixture[str]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A file for each run in three formats, and a data set for each run."""
    runs = write_runs(tmp_path / "runs", *(spec(f"run_{one}") for one in "abc"))
    folder = tmp_path / "out"
    sinks = [{"path": f"{folder}/{{run_id}}.{form}"} for form in ("csv", "ndjson", "parquet")]
    data_set = {"format": "parquet", "path": f"{folder}/sets/{{run_id}}/"}
    export(config(runs, *sinks, data_set))
    return folder


def test_all_of_it_is_verified(out: Path) -> None:
    report = verify(str(out), str(out.parent / "runs"))
    assert report.ok
    assert len(report.descriptors) == 6
    assert len(report.files) == 12
    assert sum(one.values for one in report.comparisons) == 12 * 12
    assert "as promised by 6 descriptors" in report.as_text()
    assert verify(str(out / "sets")).ok


@pytest.mark.parametrize("name", ["run_b.csv", "run_c.ndjson", "run_a.parquet"])
@pytest.mark.parametrize("damage", ["byte", "gone"])
def test_what_is_wrong_with_one_is_noticed(
    out: Path, name: str, damage: str, capsys: Streams
) -> None:
    file = out / name
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-2] + b"x\n")
    assert run_cli(["verify", str(out), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in found["files"] if one["problems"]] == [name]
    assert len(found["files"]) == 12


def test_a_descriptor_that_is_damaged_hides_no_other(out: Path) -> None:
    (out / "run_b.datapackage.json").write_text("{")
    report = verify(str(out))
    assert not report.ok
    assert [file.path for file in report.files if file.problems] == ["run_b.datapackage.json"]
    assert len(report.files) == 10


def test_a_folder_of_one_export_is_as_before(out: Path, tmp_path: Path) -> None:
    report = verify(str(out / "sets" / "run_a"))
    assert (report.ok, report.descriptors) == (True, ())
    assert report.descriptor == f"{out}/sets/run_a/_datapackage.json"
    (tmp_path / "empty").mkdir()
    assert run_cli(["verify", str(tmp_path / "empty")]) == 1
    assert run_cli(["verify", str(tmp_path / "nowhere")]) == 1
