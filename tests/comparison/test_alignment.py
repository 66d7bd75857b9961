"""Grids laid over each other, and bins aggregated by kind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.comparison import (
    Comparison,
    ComparisonOptions,
    ComparisonRequest,
    SideSource,
    compare_sides,
)
from pipeline.comparison.alignment import AlignmentMethod
from pipeline.errors import ConfigError, IncomparableError
from pipeline.rows.aggregation import aggregate
from tests.exporting import write_runs
from tests.run_builder import RunSpec

HOURS = {"binSize": 1, "binUnit": "hours"}


def grid(minutes: int) -> dict[str, Any]:
    return {"binSize": minutes, "binUnit": "minutes"}


def run(name: str, values: dict[str, list[float]], **changes: Any) -> RunSpec:
    bins = len(next(iter(values.values())))
    shape = changes.pop("grid", HOURS)
    return RunSpec(name, values, grid={"bins": bins, **shape}, **changes)


def starting(text: str | None) -> dict[str, Any]:
    return {"origin": None if text is None else ("grid.start", text)}


def compared(folder: Path, one: RunSpec, other: RunSpec, **options: Any) -> Comparison:
    write_runs(folder, one, other)
    request = ComparisonRequest(
        SideSource(str(folder / one.name)),
        SideSource(str(folder / other.name)),
        ComparisonOptions(**options),
    )
    return compare_sides(request)


def rows(comparison: Comparison) -> list[tuple[str, float, float]]:
    frame = comparison.differences().collect()
    times = frame["time_bin"].dt.strftime("%dT%H:%M").to_list()
    return list(zip(times, frame["baseline"], frame["comparison"], strict=True))


SIX = {"served@A@DEFAULT": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
FOUR = {"served@A@DEFAULT": [30.0, 40.0, 50.0, 60.0]}


@pytest.mark.parametrize(
    ("method", "starts", "resolved", "expected"),
    [
        (
            "auto",
            ("2025-01-01T00:00:00Z", "2025-01-01T02:00:00Z"),
            "timestamp",
            [("01T02:00", 3, 30), ("01T03:00", 4, 40), ("01T04:00", 5, 50), ("01T05:00", 6, 60)],
        ),
        (
            "timestamp",
            ("2025-01-01T02:00:00Z", "2025-01-01T00:00:00Z"),
            "timestamp",
            [("01T02:00", 1, 50), ("01T03:00", 2, 60)],
        ),
        (
            "start_time",
            ("2025-01-01T00:00:00Z", "2025-07-01T02:30:00Z"),
            "start_time",
            [("01T00:00", 1, 30), ("01T01:00", 2, 40), ("01T02:00", 3, 50), ("01T03:00", 4, 60)],
        ),
        (
            "auto",
            ("2025-01-01T00:00:00Z", None),
            "start_time",
            [("01T00:00", 1, 30), ("01T01:00", 2, 40), ("01T02:00", 3, 50), ("01T03:00", 4, 60)],
        ),
    ],
)
def test_offsets(
    tmp_path: Path,
    method: AlignmentMethod,
    starts: tuple[str | None, str | None],
    resolved: str,
    expected: list[tuple[str, float, float]],
) -> None:
    found = compared(
        tmp_path,
        run("one", SIX, **starting(starts[0])),
        run("other", FOUR, **starting(starts[1])),
        alignment=method,
    )
    assert rows(found) == expected
    assert found.alignment.method == resolved
    assert found.alignment.bins == len(expected)
    assert any("no counterpart" in note for note in found.notes)


def test_the_overlap_is_said(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        run("one", SIX, **starting("2025-01-01T00:00:00Z")),
        run("other", FOUR, **starting("2025-01-01T04:00:00Z")),
    ).as_json()["alignment"]
    assert (found["from"], found["to"]) == ("2025-01-01T04:00:00Z", "2025-01-01T06:00:00Z")
    assert found["baselineBins"] == {"first": 4, "count": 2, "perComparedBin": 1}
    assert found["comparisonBins"] == {"first": 0, "count": 2, "perComparedBin": 1}
    assert "4 of 6 bins of the baseline" in found["notes"][0]
    assert "2 of 4 bins of the comparison" in found["notes"][1]


def fine(ids: str) -> dict[str, list[float]]:
    return {ids: [1.0, 2.0, 3.0, 10.0, 20.0, 60.0, 5.0, 5.0, 5.0]}


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("flow", {}, [6.0, 90.0, 15.0]),
        ("state", {}, [2.0, 30.0, 5.0]),
        ("ratio", {}, [2.0, 30.0, 5.0]),
        ("stock", {}, [3.0, 60.0, 5.0]),
        ("derived", {"aggregations": {"derived": "max"}}, [3.0, 60.0, 5.0]),
        ("time", {"aggregations": {"*": "first"}}, [1.0, 10.0, 5.0]),
        ("flow", {"aggregations": {"flow": "min"}}, [1.0, 10.0, 5.0]),
    ],
)
@pytest.mark.parametrize("finer", ["baseline", "comparison"])
def test_a_finer_grid_is_aggregated_by_kind(
    tmp_path: Path, kind: str, options: dict[str, Any], expected: list[float], finer: str
) -> None:
    one = run("fine", fine("served@A@DEFAULT"), grid=grid(20))
    other = run("coarse", {"served@A@DEFAULT": expected}, grid=grid(60))
    write_runs(tmp_path, one, other)
    for name in ("fine", "coarse"):
        index = tmp_path / name / "series" / "index.json"
        index.write_text(index.read_text().replace('"kind": "flow"', f'"kind": "{kind}"'))
    sides = [SideSource(str(tmp_path / name)) for name in ("fine", "coarse")]
    if finer == "comparison":
        sides.reverse()
    found = compare_sides(ComparisonRequest(sides[0], sides[1], ComparisonOptions(**options)))
    assert found.summary == {"equal": 1, "within": 0, "different": 0}
    assert found.alignment.bin_minutes == 60
    assert found.differences().collect()["baseline"].to_list() == expected
    assert found.series[0].aggregation is not None


def test_coarse_bins_count_where_the_fine_grid_fills_them(tmp_path: Path) -> None:
    one = run(
        "fine", {"served@A@DEFAULT": [1.0] * 10}, grid=grid(20), **starting("2025-01-01T00:40:00Z")
    )
    other = run(
        "coarse", {"served@A@DEFAULT": [3.0] * 5}, grid=grid(60), **starting("2025-01-01T00:00:00Z")
    )
    for baseline, comparison in ((one, other), (other, one)):
        found = compared(tmp_path, baseline, comparison)
        assert rows(found) == [("01T01:00", 3, 3), ("01T02:00", 3, 3), ("01T03:00", 3, 3)]


def test_many_blocks_of_aggregated_bins(tmp_path: Path) -> None:
    values = [float(number % 997) for number in range(60 * 2_400)]
    sums = np.array(values).reshape(-1, 60).sum(axis=1).tolist()
    one = run("fine", {"served@A@DEFAULT": values}, grid=grid(1))
    other = run("coarse", {"served@A@DEFAULT": sums}, grid=grid(60))
    found = compared(tmp_path, one, other)
    assert (found.summary["equal"], found.alignment.bins) == (1, 2_400)
    assert found.differences().collect()["comparison"].to_list() == sums


def test_by_bin_grids_of_any_width_are_compared(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        run("one", SIX, grid=grid(7)),
        run("other", SIX, grid=grid(5)),
        alignment="bin",
    )
    assert found.summary["equal"] == 1
    assert any("by their number" in note for note in found.notes)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (
            {"grid": HOURS, **starting("2025-01-01T00:00:00Z")},
            {"grid": HOURS, **starting("2025-03-01T00:00:00Z")},
            "have no bin in common.*alignment start_time",
        ),
        ({"grid": grid(7)}, {"grid": grid(5)}, "neither width is a multiple of the other"),
        (
            {"grid": HOURS, **starting("2025-01-01T00:00:00Z")},
            {"grid": HOURS, **starting("2025-01-01T00:30:00Z")},
            "do not begin at the same instants",
        ),
        ({"grid": grid(20)}, {"grid": grid(600)}, "have no bin in common"),
    ],
)
def test_grids_that_do_not_fit_are_refused(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], reason: str
) -> None:
    with pytest.raises(IncomparableError, match=reason):
        compared(
            tmp_path, run("one", SIX, **one), run("other", SIX, **other), alignment="timestamp"
        )


def test_a_kind_without_an_aggregation_is_refused(tmp_path: Path) -> None:
    write_runs(
        tmp_path,
        run("fine", fine("served@A@DEFAULT"), grid=grid(20), kinds=False),
        run("coarse", {"served@A@DEFAULT": [1.0, 2.0, 3.0]}, grid=grid(60), kinds=False),
    )
    request = ComparisonRequest(
        SideSource(str(tmp_path / "fine")), SideSource(str(tmp_path / "coarse"))
    )
    with pytest.raises(ConfigError, match=r"served@A@DEFAULT \(no kind\).*\*=mean"):
        compare_sides(request)


@pytest.mark.parametrize("method", ["sum", "mean", "last", "first", "min", "max"])
def test_aggregation_agrees_with_polars(method: str) -> None:
    values = np.random.default_rng(2).integers(-50, 50, 24).astype(np.float64)
    frame = pl.DataFrame({"bin": np.arange(24) // 4, "value": values})
    expected = frame.group_by("bin", maintain_order=True).agg(getattr(pl.col("value"), method)())
    assert aggregate(values, 4, method).tolist() == expected["value"].to_list()  # type: ignore[arg-type]


def test_a_bin_without_a_number_leaves_the_whole_without_one() -> None:
    values = np.array([1.0, math.nan, 3.0, 4.0])
    for method in ("sum", "mean", "last", "min", "max"):
        found = aggregate(values, 2, method)  # type: ignore[arg-type]
        assert math.isnan(found[0])
        assert not math.isnan(found[1])
