"""Every kind of side: runs against their exports, imports, bundles and tables, bit for bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.comparison import Comparison, ComparisonRequest, SideSource, compare, compare_sides
from pipeline.errors import ConfigError, IncomparableError, IntegrityError, RunError, StorageError
from pipeline.exports.run import export
from pipeline.imports.importer import import_export
from tests.exporting import config, spec, upload, write_runs
from tests.run_builder import BUNDLES, DIALECTS, RunSpec, write_bundle, write_run
from tests.servers import S3Server

FORMS = ("csv", "ndjson", "parquet", "csv.gz", "ndjson.zst")


def same(comparison: Comparison, series: int) -> None:
    """Every series is there on both sides and holds the same doubles, bit for bit."""
    assert comparison.summary == {"equal": series, "within": 0, "different": 0}
    assert (comparison.only_in_baseline, comparison.only_in_comparison) == ((), ())
    rows = comparison.differences().collect()
    one, other = (bits(rows[name]) for name in ("baseline", "comparison"))
    np.testing.assert_array_equal(one, other)


def bits(column: pl.Series) -> np.ndarray[Any, Any]:
    values = column.to_numpy()
    return np.where(np.isnan(values), np.nan, values).view(np.uint64)


@pytest.fixture(scope="module")
def dialect_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dialects")
    for name, build in DIALECTS.items():
        write_run(folder, build(name))
    return folder


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_run_equals_itself_and_its_export(
    dialect_runs: Path, tmp_path: Path, dialect: str
) -> None:
    run = dialect_runs / dialect
    series = len(DIALECTS[dialect](dialect).series)
    same(compare(str(run), str(run)), series)
    sinks = [{"path": tmp_path / f"export.{form}"} for form in FORMS]
    export(config(run, *sinks))
    for form in FORMS:
        same(compare(str(run), str(tmp_path / f"export.{form}")), series)


@pytest.mark.parametrize(
    "sink",
    [
        {"path": "wide.csv", "layout": "wide"},
        {"path": "wide.parquet", "layout": "wide"},
        {"path": "hive-parquet", "partition_by": ["measure", "class"]},
        {"path": "hive-csv", "partition_by": ["component_id"], "max_rows_per_file": 7},
        {"path": "parts-ndjson", "max_rows_per_file": 5},
    ],
    ids=lambda sink: sink["path"],
)
def test_layouts_and_data_sets(dialect_runs: Path, tmp_path: Path, sink: dict[str, Any]) -> None:
    run = dialect_runs / "classes"
    path = tmp_path / sink["path"]
    export(config(run, {**sink, "path": path}))
    same(compare(str(run), str(path)), 9)
    same(compare(str(path), str(run)), 9)
    same(compare(str(path), str(path)), 9)


def test_files_that_left_their_descriptor(dialect_runs: Path, tmp_path: Path) -> None:
    run = dialect_runs / "classes"
    sinks = [{"path": tmp_path / f"export.{form}"} for form in ("csv", "parquet", "ndjson")]
    export(config(run, *sinks))
    for path in tmp_path.glob("*.datapackage.json"):
        path.unlink()
    for form in ("csv", "parquet"):
        same(compare(str(run), str(tmp_path / f"export.{form}")), 9)
    # NDJSON has no metadata of its own: it is read as a plain table.
    found = compare(str(run), str(tmp_path / "export.ndjson"))
    assert found.comparison.form == "table"
    same(found, 9)


def test_an_imported_copy(dialect_runs: Path, tmp_path: Path) -> None:
    run = dialect_runs / "classes"
    export(config(run, {"path": tmp_path / "export.parquet"}))
    import_export([str(tmp_path / "export.parquet")], str(tmp_path / "copies"))
    same(compare(str(run), str(tmp_path / "copies" / "classes")), 9)


@pytest.mark.parametrize("name", BUNDLES)
def test_telemetry_bundles(tmp_path: Path, name: str) -> None:
    build, version = BUNDLES[name]
    write_bundle(tmp_path, build(name), version=version)
    found = compare(str(tmp_path / name), str(tmp_path / name))
    assert found.baseline.form == "telemetry"
    same(found, len(build(name).series))


def test_a_plain_table_against_the_run_it_was_made_of(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("run"))
    rows = compare(str(tmp_path / "run"), str(tmp_path / "run")).differences().collect()
    table = rows.select("time_bin", "component_id", "measure", value="baseline").sample(
        fraction=1.0, shuffle=True, seed=3
    )
    table.write_csv(tmp_path / "table.csv")
    found = compare(str(tmp_path / "run"), str(tmp_path / "table.csv"))
    assert found.comparison.form == "table"
    same(found, 3)


def test_exports_whose_series_come_in_another_order(tmp_path: Path) -> None:
    ids = ("arrivals@A@DEFAULT", "served@A@DEFAULT", "served@B@DEFAULT", "queue@B@DEFAULT")
    values = {name: [float(place), 2.0, math.nan] for place, name in enumerate(ids)}
    backwards = dict(reversed(values.items()))
    write_runs(tmp_path, RunSpec("one", values), RunSpec("other", backwards))
    for name in ("one", "other"):
        export(config(tmp_path / name, {"path": tmp_path / f"{name}.csv"}))
    same(compare(str(tmp_path / "one.csv"), str(tmp_path / "other.csv")), 4)


def test_a_filtered_export_lacks_rows(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("run"))
    path = tmp_path / "export.parquet"
    export(config(tmp_path / "run", {"path": path}, transform={"filter": "value > 2"}))
    found = compare(str(tmp_path / "run"), str(path))
    metrics = found.metrics.filter(pl.col("series_id") == "arrivals@A@DEFAULT")
    assert metrics["nan_comparison_only"].to_list() == [2]
    assert metrics["n"].to_list() == [2]
    assert found.comparison.notes
    assert "value > 2" in found.comparison.notes[0]


def test_an_export_of_many_runs(tmp_path: Path) -> None:
    names = [f"run_{number}" for number in range(4)]
    write_runs(
        tmp_path / "runs", *(spec(name, values=[float(n), 2.0]) for n, name in enumerate(names))
    )
    path = str(tmp_path / "all.parquet")
    export(config(tmp_path / "runs", {"path": path}))
    for name in names:
        same(compare(str(tmp_path / "runs" / name), path), 3)
        same(compare(path, str(tmp_path / "runs" / name)), 3)
    one, other = SideSource(path, run="run_1"), SideSource(path, run="run_3")
    found = compare_sides(ComparisonRequest(one, other))
    assert found.metrics["mean_difference"].to_list() == [1.0, 1.0, 1.0]
    for url in (path, str(tmp_path / "runs")):
        with pytest.raises(ConfigError, match="holds 4 runs: name the one"):
            compare(url, url)
        with pytest.raises(ConfigError, match="holds no run 'run_9'"):
            compare_sides(ComparisonRequest(SideSource(url, run="run_9"), other))


def test_remote_sides(tmp_path: Path, rclone_s3: S3Server) -> None:
    write_runs(tmp_path / "runs", spec("run"))
    export(config(tmp_path / "runs" / "run", {"path": tmp_path / "runs" / "export.parquet"}))
    url = f"s3://{rclone_s3.bucket}/comparison"
    upload(tmp_path / "runs", url, rclone_s3.options())
    options = dict(rclone_s3.options().options)
    for side in (f"{url}/run", f"{url}/export.parquet"):
        same(compare(str(tmp_path / "runs" / "run"), side, storage_options=options), 3)


# --- what is wrong ---------------------------------------------------------------------------


def test_a_changed_series_file_is_named(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one"), spec("other"))
    file = tmp_path / "other" / "series" / "served@A@DEFAULT.csv"
    file.write_bytes(file.read_bytes().replace(b",11", b",12"))
    with pytest.raises(IntegrityError, match=r"served@A@DEFAULT.*sha256"):
        compare(str(tmp_path / "one"), str(tmp_path / "other"))


def test_a_damaged_export_is_named(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("run"))
    path = tmp_path / "export.csv"
    export(config(tmp_path / "run", {"path": path}))
    path.write_bytes(path.read_bytes().replace(b",11.0,", b",11.5,"))
    with pytest.raises(IntegrityError, match=r"export\.csv.*(sha256|bytes)"):
        compare(str(tmp_path / "run"), str(path))


def test_a_run_that_is_being_written(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one"), spec("other"))
    (tmp_path / "other" / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"manifest\.json is missing"):
        compare(str(tmp_path / "one"), str(tmp_path / "other"))


def test_nothing_is_there(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one"))
    (tmp_path / "empty").mkdir()
    for name in ("nothing", "empty"):
        with pytest.raises(StorageError, match=name):
            compare(str(tmp_path / "one"), str(tmp_path / name))


def test_units_that_differ_are_refused(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one"), spec("other"))
    index = tmp_path / "other" / "series" / "index.json"
    index.write_text(index.read_text().replace("entities/bin", "hours", 1))
    with pytest.raises(IncomparableError, match=r"units differ.*\(entities/bin and hours\)"):
        compare(str(tmp_path / "one"), str(tmp_path / "other"))
    write_runs(tmp_path, spec("plain", units=False))
    assert compare(str(tmp_path / "one"), str(tmp_path / "plain")).summary["equal"] == 3


def test_no_series_in_common(tmp_path: Path) -> None:
    write_runs(tmp_path, spec("one"), spec("other", "errors@Z@DEFAULT"))
    with pytest.raises(
        IncomparableError, match=r"no series of .*one.*is in .*other.*errors@Z@DEFAULT"
    ):
        compare(str(tmp_path / "one"), str(tmp_path / "other"))
