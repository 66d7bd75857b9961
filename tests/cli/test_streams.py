"""Standard streams that are closed, full or not read, as shells and supervisors leave them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.exporting import descriptor, names, spec, write_runs

COMMAND = f"{sys.executable} -c 'from pipeline.cli.main import main; main()'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs = write_runs(tmp_path / "runs", *(spec(f"run_{number:03}") for number in range(20)))
    sinks = [{"format": form, "path": f"{tmp_path}/out/e.{form}"} for form in ("csv", "parquet")]
    config = {"version": 1, "source": {"url": str(runs)}, "sinks": sinks}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    script = f'set -o pipefail\nflowtime() {{ {COMMAND} "$@"; }}\ncd {folder}\n{line}'
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False
    )


def check_exported(folder: Path) -> None:
    descriptor(folder / "out" / "e.datapackage.json")
    assert names(folder / "out") == ["e.csv", "e.datapackage.json", "e.parquet"]
    assert pl.read_parquet(folder / "out" / "e.parquet").height == 20 * 12
    assert pl.read_csv(folder / "out" / "e.csv", comment_prefix="#").height == 20 * 12


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        ("2>&-", 0, ""),
        (">&-", 0, ""),
        ("<&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        (">/dev/full", 1, "stdout cannot be written: No space left on device"),
        ("--json >/dev/full", 1, "stdout cannot be written: No space left on device"),
        (">/dev/full 2>/dev/full", 1, ""),
    ],
)
def test_an_export_does_not_need_its_streams(
    folder: Path, redirection: str, code: int, said: str
) -> None:
    ended = shell(folder, f"flowtime run config.json {redirection}")
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
    assert said in ended.stderr
    assert ended.stderr.count("\n") <= 1
    check_exported(folder)


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        ("runs runs", 0),
        ("runs runs --json", 0),
        ("schema", 0),
        ("--help", 0),
        ("run config.json --json", 0),
        ("verify runs --json", 1),
    ],
)
def test_a_reader_may_have_read_enough(folder: Path, verb: str, code: int) -> None:
    for reader in ("head -1", "true"):
        ended = shell(folder, f"flowtime {verb} | {reader}")
        assert ended.returncode == code, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "Broken pipe" not in ended.stderr


def test_a_watch_ends_with_its_reader(folder: Path) -> None:
    ended = shell(
        folder,
        "timeout 60 bash -c 'exec \"$@\"' - "
        + COMMAND.replace("main()'", 'main(["run", "config.json", "--watch", "1s", "--json"])\'')
        + " | head -1",
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["status"] == "done"


def test_what_the_streams_cannot_encode_is_escaped(folder: Path) -> None:
    ended = shell(
        folder, "PYTHONIOENCODING=ascii PYTHONUTF8=0 LC_ALL=C flowtime preview config.json"
    )
    assert ended.returncode == 0, ended.stderr
