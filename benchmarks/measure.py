"""Time and memory of one process with all its children."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.1
_PROC = Path("/proc")


class FailedError(Exception):
    """A measured process ended with an error."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one process took.

    Attributes:
        seconds: From its start to its end, the start of the interpreter included.
        cpu_seconds: Time of all cores, in the process and in the kernel on its behalf.
        peak_bytes: Most resident memory of the process tree; 0 where /proc does not exist.
        stdout: What it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    stdout: str


def measure(command: Sequence[str]) -> Measurement:
    """Run a command to its end.

    Raises:
        FailedError: It ended with an error.
    """
    os.sync()  # what an earlier process has left to write must not slow this one down
    cpu_before = _cpu_of_children()
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=_environment(),
    )
    watch = _Watch(process.pid)
    watch.start()
    stdout, stderr = process.communicate()
    seconds = time.perf_counter() - began
    watch.stop()
    if process.returncode:
        raise FailedError(f"{' '.join(command)}\nexit {process.returncode}\n{stdout}{stderr}")
    return Measurement(seconds, _cpu_of_children() - cpu_before, watch.peak_bytes, stdout)


def _environment() -> dict[str, str]:
    # As installed: modules are compiled once, not in every process.
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class _Watch(threading.Thread):
    """Adds up each process' own high-water mark, so that no peak falls between two looks."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.peak_bytes = 0

    def run(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            found = sum(_high_water_mark(pid) for pid in _tree(self._pid))
            self.peak_bytes = max(self.peak_bytes, found)

    def stop(self) -> None:
        self._over.set()
        self.join()


def _tree(pid: int) -> list[int]:
    """Return a process and all below it that still live."""
    pids = [pid]
    for one in pids:
        for children in _PROC.glob(f"{one}/task/*/children"):
            try:
                pids += map(int, children.read_text().split())
            except OSError:
                continue  # the thread has ended meanwhile
    return pids


def _high_water_mark(pid: int) -> int:
    try:
        status = (_PROC / str(pid) / "status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
