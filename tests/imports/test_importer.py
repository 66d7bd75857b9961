"""Exports become the runs that they were made of, and plain tables become telemetry runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connectors.flowtime.discover.discovery import discover
from connectors.storage import connect
from pipeline.errors import IntegrityError, NotAnExportError, RunError
from pipeline.exports.run import export
from pipeline.imports import ImportOptions, import_export
from pipeline.imports.telemetry import ForeignDataError, ForeignOptions
from tests.exporting import config, names, spec, upload, write_runs
from tests.run_builder import DIALECTS, write_run
from tests.servers import S3Server

SINKS: dict[str, dict[str, Any]] = {
    "csv": {"path": "export.csv"},
    "csv without a header": {"path": "plain.csv", "metadata_header": False},
    "csv gzip": {"path": "export.csv.gz"},
    "csv for Excel": {"path": "e.csv", "bom": True, "separator": ";", "escape_formulas": True},
    "csv wide": {"path": "wide.csv", "layout": "wide"},
    "ndjson": {"path": "export.ndjson"},
    "ndjson zstd": {"path": "export.ndjson.zst"},
    "ndjson wide": {"path": "wide.ndjson", "layout": "wide"},
    "parquet": {"path": "export.parquet"},
    "parquet wide": {"path": "wide.parquet", "layout": "wide"},
    "data set": {"path": "parquet-set", "partition_by": ["measure"], "max_rows_per_file": 100},
    "csv data set": {"path": "csv-set", "max_rows_per_file": 70},
}


def test_a_run_directory_is_no_export(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs", spec("run_a"))
    with pytest.raises(NotAnExportError, match="run_a is a run directory, not an export"):
        import_export([str(tmp_path / "runs" / "run_a")], str(tmp_path / "back"))
    assert not (tmp_path / "back").exists()


def _series(folder: Path) -> dict[str, bytes]:
    """Bytes of every series file, by run and file."""
    files = sorted(folder.glob("*/series/*.csv"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def dialects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each dialect, and an export of them all by each sink."""
    base = tmp_path_factory.mktemp("ingest")
    for name, build in DIALECTS.items():
        write_run(base / "runs", build(name))
    sinks = [{**sink, "path": base / sink["path"]} for sink in SINKS.values()]
    export(config(base / "runs", *sinks, metadata={"constants": {"team": "ops"}}))
    return base


@pytest.mark.parametrize("name", SINKS)
def test_every_dialect_comes_back_byte_for_byte(dialects: Path, tmp_path: Path, name: str) -> None:
    report = import_export([str(dialects / SINKS[name]["path"])], str(tmp_path / "back"))
    assert _series(tmp_path / "back") == _series(dialects / "runs")
    assert report.kind == "restored"
    assert all(run.different == () for run in report.runs)
    assert report.rows == sum(
        len(data.splitlines()) - 1 for data in _series(dialects / "runs").values()
    )


def test_a_file_that_left_its_folder_is_enough(dialects: Path, tmp_path: Path) -> None:
    for name in ("export.csv", "export.csv.gz", "wide.csv", "export.parquet", "wide.parquet"):
        alone = tmp_path / name
        shutil.copy(dialects / name, alone)
        import_export([str(alone)], str(tmp_path / f"back-{name}"))
        assert _series(tmp_path / f"back-{name}") == _series(dialects / "runs")


@pytest.mark.parametrize("floats", ["dotnet", "rust"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("hashes", ["placeholder", "none"])
def test_layouts_that_no_hash_shows_are_kept(
    tmp_path: Path, hashes: Any, newline: Any, floats: Any
) -> None:
    """Fails without `with_layouts`: there is nothing to find the layout by."""
    layout: dict[str, Any] = {"newline": newline, "floats": floats, "header": "t,value"}
    values = (1.5, 1e-7, 1e20, float("inf"))
    made = spec("run_a", values=values, hashes=hashes, index_hashes=False, bom=True, **layout)
    runs = write_runs(tmp_path / "runs", made)
    names_of = ("e.csv", "e.ndjson", "e.parquet")
    export(config(runs, *({"path": tmp_path / name} for name in names_of)))
    for name in names_of:
        import_export([str(tmp_path / name)], str(tmp_path / f"back-{name}"))
        assert _series(tmp_path / f"back-{name}") == _series(runs)
    alone = shutil.copytree(tmp_path, tmp_path / "alone", ignore=shutil.ignore_patterns("*.json"))
    for name in ("e.csv", "e.parquet"):
        import_export([str(alone / name)], str(alone / f"again-{name}"))
        assert _series(alone / f"again-{name}") == _series(runs)


def test_a_restored_run_gives_the_same_export(dialects: Path, tmp_path: Path) -> None:
    columns = ["run_id", "unit", "kind", "source", "created_at", "mode", "seed", "time_origin"]
    sinks = [{"path": tmp_path / side / "e.parquet"} for side in ("before", "after")]
    export(config(dialects / "runs", sinks[0], metadata={"columns": columns}))
    import_export([str(tmp_path / "before" / "e.parquet")], str(tmp_path / "runs"))
    export(config(tmp_path / "runs", sinks[1], metadata={"columns": columns}))
    with duckdb.connect() as session:
        before, after = (f"'{tmp_path}/{side}/e.parquet'" for side in ("before", "after"))
        found = session.sql(
            f"(FROM {before} EXCEPT ALL FROM {after}) UNION ALL "
            f"(FROM {after} EXCEPT ALL FROM {before})"
        )
        assert found.fetchall() == []


def test_s3_on_both_sides(tmp_path: Path, rclone_s3: S3Server) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    options = rclone_s3.options()
    url = f"s3://{rclone_s3.bucket}/ingest"
    upload(runs, f"{url}/runs", options)
    block = {"lake": {"protocol": "s3", **options.options}}
    sink = {"path": f"{url}/set", "format": "ndjson", "storage": "lake"}
    export(config(f"{url}/runs", sink, storage=block, source={"storage": "lake"}))
    import_export([f"{url}/set"], f"{url}/back", storage=options, out_storage=options)
    storage, path = connect(f"{url}/back", options)
    found = discover(storage, path).runs
    assert [run.name for run in found] == ["run_a", "run_b"]
    for run in found:
        for series in run.series:
            assert storage.read(f"{run.path}/{series.path}") == storage.read(
                f"{rclone_s3.bucket}/ingest/runs/{run.name}/{series.path}"
            )


# --- what cannot be restored ------------------------------------------------------------------


def _refused(source: Path, out: Path, match: str, **options: Any) -> None:
    with pytest.raises(IntegrityError, match=match):
        import_export([str(source)], str(out), ImportOptions(**options))
    assert not out.exists()


@pytest.mark.parametrize(
    ("blocks", "sink", "reason"),
    [
        ({"transform": {"filter": "value > 2"}}, {}, "filter"),
        ({"source": {"series": {"components": ["B"]}}}, {}, "leaves out 2 of 3"),
        ({}, {"columns": ["time_bin", "measure"]}, "'value' was left out"),
    ],
)
def test_what_is_not_there_cannot_be_restored(
    tmp_path: Path, blocks: dict[str, Any], sink: dict[str, Any], reason: str
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "e.csv", **sink}, **blocks))
    _refused(tmp_path / "e.csv", tmp_path / "back", reason)


def test_some_series_are_restored_when_that_is_asked_for(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    selected = {"series": {"components": ["B"]}}
    export(config(runs, {"path": tmp_path / "e.csv"}, source=selected))
    import_export([str(tmp_path / "e.csv")], str(tmp_path / "back"), ImportOptions(partial=True))
    assert _series(tmp_path / "back").keys() == {"run_a/series/served@B@DEFAULT.csv"}
    assert _series(tmp_path / "back").items() <= _series(runs).items()


def test_rows_that_were_filtered_are_no_part_of_a_run(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "e.csv"}, transform={"filter": "value > 2"}))
    _refused(tmp_path / "e.csv", tmp_path / "back", "filter", partial=True)


def test_bytes_that_no_writer_makes(tmp_path: Path) -> None:
    """An editor's `1.50`: the values return, the bytes cannot, and the report says so."""
    import hashlib

    runs = write_runs(tmp_path / "runs", spec("run_a"))
    file = runs / "run_a" / "series" / "served@B@DEFAULT.csv"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"22.5", b"22.50"))
    for name in ("manifest.json", "series/index.json"):
        path = runs / "run_a" / name
        digests = [hashlib.sha256(data).hexdigest() for data in (before, file.read_bytes())]
        path.write_text(path.read_text().replace(*digests))
    export(config(runs, {"path": tmp_path / "e.csv"}))
    _refused(tmp_path / "e.csv", tmp_path / "back", "--values-only")
    options = ImportOptions(values_only=True)
    report = import_export([str(tmp_path / "e.csv")], str(tmp_path / "back"), options)
    assert report.runs[0].different == ("served@B@DEFAULT",)
    assert _series(tmp_path / "back")["run_a/series/served@B@DEFAULT.csv"] == before


def test_a_changed_byte_is_found_and_nothing_is_written(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "e.ndjson"}))
    data = (tmp_path / "e.ndjson").read_bytes()
    (tmp_path / "e.ndjson").write_bytes(data.replace(b'"value":2.5', b'"value":2.6'))
    _refused(tmp_path / "e.ndjson", tmp_path / "back", "sha256")


def test_two_runs_of_one_name(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs" / "a", spec("run_a"))
    write_runs(tmp_path / "runs" / "b", spec("run_a", values=(1.0, 2.0)))
    export(config(tmp_path / "runs", {"path": tmp_path / "e.csv"}))
    _refused(tmp_path / "e.csv", tmp_path / "back", "both named run_a")


@pytest.mark.parametrize("if_exists", ["error", "skip", "replace"])
@pytest.mark.parametrize("described", [True, False])
def test_one_run_of_two_files(tmp_path: Path, if_exists: Any, described: bool) -> None:
    """Fails where both are staged: the second would be written over the first."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    files = [str(tmp_path / name) for name in ("e.csv", "e.parquet")]
    export(config(runs, *({"path": file} for file in files)))
    if not described:
        (tmp_path / "e.datapackage.json").unlink()
    options = ImportOptions(if_exists=if_exists)
    for sources in (files, files[:1] * 2):
        with pytest.raises(IntegrityError, match=r"run run_a is in .*: import one of them"):
            import_export(sources, str(tmp_path / "back"), options)
    assert not (tmp_path / "back").exists()


def test_two_runs_of_one_name_in_files_without_a_descriptor(tmp_path: Path) -> None:
    """Their metadata do not say where the runs were: only their content distinguishes them."""
    alone = []
    for side, values in (("a", (1.0, 2.0, 3.0, 4.0)), ("b", (4.0, 3.0, 2.0, 1.0))):
        runs = write_runs(tmp_path / side, spec("run_a", values=values))
        export(config(runs, {"path": tmp_path / f"out-{side}" / "e.csv"}))
        (tmp_path / f"out-{side}" / "e.datapackage.json").unlink()
        alone.append(str(tmp_path / f"out-{side}" / "e.csv"))
    with pytest.raises(IntegrityError, match=r"of .*out-a/e.csv and of .*out-b/e.csv are both"):
        import_export(alone, str(tmp_path / "back"))
    assert not (tmp_path / "back").exists()


# --- where something exists -------------------------------------------------------------------


def test_a_run_that_exists_there(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "e.csv"}))
    source, out = [str(tmp_path / "e.csv")], str(tmp_path / "back")
    assert [run.status for run in import_export(source, out).runs] == ["written"]
    with pytest.raises(RunError, match="exist there already"):
        import_export(source, out)
    again = import_export(source, out, ImportOptions(if_exists="skip"))
    assert [run.status for run in again.runs] == ["skipped"]
    series = tmp_path / "back" / "run_a" / "series" / "served@B@DEFAULT.csv"
    series.write_bytes(b"t,value\n")
    with pytest.raises(RunError, match="replace it"):
        import_export(source, out, ImportOptions(if_exists="skip"))
    replaced = import_export(source, out, ImportOptions(if_exists="replace"))
    assert [run.status for run in replaced.runs] == ["replaced"]
    assert _series(tmp_path / "back") == _series(runs)


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "e.csv"}))
    options = ImportOptions(dry_run=True)
    report = import_export([str(tmp_path / "e.csv")], str(tmp_path / "back"), options)
    assert [(run.status, run.matched) for run in report.runs] == [("checked", 3)]
    assert not (tmp_path / "back").exists()


def test_a_run_that_cannot_be_published_leaves_the_ones_before_whole(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    export(config(runs, {"path": tmp_path / "e.csv"}))
    other = tmp_path / "back" / "run_b"
    write_runs(tmp_path / "back", spec("run_b", values=(9.0, 9.0, 9.0, 9.0)))
    before = names(other)
    with pytest.raises(RunError, match="run_b"):
        import_export([str(tmp_path / "e.csv")], str(tmp_path / "back"))
    assert names(tmp_path / "back" / "run_b") == before
    assert not (tmp_path / "back" / "run_a").exists()


# --- plain tables -----------------------------------------------------------------------------


def test_a_plain_table_becomes_a_telemetry_run(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(
        "ts,node,measure,value\n"
        "2025-01-01T00:05:00Z,A,served,2.5\n"
        "2025-01-01T00:00:00Z,A,served,-0.0\n"
    )
    foreign = ForeignOptions(columns={"time_bin": "ts", "component_id": "node"}, run_id="mine")
    report = import_export([str(table)], str(tmp_path / "runs"), ImportOptions(foreign=foreign))
    assert report.kind == "telemetry"
    export(config(tmp_path / "runs", {"path": tmp_path / "back.csv", "metadata_header": False}))
    assert (tmp_path / "back.csv").read_text().splitlines()[1:] == [
        "2025-01-01T00:00:00Z,A,served,DEFAULT,-0.0,mine,",
        "2025-01-01T00:05:00Z,A,served,DEFAULT,2.5,mine,",
    ]


def test_an_export_can_be_taken_for_a_plain_table(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "e.csv"}, transform={"filter": "component_id = 'A'"}))
    options = ImportOptions(as_telemetry=True)
    report = import_export([str(tmp_path / "e.csv")], str(tmp_path / "back"), options)
    assert report.kind == "telemetry"
    assert [run.series for run in report.runs] == [2]


def test_a_table_that_is_wrong_writes_nothing(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("time_bin,component_id,measure,value\n2025-01-01T00:00:00Z,../A,served,x\n")
    with pytest.raises(ForeignDataError, match=r"\.\./A"):
        import_export([str(table)], str(tmp_path / "runs"))
    assert names(tmp_path) == ["t.csv"]


def test_exports_and_tables_do_not_mix(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(config(runs, {"path": tmp_path / "e.csv"}))
    (tmp_path / "t.csv").write_text("time_bin,component_id,measure,value\n")
    with pytest.raises(IntegrityError, match="separately"):
        import_export([str(tmp_path / "e.csv"), str(tmp_path / "t.csv")], str(tmp_path / "back"))
