"""Exporters that are killed, or whose disk fails, at a chosen call to the operating system."""

from __future__ import annotations

import functools
import re
import resource
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.storage.s3 import upload as s3_upload
from pipeline.config import ExportConfig
from pipeline.errors import FlowtimeExportError
from pipeline.execution import processes
from pipeline.exports.run import export
from pipeline.imports.importer import ImportOptions, import_export
from pipeline.planning import plan as planning
from tests.forkserver import fork_server
from tests.reliability.numbered import begin_numbered_worker, number_names

CALLS = ("openat", "write", "fsync", "rename", "unlink", "mkdir")
_SYNONYMS = {
    "write": "write,pwrite64,writev",
    "rename": "rename,renameat,renameat2",
    "unlink": "unlink,unlinkat",
    "mkdir": "mkdir,mkdirat",
}
_KINDS = {name: kind for kind, names in _SYNONYMS.items() for name in names.split(",")}
_LINE = re.compile(r"(?P<thread>\d+)\s+(?P<call>[a-z0-9_]+)\(")
_PATH = re.compile(r'[<"](/[^>"]+)[>"]')
_NUMBERED = re.compile(r"(?<=-)[1-9a-f](?P<count>[0-9a-f]{7})(?=\.flowtime-export\.part)")
"""What `number_names` gives to files that workers stage."""
WORKERS = 2
SEGMENT_ROWS = 500
"""What a task of worker processes has: a series, so that there are six."""


class Victims:
    """Processes forked from one that has everything imported, so that each costs little."""

    def __init__(self) -> None:
        self._context = fork_server()

    def start(
        self,
        settings: dict[str, Any],
        most_bytes: int | None = None,
        part_bytes: int | None = None,
        handed_over_bytes: int | None = None,
    ) -> Victim:
        """An exporter.

        Args:
            settings: What it exports.
            most_bytes: No file that it writes may grow beyond this.
            part_bytes: What it sends to S3 in one piece at most.
            handed_over_bytes: Files of so many bytes are sent to S3 by its worker processes.
        """
        limits = most_bytes, part_bytes, handed_over_bytes
        return self._started(functools.partial(_exported, settings, *limits))

    def start_import(self, source: Path, out: Path) -> Victim:
        """An importer, which replaces what exists there."""
        return self._started(functools.partial(_imported, str(source), str(out)))

    def _started(self, work: Callable[[], str]) -> Victim:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, tempfile.gettempdir(), work))
        process.start()
        theirs.close()
        return Victim(process, ours)


@dataclass(frozen=True)
class Instant:
    """A call at which something happens: the nth of its kind in any thread."""

    call: str
    number: int

    def rule(self, what: str) -> str:
        """The option of strace that injects the fault."""
        return f"{_SYNONYMS.get(self.call, self.call)}:{what}:when={self.number}"


@dataclass(frozen=True)
class Trace:
    """The calls of an undisturbed export that concern files below its target.

    Attributes:
        pid: The process; its number is in the names of staged files.
        paths: All paths of these calls.
        instants: One for each call of the busiest thread, by kind.
    """

    pid: int
    paths: tuple[str, ...]
    instants: tuple[Instant, ...]

    @classmethod
    def read(cls, log: Path, pid: int, root: Path) -> Trace:
        """Of what strace has written."""
        counts: Counter[tuple[str, str]] = Counter()
        paths: dict[str, None] = {}
        for line in log.read_text(errors="replace").splitlines():
            below = [one for one in _PATH.findall(line) if f"{one}/".startswith(f"{root}/")]
            if below and (match := _LINE.match(line)):
                counts[match["thread"], _KINDS.get(match["call"], match["call"])] += 1
                paths |= dict.fromkeys(below)
        most: dict[str, int] = {}
        for (_, call), count in counts.items():
            most[call] = max(most.get(call, 0), count)
        instants = [Instant(call, n) for call in CALLS for n in range(1, most.get(call, 0) + 1)]
        return cls(pid, tuple(paths), tuple(instants))

    def paths_of(self, pid: int) -> list[str]:
        """The same paths as another process names them, whichever of its workers makes which."""
        found = (path.replace(f"-{self.pid}-", f"-{pid}-") for path in self.paths)
        return list(dict.fromkeys(name for path in found for name in self._names(path)))

    def _names(self, path: str) -> Iterator[str]:
        if not _NUMBERED.search(path):
            yield path
            return
        counts = [int(one["count"], 16) for path in self.paths if (one := _NUMBERED.search(path))]
        for worker in range(1, WORKERS + 1):
            for count in range(1, max(counts) + 1):
                yield _NUMBERED.sub(f"{worker:x}{count:07x}", path)


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
            result: str = self._pipe.recv() if self._pipe.poll(60) else "hung"
        except (EOFError, ConnectionResetError):
            result = "killed"
        self._process.join(20)
        if self._process.is_alive():
            self._process.kill()
        self._pipe.close()
        return result

    def run_traced(self, log: Path, *inject: str, like: Trace | None = None) -> str:
        """Let it export under strace, which injects faults.

        Args:
            log: Where strace writes.
            inject: Its rules.
            like: Where given, only calls for the paths of that export count.
        """
        traced = ",".join(_SYNONYMS.get(call, call) for call in CALLS)
        paths = () if like is None else like.paths_of(self.pid)
        tracer = subprocess.Popen(
            [
                *("strace", "-f", "-y", "-qq", "-s", "0", "-o", str(log), "-p", str(self.pid)),
                *("-e", f"trace={traced}", "-e", "signal=none"),
                *(part for rule in inject for part in ("-e", f"inject={rule}")),
                *(part for path in paths for part in ("-P", path)),
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 60
            while "TracerPid:\t0\n" in Path(f"/proc/{self.pid}/status").read_text():
                assert time.monotonic() < until
                assert tracer.poll() is None, "strace may not trace here"
                time.sleep(0.002)
            return self.run()
        finally:
            tracer.terminate()
            try:
                tracer.wait(5)
            except subprocess.TimeoutExpired:
                # It waits for threads of a dead worker that only its own end lets go.
                tracer.kill()
                tracer.wait(20)


def is_killed(result: str) -> bool:
    """Whether an exporter has died, or reports that one of its workers has."""
    return result == "killed" or result.startswith("SinkError: a worker process ended")


def children_of(pid: int) -> list[int]:
    """The worker processes of an exporter: new ones of loky, or copies of the exporter."""
    found = []
    own = Path(f"/proc/{pid}/cmdline").read_bytes()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            is_worker = command == own or b"loky.backend.popen" in command
            if int(fields[1]) == pid and is_worker:
                found.append(int(entry.name))
    return found


def wait_until_gone(pids: Collection[int]) -> None:
    """Wait until processes have ended."""
    until = time.monotonic() + 30
    while left := [pid for pid in pids if _is_running(pid)]:
        assert time.monotonic() < until, f"workers are still there: {left}"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def threads_in(log: Path) -> set[int]:
    """All threads of which strace has written."""
    lines = log.read_text(errors="replace").splitlines()
    return {int(line.split()[0]) for line in lines if line.split()[0].isdigit()}


def spread(points: Sequence[Any], wanted: int, start: int) -> list[Any]:
    """So many points, evenly spread from the one at `start`; all again where more are wanted.

    >>> spread("abcdef", 3, 1), spread("abc", 4, 0)
    (['b', 'd', 'f'], ['a', 'b', 'c', 'a'])
    """
    rounds, rest = divmod(wanted, len(points))
    some = [points[(start + place * len(points) // rest) % len(points)] for place in range(rest)]
    return [*points] * rounds + some


def tries(points: Sequence[Any], wanted: int, start: int) -> list[Any]:
    """Twice as many points as hits are wanted: a thread may get ahead of the call meant for it."""
    return spread(points, wanted, start) + spread(points, wanted, start + 1)


def _work(pipe: Any, temporary: str, work: Callable[[], str]) -> None:
    number_names(0)  # see `Trace`
    processes._begin = begin_numbered_worker
    tempfile.tempdir = temporary
    pipe.recv()
    try:
        result = work()
    except FlowtimeExportError as error:
        result = f"{type(error).__name__}: {error}"
    except BaseException as error:
        result = f"crash {error!r}"
    pipe.send(result)


def _exported(
    settings: dict[str, Any],
    most_bytes: int | None,
    part_bytes: int | None,
    handed_over_bytes: int | None,
) -> str:
    if settings.get("execution", {}).get("engine") == "processes":
        planning.SEGMENT_ROWS = SEGMENT_ROWS
    if handed_over_bytes is not None:
        processes.FEWEST_BYTES = handed_over_bytes
    if part_bytes is not None:
        s3_upload.PART_BYTES = part_bytes
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    report = export(ExportConfig.model_validate(settings))
    return ",".join(target.status for target in report.targets)


def _imported(source: str, out: str) -> str:
    report = import_export([source], out, ImportOptions(if_exists="replace"))
    return ",".join(sorted({run.status for run in report.runs}))
