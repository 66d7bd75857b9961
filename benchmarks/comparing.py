"""Comparing two runs, beside Polars and DuckDB: `python -m benchmarks.comparing`."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measurement, measure
from benchmarks.tables import aligned
from benchmarks.workloads import Shape, generate, warm

_CLI = (sys.executable, "-c", "from pipeline.cli.main import main; main()")
_PEERS = {
    "Polars, one query": "benchmarks.peers.polars_compare",
    "Polars, file by file, with the same checks": "benchmarks.peers.polars_pairs",
    "DuckDB, one query": "benchmarks.peers.duckdb_compare",
}
_OURS = "flowtime-export compare"
_NAMES = {
    "n": "n",
    "max_abs": "maxAbs",
    "mean_difference": "meanDifference",
    "mae": "mae",
    "rmse": "rmse",
    "smape": "smape",
    "percent_change": "percentChange",
    "corr": "correlation",
}
_TOLERANCE = 1e-9


def main(argv: Sequence[str] | None = None) -> int:
    """Compare in turns, check that all find the same, and print the fastest round of each."""
    args = _parser().parse_args(argv)
    shape = Shape(2, args.series, args.bins, args.decimals)
    source = generate(shape, args.cache.resolve())
    warm(source)
    sides = [str(run) for run in sorted(source.iterdir()) if run.is_dir()]
    commands = {_OURS: [*_CLI, "compare", *sides, "--json", "--alignment", "start_time"]}
    commands |= {name: [sys.executable, "-m", module, *sides] for name, module in _PEERS.items()}
    taken: dict[str, list[Measurement]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            taken[name].append(measure(command))
    fastest = {name: min(all_, key=lambda one: one.seconds) for name, all_ in taken.items()}
    _check(fastest)
    print(
        aligned(
            ["", "rows a side", "s", "CPU s", "MB", "times ours"], _rows(shape, fastest), texts=1
        )
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparing", description=__doc__)
    add = parser.add_argument
    add("--series", type=int, default=40)
    add("--bins", type=int, default=525_600)
    add("--decimals", type=int, help="of all values; default: a mixture as engines write it")
    add("--rounds", type=int, default=3)
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    return parser


def _rows(shape: Shape, fastest: dict[str, Measurement]) -> list[list[str]]:
    ours = fastest[_OURS].seconds
    return [
        [
            name,
            f"{shape.rows // 2:,}",
            f"{one.seconds:.2f}",
            f"{one.cpu_seconds:.2f}",
            f"{one.peak_bytes / 1e6:.0f}",
            f"{one.seconds / ours:.2f}",
        ]
        for name, one in fastest.items()
    ]


def _check(fastest: dict[str, Measurement]) -> None:
    """Stop unless all have found the same metrics."""
    listed = json.loads(fastest[_OURS].stdout)["series"]
    ours = {one["seriesId"]: one for one in listed}
    for name in _PEERS:
        theirs = json.loads(fastest[name].stdout)
        if theirs.keys() != ours.keys():
            raise SystemExit(f"{name} has other series")
        for series, metrics in theirs.items():
            for metric, value in metrics.items():
                found = ours[series][_NAMES[metric]]
                if not math.isclose(found, value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
                    raise SystemExit(f"{name}: {metric} of {series} is {value}; ours {found}")


if __name__ == "__main__":
    sys.exit(main())
