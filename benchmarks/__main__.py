"""Times of this project beside those of DuckDB and Polars: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import PEERS, Task, commands
from benchmarks.measure import FailedError
from benchmarks.rounds import Result, UnequalError, clear, play
from benchmarks.tables import as_json, markdown
from benchmarks.workloads import FORMATS, WORKLOADS, generate, warm


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for."""
    args = _parser().parse_args(argv)
    contestants = commands(args.peers)
    out: Path = args.out.resolve()
    work = clear(out / "work")
    results: list[Result] = []
    try:
        for name in args.workload:
            shape = WORKLOADS[name].shape.scaled(args.scale)
            workload = WORKLOADS[name].over(replace(shape, decimals=args.decimals))
            _say(f"{name}: {WORKLOADS[name].title}, scale {args.scale:g}")
            source = generate(workload.shape, args.cache.resolve())
            warm(source)
            for formats in workload.tasks(tuple(args.format)):
                _say(f" {' + '.join(formats)}")
                task = Task(workload, source, formats, work)
                results.append(play(task, contestants, args.rounds))
                _save(results, out, args.scale)
    except (UnequalError, FailedError) as error:
        _say(str(error))
        return 1
    print(markdown(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--workload", nargs="+", choices=WORKLOADS, default=["W1"])
    add("--format", nargs="+", choices=FORMATS, default=list(FORMATS))
    add("--rounds", type=int, default=3)
    add("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    add("--scale", type=float, default=1.0, help="factor on the number of runs (W2: of bins)")
    add("--decimals", type=int, help="of all values; default: a mixture as engines write it")
    add("--out", type=Path, default=Path("out/benchmarks"), help="for results.md, results.json")
    return parser


def _save(results: Sequence[Result], out: Path, scale: float) -> None:
    (out / "results.md").write_text(markdown(results) + "\n", encoding="utf-8")
    data = json.dumps(as_json(results, scale=scale), indent=2)
    (out / "results.json").write_text(data + "\n", encoding="utf-8")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
