"""Every command, config and program of docs/comparison.md does what the page says."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.cli.main import run_cli
from tests.exporting import names
from tests.run_builder import RunSpec, write_run
from tests.test_docs import ROOT, snippets

PAGE = ROOT / "docs/comparison.md"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    run_shell_lines()
    return tmp_path


def run_shell_lines() -> None:
    for snippet in snippets(PAGE, "sh"):
        for line in snippet.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "flowtime-export"
            assert run_cli(arguments) == 0, line


def test_commands_and_their_outputs(checkout: Path) -> None:
    assert {"differences.csv", "differences.datapackage.json", "report.html"} <= set(
        names(checkout / "out")
    )


def test_the_ci_job_passes_and_fails(checkout: Path) -> None:
    config, workflow = (yaml.safe_load(text) for text in snippets(PAGE, "yaml"))
    (checkout / "compare.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    steps = workflow["jobs"]["compare"]["steps"]
    (command,) = [step["run"] for step in steps if "compare" in step.get("run", "")]
    arguments = shlex.split(command)[1:]
    assert run_cli(arguments) == 0
    (uploaded,) = [step["with"]["path"] for step in steps if "with" in step]
    assert {"metrics.parquet", "junit.xml", "run_checkout_hourly.html"} <= set(
        names(checkout / uploaded)
    )
    # The same job after a change of the model has moved one value.
    run = checkout / "samples/runs/run_checkout_hourly"
    values = {file.stem: column(file) for file in sorted((run / "series").glob("*.csv"))}
    values["arrivals@checkout@DEFAULT"][5] += 1
    shutil.rmtree(run)
    write_run(run.parent, RunSpec(run.name, values, units=False))
    assert run_cli(arguments) == 4


def column(file: Path) -> list[float]:
    return [float(line.split(",")[1]) for line in file.read_text().splitlines()[1:]]


def test_the_program(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = snippets(PAGE, "python")
    found: dict[str, object] = {}
    exec(compile(program, str(PAGE), "exec"), found)
    assert "{'equal': 8, 'within': 0, 'different': 0}" in capsys.readouterr().out
    assert found["rows"].height == 10  # type: ignore[attr-defined]
