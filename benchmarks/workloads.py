"""Source data of the benchmarks, generated once from a seed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.run_builder import write_many

SEED = 1
FORMATS = ("parquet", "csv", "ndjson")
_FEWEST_BINS = 24


@dataclass(frozen=True, slots=True)
class Shape:
    """How much source data there is.

    Attributes:
        runs: Run directories.
        series: Series files of each.
        bins: Rows of each.
        decimals: Of every value; None for a mixture as engines write it, most of it doubles of
            16 or 17 digits.
    """

    runs: int
    series: int
    bins: int
    decimals: int | None = None

    @property
    def rows(self) -> int:
        """Rows of all series files."""
        return self.runs * self.series * self.bins

    @property
    def folder(self) -> str:
        """Name of the folder that holds data of this shape."""
        values = "doubles" if self.decimals is None else f"decimals{self.decimals}"
        return f"{self.runs}x{self.series}x{self.bins}-{values}-seed{SEED}"

    def scaled(self, factor: float) -> Shape:
        """Fewer or more runs; where there is only one, shorter or longer series."""
        if self.runs == 1:
            return replace(self, bins=max(_FEWEST_BINS, round(self.bins * factor)))
        return replace(self, runs=max(1, round(self.runs * factor)))


@dataclass(frozen=True, slots=True)
class Workload:
    """What is exported.

    Attributes:
        name: As on the command line.
        title: What it represents.
        shape: Its source data.
        measure: The only measure that is wanted, or None for all.
        component: The only component that is wanted, or None for all.
        together: All formats are written by one export.
        repeated: The export has been made before.
    """

    name: str
    title: str
    shape: Shape
    measure: str | None = None
    component: str | None = None
    together: bool = False
    repeated: bool = False

    def over(self, shape: Shape) -> Workload:
        """Return the same over other source data."""
        return replace(self, shape=shape)

    def tasks(self, formats: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """Return the formats of each export that is to be timed."""
        if self.together:
            yield FORMATS
        else:
            yield from ((one,) for one in formats)


_SWEEP = Shape(runs=2_000, series=20, bins=288)

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("W1", "wide sweep: 2,000 runs of 20 series of 288 bins", _SWEEP),
        Workload("W2", "long run: 1 run of 40 series of 525,600 bins", Shape(1, 40, 525_600)),
        Workload("W3", "many tiny runs: 10,000 runs of 5 series of 24 bins", Shape(10_000, 5, 24)),
        Workload(
            "W4",
            "one series of each run of W1",
            _SWEEP,
            measure="arrivals",
            component="COMP_0000",
        ),
        Workload("W5", "W1 in three formats at once", _SWEEP, together=True),
        Workload("W6", "W1 once more, with nothing changed", _SWEEP, repeated=True),
    )
}


def generate(shape: Shape, cache: Path) -> Path:
    """Return the folder of run directories of a shape, written if it is not there yet."""
    folder = cache / shape.folder
    if not folder.is_dir():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_many(
            unfinished,
            runs=shape.runs,
            series=shape.series,
            bins=shape.bins,
            seed=SEED,
            decimals=shape.decimals,
        )
        unfinished.rename(folder)
    return folder


def warm(folder: Path) -> None:
    """Read every file once, so that none pays for a cold page cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            file.read_bytes()
