"""Exports in worker processes that are killed, run out of disk, or compete: the same promises."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import SinkError, StorageError
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.run import export
from pipeline.planning import plan as planning
from tests.exporting import config, descriptor, names, spec, write_runs
from tests.reliability.killing import Victims, children_of, wait_until_gone

_RUNS = 8
_SECRET = "canary-5bd3c0ffee"
_EXPORTER = """
import sys
from pipeline.planning import plan
plan.SEGMENT_ROWS = 500
from pipeline.config import load_config
from pipeline.exports.run import export
export(load_config(sys.argv[1]))
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", *(spec(f"run_{n}") for n in range(_RUNS)))


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "SEGMENT_ROWS", 500)


def sinks(out: Path) -> list[dict[str, Any]]:
    return [
        {"path": str(out / "one.csv"), "format": "csv"},
        {"path": str(out / "one.parquet"), "format": "parquet"},
        {"path": str(out / "set"), "format": "parquet", "partition_by": ["measure"]},
        {"path": str(out / "{run_id}.ndjson"), "format": "ndjson"},
    ]


def settings(runs: Path, out: Path, **blocks: Any) -> Any:
    return config(runs, *sinks(out), execution={"engine": "processes", "workers": 2}, **blocks)


def whole(out: Path) -> bool:
    """Whether what descriptors name is whole; raises where it is not."""
    found = [descriptor(path) for path in out.rglob("*datapackage.json")]
    return len(found) > 0


def start(config_file: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _EXPORTER, str(config_file)])


def written(tmp_path: Path, runs: Path, out: Path) -> Path:
    plain = {
        "version": 1,
        "source": {"url": str(runs)},
        "sinks": sinks(out),
        "execution": {"engine": "processes", "workers": 2},
    }
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(plain))
    return file


def test_a_killed_worker_fails_the_export_and_leaves_nothing(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    left: list[Path] = []

    class Kills(ProgressCallback):
        def read(self, files: int, rows: int, size: int) -> None:
            for pid in children_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)
            # As if one of them had just begun another file.
            staged = next((out / "set").rglob("*.part"))
            name = re.sub(r"[0-9a-f]{8}(?=\.flowtime-export)", "0" * 8, staged.name)
            left.append(staged.with_name(name))
            left[0].write_bytes(b"half")

    with pytest.raises(SinkError, match=r"a worker process ended .* nothing was published"):
        export(settings(runs, out), progress=Kills())
    assert left
    assert names(out) == []
    export(settings(runs, out))
    assert whole(out)
    assert [name for name in names(out) if name.endswith(".part")] == []


def test_a_killed_worker_ends_the_command_with_one_message(runs: Path, tmp_path: Path) -> None:
    """Meant to fail with the warning of loky's helper, which cleans up after the dead."""
    code = "from pipeline.planning import plan; plan.SEGMENT_ROWS = 500\n"
    command = [sys.executable, "-c", f"{code}from pipeline.cli.main import main; main()", "run"]
    config_file = written(tmp_path, runs, tmp_path / "out")
    with subprocess.Popen([*command, str(config_file)], stderr=subprocess.PIPE) as process:
        workers = wait_for_workers(process)
        os.kill(workers[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.fullmatch(rb"ERROR a worker process ended .* nothing was published.*\n", errors)
    wait_until_gone(workers)
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize(("published", "after"), [(False, 0.1), (True, 0.3)])
def test_a_killed_parent_takes_its_workers_along(
    runs: Path, tmp_path: Path, published: bool, after: float
) -> None:
    out = tmp_path / "out"
    before: dict[str, bytes] = {}
    if published:
        export(settings(runs, out))
        before = {path.name: path.read_bytes() for path in out.rglob("*datapackage.json")}
        write_runs(runs, spec("run_0", values=(9.0, 8.0, 7.0, 6.0)))
    process = start(written(tmp_path, runs, out))
    workers = wait_for_workers(process)
    time.sleep(after)
    process.kill()
    process.wait()
    wait_until_gone(workers)
    for path in out.rglob("*datapackage.json"):
        found = path.read_bytes()
        if found == before.get(path.name):
            continue
        descriptor(path)
    export(settings(runs, out))
    assert whole(out)
    assert [name for name in names(out) if name.endswith(".part")] == []


def wait_for_workers(process: subprocess.Popen[bytes]) -> list[int]:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if len(found := children_of(process.pid)) >= 2:
            return found
        time.sleep(0.02)
    return []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_workers_and_removes_what_they_staged(
    runs: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from pipeline.cli.main import main; main()", "run"]
    process = subprocess.Popen([*command, str(written(tmp_path, runs, out))])
    workers = wait_for_workers(process)
    process.send_signal(number)
    assert process.wait(30) in (0, 130, 143)
    wait_until_gone(workers)
    if process.returncode:
        assert names(out) == []


def test_a_full_disk_in_a_worker(runs: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises((SinkError, StorageError)):
            export(settings(runs, disk))
        assert [name for name in names(disk) if not name.endswith(".part")] == []
        assert names(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_workers_that_cannot_be_started(victims: Victims, runs: Path, tmp_path: Path) -> None:
    """Where no semaphore can be made, as in a container whose /dev/shm is full."""
    plain = {
        "version": 1,
        "source": {"url": str(runs)},
        "sinks": sinks(tmp_path / "out"),
        "execution": {"engine": "processes", "workers": 2},
    }
    result = victims.start(plain, most_bytes=0).run()
    assert re.match(r"SinkError: worker processes could not be started \(.*local", result), result
    assert names(tmp_path / "out") == []


def test_exporters_of_one_target(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    file = written(tmp_path, runs, out)
    processes = [start(file) for _ in range(3)]
    codes = [process.wait(120) for process in processes]
    assert 0 in codes
    assert whole(out)
    export(settings(runs, out))
    assert whole(out)
    assert [name for name in names(out) if name.endswith(".part")] == []


def test_secrets_are_in_no_argument_and_no_environment(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[bytes] = []

    class Looks(ProgressCallback):
        def read(self, files: int, rows: int, size: int) -> None:
            for pid in children_of(os.getpid()):
                proc = Path(f"/proc/{pid}")
                seen.extend((proc / name).read_bytes() for name in ("cmdline", "environ"))

    storage = {"lake": {"protocol": "s3", "key": _SECRET, "secret": _SECRET}}
    export(settings(runs, tmp_path / "out", storage=storage), progress=Looks())
    assert len(seen) >= 4
    assert all(_SECRET.encode() not in text for text in seen)
    assert _SECRET not in caplog.text


def test_a_script_without_a_guard_exports_once(runs: Path, tmp_path: Path) -> None:
    """Meant to fail where workers import the main module again."""
    script = tmp_path / "script.py"
    script.write_text(_EXPORTER + "print('done')\n")
    out = tmp_path / "out"
    file = written(tmp_path, runs, out)
    done = subprocess.run(
        [sys.executable, str(script), str(file)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert done.stdout == "done\n"
    assert whole(out)
