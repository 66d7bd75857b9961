"""Conditions in SQL against the same conditions in Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors.errors import StorageError
from connectors.storage import connect
from pipeline.config import parse_config
from pipeline.errors import ConfigError
from pipeline.exports.run import export
from pipeline.rows.filter import parse_filter
from tests.exporting import config, spec, write_runs
from tests.read_outputs import exact, read_runs
from tests.run_builder import AWKWARD

IDS = ("arrivals@A@DEFAULT", "served@A@DEFAULT", "served@B@Order", "errors@B@DEFAULT")
LATE = {"origin": ("grid.start", "2025-06-01T12:00:00Z"), "created": "2025-06-02T00:00:00Z"}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs",
        spec("run_a", *IDS, values=AWKWARD),
        spec("run_b", *IDS, values=[1.0, -1.0, 0.0, 100.0, 3.5], **LATE),
    )


# SQL beside Python: time, component, measure, class, value, run, bin. NaN is the largest number.
CASES: dict[str, Callable[[str, str, str, str, float, str, int], bool]] = {
    "value > 0": lambda t, o, m, c, v, r, b: v > 0 or math.isnan(v),
    "value > 0 AND measure <> 'errors'": (
        lambda t, o, m, c, v, r, b: (v > 0 or math.isnan(v)) and m != "errors"
    ),
    "value BETWEEN -1 AND 3.5": lambda t, o, m, c, v, r, b: -1 <= v <= 3.5,
    "value = 0": lambda t, o, m, c, v, r, b: v == 0,
    "measure = 'served'": lambda t, o, m, c, v, r, b: m == "served",
    "measure IN ('served', 'errors') and component_id = 'B'": (
        lambda t, o, m, c, v, r, b: m in ("served", "errors") and o == "B"
    ),
    "measure LIKE 'arr%' OR value < 0": (lambda t, o, m, c, v, r, b: m.startswith("arr") or v < 0),
    "NOT (measure = 'served')": lambda t, o, m, c, v, r, b: m != "served",
    "\"class\" = 'Order' AND value >= 1": (
        lambda t, o, m, c, v, r, b: c == "Order" and (v >= 1 or math.isnan(v))
    ),
    "run_id = 'run_b'": lambda t, o, m, c, v, r, b: r == "run_b",
    "run_name = 'run_b' AND bin_index % 2 = 1": (
        lambda t, o, m, c, v, r, b: r == "run_b" and b % 2 == 1
    ),
    "bin_index < 3": lambda t, o, m, c, v, r, b: b < 3,
    "time_bin >= '2025-06-01T14:00:00Z'": (lambda t, o, m, c, v, r, b: t >= "2025-06-01T14:00:00Z"),
    "time_bin < '2025-06-01T14:00:00+02:00'": (
        lambda t, o, m, c, v, r, b: t < "2025-06-01T12:00:00Z"
    ),
    "time_bin BETWEEN '2025-01-01' AND '2025-01-01 02:00'": (
        lambda t, o, m, c, v, r, b: t <= "2025-01-01T02:00:00Z"
    ),
    "created_at > '2025-03-01' AND kind = 'flow'": (
        lambda t, o, m, c, v, r, b: r == "run_b" and m == "arrivals"
    ),
    "unit IS NULL": lambda t, o, m, c, v, r, b: False,
    "unit IS NOT NULL AND team = 'ops'": lambda t, o, m, c, v, r, b: True,
    "team = 'dev' OR rank = 3 AND value = 100": lambda t, o, m, c, v, r, b: v == 100,
    "(measure = 'served' OR measure = 'errors') AND (component_id = 'B')": (
        lambda t, o, m, c, v, r, b: m in ("served", "errors") and o == "B"
    ),
    "measure <> 'served' AND measure <> 'errors'": (lambda t, o, m, c, v, r, b: m == "arrivals"),
    "seed = 42 AND bin_size_minutes = 60 AND mode = 'simulation'": (
        lambda t, o, m, c, v, r, b: True
    ),
}


@pytest.mark.parametrize("text", CASES)
def test_a_condition(runs: Path, tmp_path: Path, text: str) -> None:
    expected = []
    for run in read_runs(runs):
        bins = len(run.rows) // len(run.series)
        expected += [
            row
            for place, row in enumerate(run.rows)
            if CASES[text](*row, run.run_id, place % bins)  # type: ignore[arg-type]
        ]
    constants = {"constants": {"team": "ops", "rank": 3}}
    path = tmp_path / "e.parquet"
    report = export(config(runs, {"path": path}, transform={"filter": text}, metadata=constants))
    frame = pl.read_parquet(path).with_columns(pl.col("time_bin").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert exact(frame.select(frame.columns[:5]).rows()) == exact(expected)
    assert report.targets[0].rows == len(expected)


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("measure = 'served'", ["served@A@DEFAULT", "served@B@Order"] * 2),
        ("measure = 'served' AND value > 1 AND run_id = 'run_a'", IDS[1:3]),
        ("value > 1 AND (component_id = 'B' AND \"class\" = 'Order')", [IDS[2]] * 2),
        ("measure = 'served' OR value > 1", [*IDS, *IDS]),
        ("measure = 'nothing'", []),
        ("kind LIKE 'flow' AND bin_index = 0", [IDS[0]] * 2),
    ],
)
def test_what_series_answer_keeps_files_closed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, opened: Sequence[str]
) -> None:
    seen: list[str] = []
    kind = type(connect(str(runs))[0])
    read_many = kind.read_many

    def watched(self: Any, paths: Sequence[str]) -> list[bytes | StorageError]:
        seen.extend(path.rpartition("/")[2] for path in paths if path.endswith(".csv"))
        return read_many(self, paths)

    monkeypatch.setattr(kind, "read_many", watched)
    export(config(runs, {"path": tmp_path / "e.ndjson"}, transform={"filter": text}))
    assert sorted(seen) == sorted(f"{one}.csv" for one in opened)


def test_a_condition_is_checked_with_the_config(runs: Path) -> None:
    text = f"""
version: 1
source: {{url: {runs}}}
transform:
  filter: "valu > 0"
sinks: [{{format: csv, path: e.csv}}]
"""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, filename="c.yaml")
    assert str(caught.value).startswith("c.yaml:5:11: transform.filter: there is no column 'valu'")


def test_a_condition_is_taken_apart() -> None:
    text = "measure = 'a' AND value > 1 AND kind = 'b' AND bin_index < 3"
    found = parse_filter(text, {}, datetime.now(UTC))
    assert found.of_series is not None
    assert found.of_rows is not None
    assert sorted(found.of_series.meta.root_names()) == ["kind", "measure"]
    assert sorted(found.columns) == ["bin_index", "value"]


def test_old_names_are_used_in_conditions(runs: Path, tmp_path: Path) -> None:
    changed = {"filter": "component_id = 'B'", "rename": {"component_id": "node"}}
    export(config(runs, {"path": tmp_path / "e.parquet"}, transform=changed))
    assert pl.read_parquet(tmp_path / "e.parquet")["node"].unique().to_list() == ["B"]
