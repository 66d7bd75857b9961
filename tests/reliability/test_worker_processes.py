"""Exports in worker processes that are killed, run out of disk, or compete: the same promises."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.storage import connect
from pipeline.errors import SinkError, StorageError
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.run import export
from pipeline.planning import plan as planning
from tests.exporting import config, descriptor, names, spec, write_runs
from tests.reliability.failing_store import Faults, Request, before
from tests.reliability.killing import Victims
from tests.reliability.stage import Stage, converges
from tests.reliability.stage import settings as stage_settings
from tests.servers import S3Server

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


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == pid and b"loky" in command and b"resource_tracker" not in command:
                found.append(int(entry.name))
    return found


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
    class Kills(ProgressCallback):
        def read(self, files: int, rows: int, size: int) -> None:
            for pid in children_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)

    out = tmp_path / "out"
    with pytest.raises(SinkError, match=r"a worker process ended .* nothing was published"):
        export(settings(runs, out), progress=Kills())
    assert [name for name in names(out) if not name.endswith(".part")] == []
    export(settings(runs, out))
    assert whole(out)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("after", [0.05, 0.15, 0.3, 0.5])
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


def wait_until_gone(pids: list[int]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if not any(is_running(pid) for pid in pids):
            return
        time.sleep(0.05)
    raise AssertionError(f"workers are still there: {pids}")


def is_running(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


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


# --------------------------------------------------------------------------- S3


@pytest.fixture(scope="module")
def proxied(moto_s3: S3Server) -> Iterator[tuple[S3Server, Faults]]:
    with before(moto_s3) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["overwrite-parquet"], indirect=True)
def test_a_parent_killed_at_a_request_after_its_workers_have_sent_files(
    victims: Victims,
    proxied: tuple[S3Server, Faults],
    stage: Stage,
    tmp_path: Path,
    times: int,
    tried: Callable[[int], None],
) -> None:
    """Once the first file has been put there under a hidden name; with `--times`, ever later."""
    server, faults = proxied
    lake = {"protocol": "s3", **server.options().options}
    killed = 0
    for number in range(times):
        root = f"s3://{server.bucket}/{tmp_path.name}/{number}"
        made = stage_settings(stage.runs, root, stage.form, lake)
        made["execution"] = {"engine": "processes", "workers": 2}
        storage, path = connect(root, server.options())
        stage.fill(storage, path)
        victim = victims.start(made, handed_over_bytes=1)
        kill = _Kill(victim.pid, after=2 * number)
        faults.clear()
        faults.answered = kill.on
        killed += victim.run() == "killed"
        faults.clear()
        wait_until_gone(kill.workers)
        time.sleep(0.5)  # What the proxy had taken of them may still be on its way to the store.
        assert kill.handed_over or not kill.workers
        converges(storage, path, stage, stage_settings(stage.runs, root, stage.form, lake))
    assert killed >= 0.5 * times  # later than its last request none is killed
    tried(killed)


class _Kill:
    """Kills a process some requests after one of its workers has sent a file."""

    def __init__(self, pid: int, after: int) -> None:
        self._pid = pid
        self._left = after
        self.handed_over = False
        self.workers: list[int] = []

    def on(self, request: Request) -> None:
        hidden = request.operation == "put" and ".parquet." in request.path
        self.handed_over |= hidden and ".flowtime-export.part" in request.path
        if not self.handed_over:
            return
        if self._left == 0:
            self.workers = children_of(self._pid)
            os.kill(self._pid, signal.SIGKILL)
        self._left -= 1
