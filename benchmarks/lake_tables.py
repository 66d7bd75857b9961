"""Lake tables over one set of runs: `python -m benchmarks.lake_tables`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import METADATA, export_command
from benchmarks.measure import Measurement, measure
from benchmarks.rounds import clear
from benchmarks.tables import aligned
from benchmarks.workloads import WORKLOADS, generate, warm

_PEER = "polars sink_delta"
_FORMATS = ("delta", "iceberg")


def main(argv: Sequence[str] | None = None) -> int:
    """Print time and memory of exports to tables beside Polars' own Delta sink, same frame."""
    args = _parser().parse_args(argv)
    shape = replace(WORKLOADS["W1"].shape, runs=args.runs, series=args.series, bins=args.bins)
    source = generate(shape, args.cache.resolve())
    warm(source)
    work = clear(args.out.resolve() / "work")
    try:
        peer = measure([sys.executable, "-c", _SINK_DELTA, str(source), str(work / "peer")])
        rows = [_row(_PEER, "first", peer, peer)]
        for form in args.format:
            rows += [_row(form, step, one, peer) for step, one in _steps(form, source, work)]
    finally:
        clear(work)
    print(aligned(["table", "step", "s", "CPU s", "MB", "times sink_delta"], rows, texts=2))
    return 0


_SINK_DELTA = f"""
import sys
import flowtime_export as fx
frame = fx.scan(sys.argv[1], metadata={METADATA!r})
frame.sink_delta(sys.argv[2])
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lake_tables", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=WORKLOADS["W1"].shape.runs)
    add("--series", type=int, default=WORKLOADS["W1"].shape.series, help="of each run")
    add("--bins", type=int, default=WORKLOADS["W1"].shape.bins, help="of each series")
    add("--format", nargs="+", choices=_FORMATS, default=list(_FORMATS))
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    add("--out", type=Path, default=Path("out/benchmarks"), help="for what is exported meanwhile")
    return parser


def _steps(form: str, source: Path, work: Path) -> Iterator[tuple[str, Measurement]]:
    """Measure a first export, one with nothing new, and one that leaves a run out."""
    sink: dict[str, object] = {"format": form, "path": str(work / form)}
    if form == "iceberg":
        sink |= {"table": "ns.gold", "catalog": {"type": "sql", "uri": f"sqlite:///{work}/c.db"}}
    content = {
        "version": 1,
        "name": "benchmark",
        "source": {"url": str(source)},
        "metadata": {"columns": list(METADATA)},
        "sinks": [sink],
    }
    command = export_command(content, work / f"{form}.yaml")
    first = min(one.name for one in source.iterdir())
    yield "first", measure(command)
    yield "nothing new", measure(command)
    yield "one run less", measure([*command, "--set", f"source.exclude=[{first}]"])


def _row(table: str, step: str, one: Measurement, peer: Measurement) -> list[str]:
    return [
        table,
        step,
        f"{one.seconds:.1f}",
        f"{one.cpu_seconds:.1f}",
        f"{one.peak_bytes / 1e6:.0f}",
        f"{one.seconds / peer.seconds:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
