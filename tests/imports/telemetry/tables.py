"""Foreign tables for tests, and the runs that they are imported as."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.flowtime.model.run import Run
from pipeline.imports.telemetry import ForeignDataError, ForeignOptions, ForeignReport, open_foreign

START = datetime(2025, 1, 1, tzinfo=UTC)
HEADER = "time_bin,component_id,measure,value"


@dataclass(frozen=True)
class Imported:
    """A table as it was understood."""

    run: Run
    report: ForeignReport
    values: dict[str, list[float]]


def imported(*files: Path | str, budget: int = 64_000_000, **options: Any) -> Imported:
    """Read a table that can become a run."""
    urls = [str(file) for file in files]
    with open_foreign(urls, ForeignOptions(**options), budget=budget) as found:
        values = {series.id: array.tolist() for series, array in found.series()}
        return Imported(found.run, found.report, values)


def refused(*files: Path | str, **options: Any) -> ForeignReport:
    """Read a table that cannot, and give its report."""
    with pytest.raises(ForeignDataError) as caught:
        imported(*files, **options)
    assert not caught.value.report.ok
    return caught.value.report


def reported(report: ForeignReport, kind: str) -> list[tuple[int | None, str | None]]:
    """Line and column of each problem of a kind, and that no other kind is there."""
    assert set(report.counts) == {kind}, report.as_text()
    return [(problem.line, problem.column) for problem in report.problems]


def stamp(number: int, minutes: int = 5) -> str:
    """The time of a bin."""
    return (START + timedelta(minutes=number * minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def bits(values: Sequence[float]) -> list[bytes]:
    """Doubles that compare bit for bit, all NaN being one."""
    return [b"nan" if math.isnan(one) else struct.pack("<d", one) for one in values]


def all_bits(series: Mapping[str, Sequence[float]]) -> dict[str, list[bytes]]:
    """Likewise for every series."""
    return {name: bits(values) for name, values in series.items()}


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    """A file of text lines below a header."""
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path
