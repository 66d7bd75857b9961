"""The command line that peers of comparisons share, and the metrics that all of them find."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

METRICS = ("n", "max_abs", "mean_difference", "mae", "rmse", "smape", "percent_change", "corr")


def runs() -> tuple[Path, Path]:
    """Return the two run directories that the command line names."""
    baseline, comparison = sys.argv[1:3]
    return Path(baseline), Path(comparison)


def pairs() -> Iterator[tuple[str, str, str]]:
    """Name and both files of each series."""
    baseline, comparison = runs()
    for file in sorted((baseline / "series").glob("*.csv")):
        yield file.stem, str(file), str(comparison / "series" / file.name)


def show(metrics: dict[str, list[float]]) -> None:
    """Print the metrics of each series."""
    print(json.dumps({name: dict(zip(METRICS, row, strict=True)) for name, row in metrics.items()}))
