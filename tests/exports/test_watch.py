"""Exports that are repeated: runs are exported as they complete, and nothing else happens."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.exports.report import Report
from pipeline.exports.watch import Round, Watch
from tests.exporting import config, names, snapshot, spec, write_runs

_PER_RUN = {"path": "{run_url}/gold/export.csv"}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_1"))


def _complete(runs: Path, name: str) -> None:
    """A run that appears whole."""
    (write_runs(runs.parent / "elsewhere", spec(name)) / name).rename(runs / name)


def _exported(result: Round) -> list[str]:
    assert isinstance(result, Report)
    return [Path(t.url).parent.parent.name for t in result.targets if t.status == "exported"]


def test_only_what_is_new_is_exported(runs: Path) -> None:
    rounds = Watch(config(runs, _PER_RUN), 0.01).rounds()
    assert _exported(next(rounds)) == ["run_1"]
    before = snapshot(runs)
    _complete(runs, "run_2")
    assert _exported(next(rounds)) == ["run_2"]
    assert before.items() <= snapshot(runs).items()


def test_a_run_is_taken_once_its_manifest_is_written(runs: Path, tmp_path: Path) -> None:
    run = write_runs(tmp_path / "elsewhere", spec("run_2")) / "run_2"
    manifest = run / "manifest.json"
    manifest.rename(tmp_path / "manifest.json")
    shutil.copytree(run, runs / "run_2")
    rounds = Watch(config(runs, _PER_RUN), 0.01).rounds()
    first = next(rounds)
    assert _exported(first) == ["run_1"]
    assert isinstance(first, Report)
    assert [one.kind for one in first.left_out] == ["incomplete"]
    shutil.copy(tmp_path / "manifest.json", runs / "run_2")
    assert _exported(next(rounds)) == ["run_2"]


def test_rounds_without_news_are_not_reported(runs: Path) -> None:
    watch = Watch(config(runs, _PER_RUN), 0.01)
    rounds = watch.rounds()
    next(rounds)
    timer = threading.Timer(0.5, watch.stopped.set)
    timer.start()
    assert list(rounds) == []
    timer.join()


def test_a_failed_round_is_reported_once_and_tried_again(runs: Path) -> None:
    index = runs / "run_1" / "series" / "index.json"
    whole = index.rename(runs.parent / "whole.json")
    index.write_bytes(b"{")
    rounds = Watch(config(runs, _PER_RUN), 0.01).rounds()
    failed = next(rounds)
    assert "index.json" in str(failed)
    threading.Timer(0.3, whole.replace, [index]).start()
    assert _exported(next(rounds)) == ["run_1"]


def test_an_error_of_the_config_ends_the_watch(runs: Path) -> None:
    shutil.copytree(runs / "run_1", runs / "its_copy")
    settings = config(runs, {"path": f"{runs.parent}/{{run_id}}.csv"})
    with pytest.raises(ConfigError, match="run_1"):
        next(Watch(settings, 0.01).rounds())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_command_stops_by_signal(runs: Path, number: int, code: int) -> None:
    path = runs.parent / "watch.yaml"
    path.write_text(
        f"version: 1\nname: watched\nsource: {{url: {runs}}}\n"
        'sinks: [{format: csv, path: "{run_url}/gold/export.csv"}]\n'
    )
    line = [sys.executable, "-c", "from pipeline.cli.main import main; main()", "run", str(path)]
    with subprocess.Popen(
        [*line, "--watch", "0.05s", "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        _complete(runs, "run_2")
        second = json.loads(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(10) == code
    assert [one["runs"] for one in (first, second)] == [1, 2]
    assert names(runs / "run_2" / "gold") == ["export.csv", "export.datapackage.json"]
