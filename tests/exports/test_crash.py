"""What an export that was killed leaves behind, and how it is removed.

Seen to fail without `SinkOutput._sweep` (leftovers stay) and without staging (a sink that writes
its target in place tears the old file).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from connectors.storage import connect
from pipeline.exports.run import export
from tests.exporting import config, dead_process, descriptor, names, snapshot, spec, write_runs
from tests.run_builder import write_many

COMMAND = [sys.executable, "-c", "from pipeline.cli.main import main; main()"]


@pytest.mark.parametrize("path", ["export.csv", "gold-csv"])
def test_the_next_export_removes_what_a_dead_one_staged(tmp_path: Path, path: str) -> None:
    runs, out = write_runs(tmp_path / "runs", spec("run_a")), tmp_path / "out"
    folder = out if path.endswith(".csv") else out / path
    storage, target = connect(str(folder / "x.csv"))
    ours = storage.stage(target).local
    theirs = ours.with_name(ours.name.replace(f"-{os.getpid()}-", f"-{dead_process()}-"))
    theirs.write_bytes(b"half a f")
    export(config(runs, {"path": out / path}))
    assert not theirs.exists()
    assert ours.exists(), "a living process may still be writing it"
    storage.discard(storage.stage(target))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with long runs, and below `out` the export of one of them."""
    base = tmp_path_factory.mktemp("crash")
    write_many(base / "runs", runs=2, series=20, bins=20_000, seed=1)
    export(config(base / "runs", *_sinks(base / "out"), source={"exclude": ["run_0*1"]}))
    return base


def _sinks(out: Path) -> list[dict[str, str]]:
    return [{"format": f, "path": f"{out}/x.{f}"} for f in ("csv", "ndjson", "parquet")]


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.3])
def test_kill_in_the_midst(begun: Path, tmp_path: Path, moment: float) -> None:
    """The previous export stays readable; the next one finishes and leaves nothing behind."""
    out = tmp_path / "out"
    shutil.copytree(begun / "out", out)
    file = tmp_path / "config.yaml"
    settings = {"version": 1, "source": {"url": str(begun / "runs")}, "sinks": _sinks(out)}
    file.write_text(json.dumps(settings))
    before = snapshot(out)
    killed = subprocess.Popen([*COMMAND, "run", str(file)], stdout=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not list(out.glob(".*.part")):
        assert time.monotonic() < until
        assert killed.poll() is None
        time.sleep(0.002)
    time.sleep(moment)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    visible = {path: kept for path, kept in snapshot(out).items() if ".part" not in path}
    assert visible == before
    descriptor(out / "x.datapackage.json")
    subprocess.run([*COMMAND, "run", str(file)], check=True, stdout=subprocess.DEVNULL)
    assert names(out) == ["x.csv", "x.datapackage.json", "x.ndjson", "x.parquet"]
    rows = [item["rowCount"] for item in descriptor(out / "x.datapackage.json")["resources"]]
    assert rows == [2 * 20 * 20_000] * 3
