"""Workers are copies of the command line's process, made before it loads what has threads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.execution.workers import FEWEST_FOLDERS
from tests.execution.test_engines import contents
from tests.exporting import spec, write_runs

COMMAND = (sys.executable, "-c", "from pipeline.cli.main import main; main()")
STARTED = """
import os, pathlib, threading
{before}
from pipeline.execution.processes import ProcessExecutor

def command(pid):
    return pathlib.Path(f"/proc/{{pid}}/cmdline").read_bytes()

with ProcessExecutor(2) as executor:
    executor.start()
    worker = executor._pool.submit(os.getpid).result()
    print(command(worker) == command(os.getpid()))
    assert worker != os.getpid()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads cannot be counted")
@pytest.mark.parametrize(
    ("before", "is_copy"),
    [
        ("import pipeline.cli.commands.exports", True),
        ("import polars", False),
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", False),
    ],
)
def test_only_a_process_with_one_thread_is_copied(before: str, is_copy: bool) -> None:
    code = STARTED.format(before=before)
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.split() == [str(is_copy)]


def exported(runs: Path, out: Path, execution: dict[str, Any]) -> tuple[dict[str, bytes], Any]:
    out.mkdir()
    settings = {
        "version": 1,
        "source": {"url": str(runs)},
        "sinks": [
            {"format": form, "path": str(out / "files" / form), "max_rows_per_file": 700}
            for form in ("csv", "ndjson", "parquet")
        ],
        "execution": execution,
    }
    config = out / "config.json"
    config.write_text(json.dumps(settings))
    found = subprocess.run(
        [*COMMAND, "run", str(config), "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return contents(out / "files"), json.loads(found.stdout)


def test_copies_write_the_same_bytes(tmp_path: Path) -> None:
    runs = write_runs(
        tmp_path / "runs", *(spec(f"run_{number:03}") for number in range(FEWEST_FOLDERS))
    )
    one, report = exported(runs, tmp_path / "one", {"engine": "local"})
    assert report["engine"]["engine"] == "local"
    two, report = exported(runs, tmp_path / "two", {"engine": "processes", "workers": 2})
    assert report["engine"]["engine"] == "processes"
    assert report["seconds"]["cpu"]["workers"] > 0
    assert len(one) > 3
    assert two.keys() == one.keys()
    different = [name for name in one if one[name] != two[name]]
    assert [name for name in different if not name.endswith("datapackage.json")] == []
