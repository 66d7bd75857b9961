"""A data set by one process and by worker processes, in turns: `python -m benchmarks.scaling`.

Seconds only compare engines on a machine that does nothing else, with a core for each worker.
Processor time compares them anywhere: what workers cost beside the tasks, and what is left to the
exporting process.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contestants import export_command
from benchmarks.measure import measure
from benchmarks.rounds import clear
from benchmarks.tables import aligned
from benchmarks.workloads import FORMATS, WORKLOADS, generate, warm

_LOCAL = 0


@dataclass(frozen=True, slots=True)
class EngineTime:
    """What one export took.

    Attributes:
        seconds: From the start of the program to its end.
        parent: Processor seconds of the exporting process, its imports included.
        workers: Processor seconds of worker processes, their imports included.
        peak_bytes: Most memory of all processes together.
    """

    seconds: float
    parent: float
    workers: float
    peak_bytes: int


def main(argv: Sequence[str] | None = None) -> int:
    """Print the medians of all rounds, and the ratio of those of one round to each other."""
    args = _parser().parse_args(argv)
    source = generate(WORKLOADS[args.workload].shape.scaled(args.scale), args.cache.resolve())
    warm(source)
    work = args.out.resolve() / "work"
    rows = []
    try:
        for form in args.format:
            taken = _rounds(source, work, form, [_LOCAL, *args.workers], args.rounds)
            rows += [_row(form, workers, taken) for workers in taken]
    finally:
        clear(work)
    print(aligned(_HEADER, rows, texts=2))
    return 0


_HEADER = [
    *("format", "engine", "s", "local / it", "CPU s", "parent", "workers", "parent's share", "MB")
]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    add = parser.add_argument
    add("--workload", choices=WORKLOADS, default="W1")
    add("--format", nargs="+", choices=FORMATS, default=["parquet", "csv"])
    add("--workers", type=int, nargs="+", default=[1, 2])
    add("--rounds", type=int, default=3)
    add("--scale", type=float, default=1.0, help="factor on the number of runs (W2: of bins)")
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    add("--out", type=Path, default=Path("out/benchmarks"), help="for what is exported meanwhile")
    return parser


def _rounds(
    source: Path, work: Path, form: str, workers: Sequence[int], rounds: int
) -> dict[int, list[EngineTime]]:
    """Return the times by number of workers; who begins changes with the round."""
    taken: dict[int, list[EngineTime]] = {number: [] for number in workers}
    for place in range(rounds):
        first = place % len(workers)
        for number in (*workers[first:], *workers[:first]):
            taken[number].append(_once(source, clear(work), form, number))
    return taken


def _once(source: Path, work: Path, form: str, workers: int) -> EngineTime:
    engine: dict[str, Any] = {"engine": "local"}
    if workers:
        engine = {"engine": "processes", "workers": workers}
    config = {
        "version": 1,
        "source": {"url": str(source)},
        "sinks": [{"format": form, "path": str(work / "set")}],
        "execution": {**engine, "memory_limit": "1GB"},
    }
    found = measure(export_command(config, work / "config.yaml"))
    of_workers = float(json.loads(found.stdout)["seconds"]["cpu"]["workers"])
    # The report counts from the first line of the export; the program has been imported before.
    return EngineTime(found.seconds, found.cpu_seconds - of_workers, of_workers, found.peak_bytes)


def _row(form: str, workers: int, taken: dict[int, list[EngineTime]]) -> list[str]:
    own, local = taken[workers], taken[_LOCAL]
    ratio = median(one.seconds / two.seconds for one, two in zip(local, own, strict=True))
    parent, others = median(one.parent for one in own), median(one.workers for one in own)
    return [
        form,
        f"processes, {workers}" if workers else "local",
        f"{median(one.seconds for one in own):.2f}",
        f"{ratio:.2f}",
        f"{parent + others:.2f}",
        f"{parent:.2f}",
        f"{others:.2f}",
        f"{parent / (parent + others):.2f}",
        f"{max(one.peak_bytes for one in own) / 1e6:.0f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
