"""Measure how long a rebuild of a registry takes beside the discovery of the same runs.

python -m benchmarks.registry_rebuild --runs 20000 --rounds 3
python -m benchmarks.registry_rebuild --source samples/runs
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import Shape, generate, warm
from connectors.flowtime.discover.discovery import discover_each
from connectors.storage import connect
from pipeline.registry.registry import open_registry


@dataclass(frozen=True, slots=True)
class Spent:
    """What some work took.

    Attributes:
        wall: Seconds by the clock.
        work: Seconds of processor time, of all threads.
    """

    wall: float
    work: float

    @classmethod
    def by(cls, work: Callable[[], object]) -> Spent:
        """Return what a call took."""
        began, began_work = time.perf_counter(), time.process_time()
        work()
        return cls(time.perf_counter() - began, time.process_time() - began_work)

    def over(self, other: Spent) -> tuple[float, float]:
        """Return how many times as much this was, by the clock and in processor time."""
        return self.wall / other.wall, self.work / other.work


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
        spent = [one[what] for one in rounds]
        ratios = [one[what].over(one["discover"]) for one in rounds]
        found[what] = {
            "wall, s": round(statistics.median(one.wall for one in spent), 2),
            "cpu, s": round(statistics.median(one.work for one in spent), 2),
            "of discovery, wall": round(statistics.median(wall for wall, _ in ratios), 2),
            "of discovery, cpu": round(statistics.median(work for _, work in ratios), 2),
        }
    print(json.dumps(found, indent=2))


def _round(source: str) -> dict[str, Spent]:
    with tempfile.TemporaryDirectory() as folder, open_registry(Path(folder) / "r.db") as registry:
        return {
            "discover": Spent.by(lambda: _discover(source)),
            "rebuild": Spent.by(lambda: registry.rebuild(source)),
            "rebuild, nothing new": Spent.by(lambda: registry.rebuild(source)),
        }


def _discover(source: str) -> None:
    for _ in discover_each(*connect(source)):
        pass


if __name__ == "__main__":
    main()
