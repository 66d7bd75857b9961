"""Time and memory of verifying an export and of importing it: `python -m benchmarks.way_back`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measurement, measure
from benchmarks.rounds import clear
from benchmarks.tables import aligned
from benchmarks.workloads import FORMATS, Shape, generate

_CLI = (sys.executable, "-c", "from pipeline.cli.main import main; main()")


def main(argv: Sequence[str] | None = None) -> int:
    """Export, verify against the runs, import, and compare every series file with the original."""
    args = _parser().parse_args(argv)
    shape = Shape(args.runs, args.series, args.bins)
    source = generate(shape, args.cache.resolve())
    out: Path = args.out.resolve()
    rows = []
    for format_ in args.format:
        work = clear(out / "way_back")
        export = work / f"export.{format_}"
        steps = {
            "export": ["run", _config(source, format_, export, work)],
            "verify --against": ["verify", str(export), "--against", str(source)],
            "import": ["import", str(export), "--out", str(work / "runs")],
        }
        for name, arguments in steps.items():
            rows.append([format_, name, f"{shape.rows:,}", *_cells(measure([*_CLI, *arguments]))])
        _compare(source, work / "runs")
    clear(out / "way_back")
    print(aligned(["format", "step", "rows", "s", "CPU s", "MB"], rows, texts=2))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.way_back", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=5)
    add("--series", type=int, default=40)
    add("--bins", type=int, default=525_600)
    add("--format", nargs="+", choices=FORMATS, default=list(FORMATS))
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    add("--out", type=Path, default=Path("out/benchmarks"), help="for what is written meanwhile")
    return parser


def _config(source: Path, format_: str, export: Path, work: Path) -> str:
    config = {
        "version": 1,
        "source": {"url": str(source)},
        "sinks": [{"format": format_, "path": str(export)}],
    }
    path = work / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def _cells(taken: Measurement) -> list[str]:
    return [f"{taken.seconds:.1f}", f"{taken.cpu_seconds:.1f}", f"{taken.peak_bytes / 1e6:.0f}"]


def _compare(source: Path, restored: Path) -> None:
    """Stop unless every series file came back as it was."""
    for path in sorted(source.glob("*/series/*.csv")):
        if path.read_bytes() != (restored / path.relative_to(source)).read_bytes():
            raise SystemExit(f"{path} came back in other bytes")


if __name__ == "__main__":
    sys.exit(main())
