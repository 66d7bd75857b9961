"""Reports for people: what many runs have in common is said once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.flowtime.discover.discovery import discover
from connectors.storage import connect
from pipeline.cli.main import run_cli
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


@pytest.mark.parametrize(
    ("blocks", "cause"),
    [
        ({"source": {"series": {"measures": ["nope"]}}}, "no series matches source.series"),
        ({"transform": {"filter": "measure = 'nope'"}}, "no series can fulfil transform.filter"),
    ],
)
def test_tables_without_rows_are_explained(
    tmp_path: Path, blocks: dict[str, Any], cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A selection that matches nothing is likely a slip."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    made = config(runs, {"path": tmp_path / "out.csv"}, **blocks)
    note = f"{cause}: the tables have no rows"
    assert export(made).notes == (note,)
    assert export(made).notes == (note,)  # also where nothing has changed
    (tmp_path / "c.json").write_text(json.dumps(made.model_dump(mode="json", exclude_unset=True)))
    assert run_cli(["plan", str(tmp_path / "c.json")]) == 0
    assert f"  note: {note}\n" in capsys.readouterr().out
    assert export(config(runs, {"path": tmp_path / "all.csv"})).notes == ()


def test_a_note_of_one_run_names_it(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b", origin=None))
    text = export(config(runs, {"path": tmp_path / "out.csv"})).as_text()
    assert "  note: run run_b: time origin assumed" in text


def test_a_run_whose_folder_has_another_name_is_listed_with_its_place(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("folder", run_id="run_b"))
    _, first, second = runs_as_lines(discover(*connect(str(runs))))
    assert first.endswith("complete")
    assert second.endswith(f"complete  {runs}/folder")
