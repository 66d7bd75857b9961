"""Exports whose rows depend on the clock are never called unchanged, and say so beforehand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.cli.main import run_cli
from pipeline.errors import PublishConflictError
from pipeline.exports.run import export
from tests.exporting import config, snapshot, spec, write_runs

FIRST = datetime(2025, 1, 1, 2, 30, tzinfo=UTC)
LATER = FIRST + timedelta(hours=1)
RECENT = "time_bin > now() - INTERVAL '1 hour'"
SHOWN = {"columns": ["run_id", "exported_at"]}
CLOCKED: list[dict[str, Any]] = [
    {"transform": {"filter": RECENT}},
    {"transform": {"filter": "exported_at < '2025-01-01T03:00:00Z'"}},
    {"transform": {"filter": "measure = 'served' AND created_at > current_timestamp"}},
    {"metadata": SHOWN},
    {"metadata": SHOWN, "transform": {"rename": {"exported_at": "moment"}}},
]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))


@pytest.mark.parametrize("blocks", CLOCKED)
@pytest.mark.parametrize("path", ["e.csv", "e.ndjson", "parquet"])
def test_what_depends_on_the_clock_is_written_again(
    runs: Path, tmp_path: Path, blocks: dict[str, Any], path: str
) -> None:
    settings = config(runs, {"path": tmp_path / "out" / path}, **blocks)
    for moment in (FIRST, LATER):
        assert [target.status for target in export(settings, now=moment).targets] == ["exported"]


def test_the_rows_are_those_of_the_time_of_the_export(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    settings = config(runs, {"path": path}, transform={"filter": RECENT})
    for moment, bins in ((FIRST, ["02:00", "03:00"]), (LATER, ["03:00"])):
        export(settings, now=moment)
        found = duckdb.sql(f"SELECT DISTINCT strftime(time_bin, '%H:%M') FROM '{path}' ORDER BY 1")
        assert [bin_ for (bin_,) in found.fetchall()] == bins


def test_a_sink_without_the_clock_stays_unchanged(runs: Path, tmp_path: Path) -> None:
    sinks = [
        {"path": tmp_path / "clock.csv"},
        {"path": tmp_path / "plain.csv", "columns": ["time_bin", "value"]},
    ]
    settings = config(runs, *sinks, metadata=SHOWN)
    export(settings, now=FIRST)
    before = snapshot(tmp_path)[f"{tmp_path}/plain.csv"]
    assert [t.status for t in export(settings, now=LATER).targets] == ["exported", "unchanged"]
    assert snapshot(tmp_path)[f"{tmp_path}/plain.csv"] == before


def test_if_exists_holds_for_it(runs: Path, tmp_path: Path) -> None:
    blocks = CLOCKED[0]
    path = tmp_path / "e.csv"
    export(config(runs, {"path": path}, **blocks), now=FIRST)
    before = path.read_bytes()
    kept = export(config(runs, {"path": path, "if_exists": "skip"}, **blocks), now=LATER)
    assert [target.status for target in kept.targets] == ["kept"]
    with pytest.raises(PublishConflictError, match="exists already"):
        export(config(runs, {"path": path, "if_exists": "error"}, **blocks), now=LATER)
    assert path.read_bytes() == before


def _written(tmp_path: Path, runs: Path, rest: str) -> str:
    file = tmp_path / "c.yaml"
    file.write_text(f"version: 1\nsource: {{url: {runs}}}\n{rest}", encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("rest", "warning"),
    [
        (
            f'transform: {{filter: "{RECENT}"}}\nsinks: [{{format: csv, path: e.csv}}]\n',
            "sink e.csv: its rows depend on the clock (now() in transform.filter)",
        ),
        (
            "metadata: {columns: [exported_at]}\nsinks: [{format: csv, path: e.csv}]\n",
            "sink e.csv: its rows depend on the clock (column exported_at)",
        ),
        (
            "sinks: [{format: csv, path: 'out/{date}/e.csv'}]\n",
            "sink out/{date}/e.csv: {date} is the day of the export",
        ),
    ],
)
def test_plan_and_validate_warn(
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    rest: str,
    warning: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = _written(tmp_path, runs, rest)
    assert run_cli(["validate", file]) == 0
    assert warning in capsys.readouterr().err
    assert run_cli(["plan", file]) == 0
    assert f"warning: {warning}" in capsys.readouterr().out
    assert run_cli(["run", file, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["warnings"]
    assert len(found) == 1
    assert found[0].startswith(warning)


def test_others_are_not_warned_of(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = "sinks: [{format: csv, path: 'out/{created_date}/{run_id}.csv'}]\n"
    file = _written(tmp_path, runs, rest)
    assert run_cli(["validate", file]) == 0
    assert capsys.readouterr().err == ""
    assert run_cli(["plan", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
