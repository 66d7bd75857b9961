"""Exporters that are killed, or whose disk fails, at a chosen call to the operating system."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ExportConfig
from pipeline.errors import FlowtimeExportError
from pipeline.export import export

CALLS = ("write", "fsync", "rename", "unlink", "mkdir")
_SYNONYMS = {"rename": "rename,renameat,renameat2", "unlink": "unlink,unlinkat"}
_LINE = re.compile(r"(?P<thread>\d+)\s+(?P<call>[a-z0-9_]+)\(")


class Victims:
    """Processes forked from one that has everything imported, so that each costs little."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["tests.reliability.killing", "numpy.ma", "pyarrow.compute", "connectors.storage.s3"]
        )

    def start(self, settings: dict[str, Any], most_bytes: int | None = None) -> Victim:
        """An exporter; no file that it writes may grow beyond `most_bytes`."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, settings, most_bytes))
        process.start()
        theirs.close()
        return Victim(process, ours)


class Victim:
    """One exporter that waits for the word."""

    def __init__(self, process: Any, pipe: Any) -> None:
        self._process = process
        self._pipe = pipe
        self.pid: int = process.pid

    def run(self) -> str:
        """Let it export: `done`, the name of its error, or `killed`."""
        self._pipe.send("go")
        try:
            told: str = self._pipe.recv() if self._pipe.poll(20) else "hung"
        except (EOFError, ConnectionResetError):
            told = "killed"
        self._process.join(20)
        if self._process.is_alive():
            self._process.kill()
        self._pipe.close()
        return told

    def run_traced(self, log: Path, *inject: str) -> str:
        """Let it export under strace, which is told what to inject."""
        traced = ",".join(_SYNONYMS.get(call, call) for call in CALLS)
        tracer = subprocess.Popen(
            [
                *("strace", "-f", "-y", "-qq", "-s", "0", "-o", str(log), "-p", str(self.pid)),
                *("-e", f"trace={traced}", "-e", "signal=none"),
                *(part for rule in inject for part in ("-e", f"inject={rule}")),
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 20
            while "TracerPid:\t0\n" in Path(f"/proc/{self.pid}/status").read_text():
                assert time.monotonic() < until
                assert tracer.poll() is None, "strace may not trace here"
                time.sleep(0.002)
            return self.run()
        finally:
            tracer.terminate()
            tracer.wait(20)


def injection(call: str, number: int, what: str) -> str:
    """A rule for the nth call of a kind in any thread."""
    return f"{_SYNONYMS.get(call, call)}:{what}:when={number}"


def counted(log: Path) -> dict[str, int]:
    """How often the busiest thread made each call."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if match := _LINE.match(line):
            counts[match["thread"], match["call"].removesuffix("at2").removesuffix("at")] += 1
    most: dict[str, int] = {}
    for (_, call), count in counts.items():
        most[call] = max(most.get(call, 0), count)
    return most


def need_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("strace may not trace here")


def _work(pipe: Any, settings: dict[str, Any], most_bytes: int | None) -> None:
    pipe.recv()
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    try:
        report = export(ExportConfig.model_validate(settings))
        told = ",".join(target.status for target in report.targets)
    except FlowtimeExportError as error:
        told = f"{type(error).__name__}: {error}"
    except BaseException as error:
        told = f"crash {error!r}"
    pipe.send(told)
