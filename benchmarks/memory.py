"""Memory and time of one config over more and more runs: `python -m benchmarks.memory`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import PROGRAM, Task, ours
from benchmarks.measure import Measurement, measure
from benchmarks.rounds import clear
from benchmarks.tables import aligned
from benchmarks.workloads import FORMATS, WORKLOADS, Shape, Workload, generate, warm


def main(argv: Sequence[str] | None = None) -> int:
    """Print peaks and times side by side, each beside those of the fewest runs."""
    args = _parser().parse_args(argv)
    workload = WORKLOADS["W1"]
    base = replace(workload.shape, series=args.series, bins=args.bins)
    shapes = [replace(base, runs=runs) for runs in sorted(args.runs)]
    taken: dict[tuple[str, str], list[Measurement]] = {}
    for shape in shapes:
        source = generate(shape, args.cache.resolve())
        warm(source)
        for formats in _tasks(tuple(args.format)):
            measured = _measured(workload.over(shape), source, formats, args.out.resolve())
            for step, one in measured.items():
                taken.setdefault((" + ".join(formats), step), []).append(one)
    print(aligned(_HEADER, _rows(shapes, taken), texts=2))
    return 0


_HEADER = [
    *("formats", "step", "runs", "rows", "s", "CPU s", "MB"),
    *("times rows", "times CPU s", "times MB"),
]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, nargs="+", default=[200, 2_000])
    add("--series", type=int, default=WORKLOADS["W1"].shape.series, help="of each run")
    add("--bins", type=int, default=WORKLOADS["W1"].shape.bins, help="of each series")
    add("--format", nargs="+", choices=FORMATS, default=list(FORMATS))
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    add("--out", type=Path, default=Path("out/benchmarks"), help="for what is exported meanwhile")
    return parser


def _tasks(formats: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Each format alone, then all of them at once."""
    alone = [(one,) for one in formats]
    return [*alone, formats] if len(formats) > 1 else alone


def _measured(
    workload: Workload, source: Path, formats: tuple[str, ...], out: Path
) -> dict[str, Measurement]:
    """Run an export, and what is done with a published one."""
    work = clear(out / "work")
    try:
        export = ours(Task(workload, source, formats, work))
        descriptor = str(work / "export.datapackage.json")
        return {
            "first": measure(export),
            "nothing new": measure(export),
            "--full-refresh": measure([*export, "--full-refresh"]),
            "verify": measure([*PROGRAM, "verify", descriptor]),
        }
    finally:
        clear(work)


def _rows(
    shapes: Sequence[Shape], taken: dict[tuple[str, str], list[Measurement]]
) -> list[list[str]]:
    return [
        [
            formats,
            step,
            f"{shape.runs:,}",
            f"{shape.rows:,}",
            f"{one.seconds:.1f}",
            f"{one.cpu_seconds:.1f}",
            f"{one.peak_bytes / 1e6:.0f}",
            f"{shape.rows / shapes[0].rows:.1f}",
            f"{one.cpu_seconds / measured[0].cpu_seconds:.1f}",
            f"{one.peak_bytes / measured[0].peak_bytes:.2f}",
        ]
        for (formats, step), measured in taken.items()
        for shape, one in zip(shapes, measured, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
