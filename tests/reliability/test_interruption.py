"""Signals at any instant, and a time limit over a store that says nothing.

Meant to fail without `interruptible` (a traceback of an ignored exception, or a signal that a
finalizer swallows) and without `leave_within` (a thread that waits for the store holds up the end).
"""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.alarm import alarm
from pipeline.config import load_config
from pipeline.errors import SinkError
from pipeline.exports.deadline import Clock
from pipeline.exports.run import export
from tests.exporting import config, descriptor, names, spec, write_runs
from tests.run_builder import write_many

COMMAND = [sys.executable, "-c", "from pipeline.cli.main import main; main()"]
READY = "import pipeline.cli.main, os; print('ready', flush=True); pipeline.cli.main.main()"


@pytest.fixture
def silent() -> Iterator[str]:
    """A store that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def written(path: Path, source: Path | str, sinks: list[dict[str, Any]], **more: Any) -> str:
    path.write_text(
        json.dumps({"version": 1, "source": {"url": str(source)}, "sinks": sinks, **more})
    )
    return str(path)


def to_a_silent_store(folder: Path, silent: str, **more: Any) -> str:
    """A config of an export that waits for an answer."""
    runs = write_runs(folder / "runs", spec("run_a"))
    lake = {"protocol": "s3", "endpoint_url": silent, "key": "k" * 8, "secret": "s" * 8}
    sink = {"format": "csv", "path": "s3://lake/e.csv", "storage": "lake"}
    return written(folder / "c.json", runs, [sink], storage={"lake": lake}, **more)


def test_signals_at_random_instants(tmp_path: Path, times: int) -> None:
    """The exit code, in time, nothing half-visible, one line on stderr."""
    write_many(tmp_path / "runs", runs=3, series=15, bins=8_000, seed=1)
    out = tmp_path / "out"
    sinks = [{"format": f, "path": f"{out}/x.{f}"} for f in ("csv", "ndjson", "parquet")]
    file = written(tmp_path / "c.json", tmp_path / "runs", sinks)
    command = [sys.executable, "-c", READY, "run", file, "--full-refresh"]
    chance = random.Random(7)
    codes: Counter[int] = Counter()
    for number in range(8 * times):
        kind = (signal.SIGINT, signal.SIGTERM)[number % 2]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.02, 0.7))
        process.send_signal(kind)
        began = time.monotonic()
        _, stderr = process.communicate(timeout=30)
        assert time.monotonic() - began < 10
        codes[process.returncode] += 1
        assert process.returncode in (0, 128 + kind), stderr
        assert "Traceback" not in stderr
        assert "ignored" not in stderr
        assert not [name for name in names(out) if ".flowtime-export" in name]
        for path in out.glob("*.datapackage.json"):
            json.loads(path.read_text())
    assert codes[130] + codes[143] >= 2 * times, codes
    subprocess.run([*COMMAND, "run", file], check=True, stdout=subprocess.DEVNULL)
    descriptor(out / "x.datapackage.json")


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_store_is_silent(
    tmp_path: Path, silent: str, kind: signal.Signals, code: int
) -> None:
    file = to_a_silent_store(tmp_path, silent)
    process = subprocess.Popen(
        [sys.executable, "-c", READY, "run", file],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(2)
    process.send_signal(kind)
    began = time.monotonic()
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, time.monotonic() - began < 10) == (code, True)
    assert "Traceback" not in stderr


def test_the_timeout_interrupts_a_silent_store(tmp_path: Path, silent: str) -> None:
    file = to_a_silent_store(tmp_path, silent, execution={"timeout": "1s"})
    began = time.monotonic()
    ended = subprocess.run(
        [*COMMAND, "run", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "execution.timeout of 1 s has passed; nothing was published" in ended.stderr
    assert time.monotonic() - began < 20
    assert "Traceback" not in ended.stderr


def test_the_timeout_needs_no_signal(tmp_path: Path, silent: str) -> None:
    """In a library: on any thread, with calls to a store that does not answer bounded as well."""
    execution = {"timeout": "1s"}
    settings = load_config(to_a_silent_store(tmp_path, silent, execution=execution))
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool, pytest.raises(SinkError, match="timeout of 1 s has passed"):
        pool.submit(export, settings).result()
    assert time.monotonic() - began < 10


def test_an_export_without_time_writes_nothing(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    with pytest.raises(SinkError, match=r"0\.0001 s has passed; nothing was published"):
        export(config(runs, {"path": tmp_path / "f.csv"}, execution={"timeout": 0.0001}))
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    export(config(runs, {"path": tmp_path / "f.csv"}, execution={"timeout": "1h"}))


def test_the_alarm_of_the_command_line_interrupts_a_call_that_hangs() -> None:
    began = time.monotonic()
    with pytest.raises(SinkError, match="has passed"), alarm(0.1), Clock(0.1).enforced():
        time.sleep(30)
    assert time.monotonic() - began < 5
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("raised", "code"),
    [("KeyboardInterrupt", 130), ("signals.Terminated", 143), ("SinkError('full')", 1)],
)
def test_threads_that_are_at_work_do_not_spoil_the_exit_code(raised: str, code: int) -> None:
    """Meant to fail where the interpreter is taken down below an engine that calls into it."""
    program = (
        "import threading, time\n"
        "import polars as pl\n"
        "import pipeline.cli.main as cli\n"
        "from pipeline.cli import signals\n"
        "from pipeline.errors import SinkError\n"
        "def work():\n"
        "    while True: pl.Series(range(100_000)).map_elements(lambda x: x, pl.Int64)\n"
        "def command(**_):\n"
        "    threading.Thread(target=work, daemon=True).start()\n"
        "    time.sleep(0.3)\n"
        f"    raise {raised}\n"
        "cli.cli.main = command\n"
        "cli.main()\n"
    )
    for _ in range(3):
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ended.returncode == code, ended.stderr
        assert "FATAL" not in ended.stderr


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "from pipeline.cli.signals import interruptible\n"
        "with interruptible():\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "    finally: os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
    )
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
    assert ended.returncode == 143
    assert time.monotonic() - began < 10


def test_a_signal_that_a_finalizer_swallows_comes_again(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "from pipeline.cli.signals import Terminated, interruptible\n"
        "class Held:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)\n"
        "with interruptible():\n"
        "    held = Held()\n"
        "    try:\n"
        "        del held\n"
        "        time.sleep(60)\n"
        "    except Terminated: print('terminated')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("terminated\n", "", 0)
