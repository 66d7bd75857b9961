"""Memory of one config over more and more runs: `python -m benchmarks.memory`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import OURS, Task, commands
from benchmarks.measure import measure
from benchmarks.rounds import clear
from benchmarks.tables import aligned
from benchmarks.workloads import FORMATS, WORKLOADS, generate, warm


def main(argv: Sequence[str] | None = None) -> int:
    """Print the peaks side by side."""
    args = _parser().parse_args(argv)
    export = commands(())[OURS]
    out: Path = args.out.resolve()
    rows = []
    for runs in args.runs:
        workload = WORKLOADS["W1"]
        workload = workload.over(replace(workload.shape, runs=runs))
        source = generate(workload.shape, args.cache.resolve())
        warm(source)
        peaks = []
        for formats in [*((one,) for one in FORMATS), FORMATS]:
            task = Task(workload, source, formats, clear(out / "work"))
            peaks.append(f"{measure(export(task)).peak_bytes / 1e6:.0f}")
        rows.append([f"{runs:,}", f"{workload.shape.rows:,}", *peaks])
        clear(out / "work")
    header = ["runs", "rows", *(f"{one} MB" for one in FORMATS), "all at once MB"]
    print(aligned(header, rows, texts=0))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, nargs="+", default=[200, 2_000])
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    add("--out", type=Path, default=Path("out/benchmarks"), help="for what is exported meanwhile")
    return parser


if __name__ == "__main__":
    sys.exit(main())
