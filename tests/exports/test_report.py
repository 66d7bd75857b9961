"""Reports for people: what many runs have in common is said once."""

from __future__ import annotations

from pathlib import Path

from connectors.flowtime.discover.discovery import discover
from connectors.storage import connect
from pipeline.cli.output.render import runs_as_lines
from pipeline.exports.run import export
from tests.exporting import config, spec, write_runs


def test_a_note_that_runs_share_is_one_line_that_names_some(tmp_path: Path) -> None:
    names = [f"run_{letter}" for letter in "abcde"]
    write_runs(tmp_path / "runs", *(spec(name, origin=None) for name in names))
    report = export(config(tmp_path / "runs", {"path": tmp_path / "out.csv"}))
    (line,) = [line for line in report.as_text().splitlines() if "time origin assumed" in line]
    assert line.startswith("  note: 5 runs (run_a, run_b, run_c, ...): time origin assumed")
    notes = report.as_json()["notes"]
    assert [note.split(":")[0] for note in notes] == [f"run {name}" for name in names]


def test_a_note_of_one_run_names_it(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b", origin=None))
    text = export(config(runs, {"path": tmp_path / "out.csv"})).as_text()
    assert "  note: run run_b: time origin assumed" in text


def test_a_run_whose_folder_has_another_name_is_listed_with_its_place(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("folder", run_id="run_b"))
    _, first, second = runs_as_lines(discover(*connect(str(runs))))
    assert first.endswith("complete")
    assert second.endswith(f"complete  {runs}/folder")
