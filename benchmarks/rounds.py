"""Everybody in turn, round by round, with outputs that were found equal first."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from benchmarks.content import Content, content_apart, differences
from benchmarks.contestants import OURS, Task
from benchmarks.measure import Measurement, measure

_MB = 1_000_000

Commands = Mapping[str, Callable[[Task], list[str]]]


class UnequalError(Exception):
    """Two outputs that must hold the same rows do not."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one export took everybody.

    Attributes:
        workload: Its name.
        formats: What was written, all of it at once.
        rows: Rows of one output.
        seconds: Contestant → seconds of each round.
        cpu_seconds: Contestant → processor time of each round.
        peaks: Contestant → peak memory of each round, in MB.
    """

    workload: str
    formats: tuple[str, ...]
    rows: int
    seconds: dict[str, list[float]]
    cpu_seconds: dict[str, list[float]]
    peaks: dict[str, list[float]]

    @property
    def peers(self) -> list[str]:
        """Everybody but this project."""
        return [name for name in self.seconds if name != OURS]

    def median_seconds(self, name: str) -> float:
        """Median over the rounds."""
        return median(self.seconds[name])

    def median_cpu(self, name: str) -> float:
        """Median processor time over the rounds."""
        return median(self.cpu_seconds[name])

    def peak(self, name: str) -> float:
        """Most memory in any round, in MB."""
        return max(self.peaks[name])

    def ratio(self, peer: str) -> float:
        """Return a peer's time over that of this project; above 1 this project is faster."""
        return self.median_seconds(peer) / self.median_seconds(OURS)


def play(task: Task, contestants: Commands, rounds: int) -> Result:
    """Time one export, in as many rounds.

    The outputs of the first round are compared before any time counts. Who begins changes with
    the round, so that none always runs after the same neighbour.

    Raises:
        UnequalError: The outputs differ.
        FailedError: Somebody failed.
    """
    names = list(contestants)
    taken: dict[str, list[Measurement]] = {name: [] for name in names}
    contents: dict[str, dict[str, Content]] = {}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            own = replace(task, out=task.out / name)
            own.out.mkdir(parents=True)
            try:
                taken[name].append(_once(own, contestants[name]))
                if number == 0:
                    contents[name] = {one: content_apart(own.output(one)) for one in task.formats}
            finally:
                shutil.rmtree(own.out)
            _say(f"  {name}: {taken[name][-1].seconds:.2f} s")
        if number == 0:
            _compare(task, contents)
    return Result(
        workload=task.workload.name,
        formats=task.formats,
        rows=sum(rows for rows, *_ in contents[OURS][task.formats[0]].values()),
        seconds={name: [one.seconds for one in taken[name]] for name in names},
        cpu_seconds={name: [one.cpu_seconds for one in taken[name]] for name in names},
        peaks={name: [one.peak_bytes / _MB for one in taken[name]] for name in names},
    )


def _once(task: Task, command: Callable[[Task], list[str]]) -> Measurement:
    arguments = command(task)
    if task.workload.repeated:
        measure(arguments)
    return measure(arguments)


def _compare(task: Task, contents: Mapping[str, Mapping[str, Content]]) -> None:
    expected = contents[OURS][task.formats[0]]
    for name, found in contents.items():
        for one, content in found.items():
            if unequal := differences(expected, content):
                what = f"{task.workload.name}: {OURS} {task.formats[0]} and {name} {one}"
                raise UnequalError(f"{what} differ: {unequal}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def clear(folder: Path) -> Path:
    """Return an empty folder; whatever an interrupted benchmark left there is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
