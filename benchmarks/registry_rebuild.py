"""Measure how long a rebuild of a registry takes beside the discovery of the same runs.

Each is a process of its own: discovery in one process, a rebuild by the command line.

python -m benchmarks.registry_rebuild --runs 20000 --rounds 3
python -m benchmarks.registry_rebuild --source samples/runs
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.contestants import PROGRAM
from benchmarks.measure import Measurement, measure
from benchmarks.workloads import Shape, generate, warm

_DISCOVER = """
import sys
from connectors.flowtime.discover.discovery import discover_each
from connectors.storage import connect
for _ in discover_each(*connect(sys.argv[1])):
    pass
"""


def main() -> None:
    """Discover, rebuild, and rebuild again with nothing new, in turns; print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--source", type=Path, help="a folder of runs; default: runs that are generated")
    add("--runs", type=int, default=20_000)
    add("--series", type=int, default=5)
    add("--bins", type=int, default=24)
    add("--rounds", type=int, default=3)
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    options = parser.parse_args()
    shape = Shape(options.runs, options.series, options.bins)
    source: Path = options.source or generate(shape, options.cache.resolve())
    warm(source)
    rounds = [_round(str(source)) for _ in range(options.rounds)]
    found: dict[str, object] = {}
    for what in rounds[0]:
        wall = [one[what].seconds for one in rounds]
        work = [one[what].cpu_seconds for one in rounds]
        found[what] = {
            "wall, s": round(statistics.median(wall), 2),
            "cpu, s": round(statistics.median(work), 2),
            "of discovery, wall": _ratio(wall, [one["discover"].seconds for one in rounds]),
            "of discovery, cpu": _ratio(work, [one["discover"].cpu_seconds for one in rounds]),
        }
    print(json.dumps(found, indent=2))


def _ratio(of: list[float], to: list[float]) -> float:
    return round(statistics.median(one / other for one, other in zip(of, to, strict=True)), 2)


def _round(source: str) -> dict[str, Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        registry = f"sqlite:///{folder}/registry.db"
        rebuild = [*PROGRAM, "artifacts", "rebuild", source, "--registry", registry]
        return {
            "discover": measure([sys.executable, "-c", _DISCOVER, source]),
            "rebuild": measure(rebuild),
            "rebuild, nothing new": measure(rebuild),
        }


if __name__ == "__main__":
    main()
