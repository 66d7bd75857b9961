"""Resampled series, against the resampling of Polars and pandas."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.flowtime.scan.scanner import SCHEMA
from pipeline.cli.main import run_cli
from pipeline.comparison.compare import compare_sides
from pipeline.comparison.matching import ComparisonRequest
from pipeline.comparison.sides.side import SideSource
from pipeline.errors import ConfigError, IntegrityError, RunError
from pipeline.exports.preview import preview
from pipeline.exports.run import export
from pipeline.exports.session import ExportSession
from pipeline.imports import ImportOptions, import_export
from pipeline.rows.aggregation import AGGREGATIONS
from pipeline.rows.resample import BinGroups, Resampler
from pipeline.rows.stages import staged
from pipeline.verification import verify
from tests.exporting import config, descriptor, spec, write_runs

HOURS = 24
# Of the kinds flow, state, stock, derived, ratio, time and edge.
IDS = tuple(f"m{place}@A@DEFAULT" for place in range(7))
NATURAL = {"m0": "sum", "m1": "mean", "m2": "last", "m4": "mean"}
CHOSEN = {"derived": "max", "*": "min"}
METHODS = {**NATURAL, "m3": "max", "m5": "min", "m6": "min"}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    values = [float((7 * hour) % 11) for hour in range(HOURS)]
    odd = [math.nan if hour == 5 else value for hour, value in enumerate(values)]
    return write_runs(
        tmp_path / "runs", spec("run_a", *IDS, values=values), spec("run_b", *IDS, values=odd)
    )


def resample(to: str = "3h", **changes: Any) -> dict[str, Any]:
    return {"resample": {"to": to, "aggregation": CHOSEN, **changes}}


# --------------------------------------------------------------------------- against others


def _by_pandas(values: Sequence[float], factor: int, method: str) -> list[float]:
    index = pd.date_range("2025-01-01", periods=len(values), freq="1min")
    groups = pd.Series(values, index=index).resample(f"{factor}min", origin="start")
    # pandas leaves NaN out; here a bin without a number has none.
    has_gap = groups.apply(lambda group: group.isna().any())
    return groups.agg(method).where(~has_gap).tolist()


def _by_polars(values: Sequence[float], factor: int, method: str) -> list[float]:
    column = pl.col("value")
    of_group = {
        "sum": column.sum(),
        "mean": column.mean(),
        "last": column.last(),
        "first": column.first(),
        "min": column.min(),
        "max": column.max(),
    }[method]
    frame = pl.DataFrame({"bin": range(len(values)), "value": list(values)})
    groups = frame.group_by_dynamic("bin", every=f"{factor}i", start_by="datapoint")
    found = groups.agg(pl.when(~column.is_nan().any()).then(of_group).otherwise(math.nan).first())
    return found["value"].to_list()


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_bins_become_those_of_polars_and_pandas(data: st.DataObject) -> None:
    # Whole numbers, as sums of others depend on the order in the last digit.
    number = st.one_of(st.integers(-1000, 1000).map(float), st.just(math.nan))
    series = [
        (
            factor,
            method,
            data.draw(st.lists(number, min_size=count * factor, max_size=count * factor)),
        )
        for factor, method, count in data.draw(
            st.lists(
                st.tuples(st.integers(1, 6), st.sampled_from(AGGREGATIONS), st.integers(1, 5)),
                min_size=1,
                max_size=5,
            )
        )
    ]
    frame = pl.concat(
        pl.DataFrame(
            {"series_row": [row] * len(values), "bin_index": range(len(values)), "value": values},
            schema=SCHEMA,
        )
        for row, (_, _, values) in enumerate(series)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, frame.height), max_size=6)))
    batches = [
        frame.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, frame.height], strict=True)
    ]
    groups = BinGroups(
        pl.Series([factor for factor, _, _ in series], dtype=pl.Int64).to_numpy(),
        pl.Series([AGGREGATIONS.index(m) for _, m, _ in series], dtype=pl.Int8).to_numpy(),
    )
    found = pl.concat([frame.clear(), *staged(batches, [Resampler(groups)])])
    for row, (factor, method, values) in enumerate(series):
        rows = found.filter(pl.col("series_row") == row)
        assert rows["bin_index"].to_list() == list(range(len(values) // factor))
        for expected in (_by_pandas(values, factor, method), _by_polars(values, factor, method)):
            assert rows["value"].to_list() == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_an_export_has_the_rows_of_wider_bins(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    columns = ["run_id", "kind", "bin_index", "bin_size_minutes"]
    report = export(
        config(
            runs,
            *({"path": out / f"e.{form}"} for form in ("csv", "ndjson", "parquet")),
            metadata={"columns": columns},
            transform=resample(),
        )
    )
    assert report.rows_read == 2 * len(IDS) * HOURS
    plain = tmp_path / "plain.parquet"
    export(config(runs, {"path": plain}, metadata={"columns": ["run_id"]}))
    fine = pl.read_parquet(plain)
    rows = pl.read_parquet(out / "e.parquet")
    assert rows["bin_size_minutes"].unique().to_list() == [180]
    for (run, measure), found in rows.group_by("run_id", "measure", maintain_order=True):
        values = fine.filter(run_id=run, measure=measure)["value"].to_list()
        expected = _by_polars(values, 3, METHODS[str(measure)])
        assert found["value"].to_list() == pytest.approx(expected, nan_ok=True)
        starts = [f"2025-01-01T{hour:02}:00:00Z" for hour in range(0, HOURS, 3)]
        assert found["time_bin"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_list() == starts
    for reader in (f"read_csv('{out}/e.csv', comment='#')", f"read_json('{out}/e.ndjson')"):
        assert duckdb.sql(f"select count(*) from {reader}").fetchall() == [(rows.height,)]
    ours = descriptor(out / "e.datapackage.json")
    assert [one["rowCount"] for one in ours["resources"]] == [2 * len(IDS) * HOURS // 3] * 3
    assert "bins were resampled to 180 minutes" in str(ours["resources"][0]["flowtime"])
    head = [line for line in (out / "e.csv").read_text().splitlines() if line.startswith("# runs")]
    assert '"bin_size_minutes": 180' in head[0]
    assert '"bins": 8' in head[0]


# --------------------------------------------------------------------------- with other stages


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_a_filter_sees_the_new_rows_and_wide_comes_last(
    runs: Path, tmp_path: Path, layout: str
) -> None:
    path = tmp_path / "out" / "e.parquet"
    sink = {"path": path, "layout": layout}
    chosen = {"transform": {**resample(), "filter": "measure IN ('m0', 'm2') AND value > 12"}}
    filtered = config(runs, sink, metadata={"columns": ["run_id"]}, **chosen)
    everything = config(
        runs,
        {"path": tmp_path / "all.parquet"},
        metadata={"columns": ["run_id"]},
        transform=resample(),
    )
    export(filtered)
    export(everything)
    rows = pl.read_parquet(tmp_path / "all.parquet").filter(
        pl.col("measure").is_in(["m0", "m2"]) & (pl.col("value") > 12)
    )
    found = pl.read_parquet(path)
    if layout == "wide":
        found = found.unpivot(["m0", "m2"], index=["time_bin", "run_id"]).drop_nulls()
    keys = ["run_id", "variable" if layout == "wide" else "measure", "time_bin"]
    assert found.sort(keys)["value"].equals(rows.sort("run_id", "measure", "time_bin")["value"])
    session = ExportSession.open(filtered)
    source = session.find_runs_again(session.find_runs())
    ((_, shown),) = preview(session.plan(source), source, 3)
    assert shown.height == 3
    assert shown["time_bin"].to_list() == pl.read_parquet(path)["time_bin"].head(3).to_list()


def test_files_of_a_data_set_hold_the_new_rows(runs: Path, tmp_path: Path) -> None:
    sink = {"path": tmp_path / "parquet_set", "max_rows_per_file": 10, "partition_by": ["measure"]}
    export(config(runs, sink, transform=resample()))
    found = pl.read_parquet(tmp_path / "parquet_set/**/*.parquet", hive_partitioning=True)
    assert found.height == 2 * len(IDS) * HOURS // 3
    assert verify(str(tmp_path / "parquet_set"), str(runs)).ok


# --------------------------------------------------------------------------- the way back


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize("transform", [{}, {"filter": "value > 3"}])
def test_verification_compares_with_the_aggregated_run(
    runs: Path, tmp_path: Path, form: str, transform: Mapping[str, Any]
) -> None:
    path = tmp_path / "out" / f"e.{form}"
    export(config(runs, {"path": path}, transform={**resample(), **transform}))
    report = verify(str(path), str(runs))
    assert report.ok, report.as_text()
    assert report.comparisons[0].values > 50
    changed = next((runs / "run_a/series").glob("m1@A@DEFAULT.csv"))
    text = changed.read_text().splitlines()
    changed.write_text("\n".join([*text[:2], "1,777", *text[3:], ""]))
    manifest = runs / "run_a/manifest.json"
    manifest.write_text(manifest.read_text().replace("sha256:", "old:"))
    after = verify(str(path), str(runs))
    assert not after.ok
    assert "series m1@A" in after.as_text()


def test_an_import_says_that_values_are_gone(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "e.csv"
    export(config(runs, {"path": path}, transform=resample()))
    for options in (ImportOptions(), ImportOptions(partial=True)):
        with pytest.raises(IntegrityError, match=r"resampled to 180 minutes.*--as-telemetry"):
            import_export([str(path)], str(tmp_path / "back"), options)
    assert not (tmp_path / "back").exists()


def test_a_comparison_aggregates_the_run_alike(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "e.parquet"
    only = {"series": {"measures": list(NATURAL)}}
    export(config(runs, {"path": path}, source=only, transform=resample()))
    request = ComparisonRequest(
        SideSource(str(path), None, "run_a"), SideSource(str(runs / "run_a"))
    )
    found = compare_sides(request).as_json()
    assert found["alignment"]["grid"]["binSize"] == 180
    assert {one["status"] for one in found["series"]} == {"equal"}


def test_a_description_that_contradicts_itself_is_refused(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "e.csv"
    export(config(runs, {"path": path}, transform=resample()))
    package = tmp_path / "out" / "e.datapackage.json"
    package.write_text(package.read_text().replace('"minutes": 180', '"minutes": 77'))
    assert '"minutes": 77' in package.read_text()
    with pytest.raises(IntegrityError, match="77 minutes are not a multiple"):
        verify(str(path))


# --------------------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("90m", "90 minutes are not a multiple of its bins of 60"),
        ("30m", "30 minutes are not a multiple of its bins of 60"),
        ("5h", "24 bins of 60 minutes do not divide into bins of 300: the last .* 4 of 5"),
    ],
)
def test_bins_that_do_not_divide_are_refused(
    runs: Path, tmp_path: Path, to: str, message: str
) -> None:
    path = tmp_path / "out" / "e.csv"
    with pytest.raises(RunError, match=message) as caught:
        export(config(runs, {"path": path}, transform=resample(to)))
    assert caught.value.run_url == str(runs / "run_a")
    assert not path.exists()


def test_a_run_that_does_not_fit_is_left_out_by_name(runs: Path, tmp_path: Path) -> None:
    write_runs(runs, spec("run_c", *IDS, values=[1.0] * 23))
    path = tmp_path / "out" / "e.parquet"
    skipping = {"on_error": "skip"}
    report = export(config(runs, {"path": path}, source=skipping, transform=resample()))
    assert report.exit_code == 3
    (left_out,) = report.skipped
    assert left_out.url.endswith("run_c")
    assert pl.read_parquet(path)["run_id"].unique().sort().to_list() == ["run_a", "run_b"]


def test_a_kind_without_a_method_has_to_be_named(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "e.csv"
    with pytest.raises(RunError, match=r"kind 'derived'.*transform.resample.aggregation") as caught:
        export(config(runs, {"path": path}, transform={"resample": {"to": "3h"}}))
    assert caught.value.series == "m3@A@DEFAULT"
    write_runs(tmp_path / "bare", replace(spec("run_a"), kinds=False))
    with pytest.raises(RunError, match=r"no kind.*\{\*: mean\}"):
        export(config(tmp_path / "bare", {"path": path}, transform={"resample": {"to": "2h"}}))
    same = config(tmp_path / "bare", {"path": path}, transform={"resample": {"to": "1h"}})
    assert export(same).rows_read == 12


@pytest.mark.parametrize("width", ["90s", "0h", "soon", 3600, "-1h"])
def test_a_width_is_whole_minutes(runs: Path, tmp_path: Path, width: object, capsys: Any) -> None:
    plain = {
        "version": 1,
        "source": {"url": str(runs)},
        "transform": {"resample": {"to": width}},
        "sinks": [{"format": "csv", "path": "e.csv"}],
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(plain))
    assert run_cli(["validate", str(file)]) == 2
    assert "config.json:1:" in capsys.readouterr().err
    with pytest.raises((ConfigError, ValueError)):
        config(runs, {"path": "e.csv"}, transform={"resample": {"to": width}})


def test_a_plan_shows_the_width_and_the_methods(runs: Path, tmp_path: Path, capsys: Any) -> None:
    plain = {
        "version": 1,
        "source": {"url": str(runs)},
        "transform": resample("1d"),
        "sinks": [{"format": "csv", "path": str(tmp_path / "e.csv")}],
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(plain))
    assert run_cli(["plan", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "resample bins to 1440 minutes (flow: sum, state: mean," in shown
    assert "14 rows" in shown
