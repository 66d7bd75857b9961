"""The public API: its members, its types, and that it does what its docstrings say."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import flowtime_export as fx
from pipeline.rows.catalogue import CATALOGUE
from tests.exporting import names, spec, write_runs
from tests.read_outputs import read_runs
from tests.run_builder import AWKWARD
from tests.servers import S3Server

SIGNATURES = {
    "scan": ["url", "columns", "metadata", "filter", "storage_options"],
    "find_runs": ["url", "storage_options"],
    "export": ["config_or_url", "paths", "storage_options", "full_refresh", "progress"],
    "verify": ["target", "against", "storage_options"],
    "import_runs": ["files", "out", "if_exists", "partial", "table", "storage_options"],
    "compare": ["baseline", "other", "tolerance", "storage_options"],
    "open_registry": ["url"],
    "load_config": ["source", "overrides", "environ"],
}
ERRORS = {
    "ConfigError": "FlowtimeExportError",
    "RunError": "FlowtimeExportError",
    "StorageError": "FlowtimeExportError",
    "SinkError": "FlowtimeExportError",
    "IntegrityError": "RunError",
    "RunExistsError": "RunError",
    "IncomparableError": "RunError",
    "NotAnExportError": "IntegrityError",
    "NotFoundError": "StorageError",
    "DeniedError": "StorageError",
    "ChangedError": "StorageError",
    "ConflictError": "StorageError",
    "RegistryError": "StorageError",
    "PublishConflictError": "SinkError",
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs", spec("run_a", values=AWKWARD), spec("run_b", values=AWKWARD[::-1])
    )


# --- members --------------------------------------------------------------------------------


def test_members() -> None:
    assert dir(fx) == sorted(fx.__all__)
    assert len(set(fx.__all__)) == len(fx.__all__)
    for name in fx.__all__:
        member = getattr(fx, name)
        assert name == "__version__" or inspect.getdoc(member), name
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = fx.frobnicate  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    assert list(inspect.signature(getattr(fx, name)).parameters) == SIGNATURES[name]


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_tree(name: str) -> None:
    assert issubclass(getattr(fx, name), getattr(fx, ERRORS[name]))


def test_importing_loads_nothing_else() -> None:
    code = (
        "import sys, flowtime_export as fx\n"
        "assert fx.FlowtimeExportError and dir(fx)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(found.stdout.split())
    assert "connectors" in loaded
    assert loaded.isdisjoint({"polars", "pyarrow", "numpy", "pydantic", "fsspec", "sqlalchemy"})


@pytest.mark.parametrize("package", ["pipeline", "connectors"])
@pytest.mark.parametrize("kind", ["package", "module", "namespace"])
def test_a_package_of_the_user_that_hides_ours_is_named(
    tmp_path: Path, package: str, kind: str
) -> None:
    place = tmp_path / package
    if kind == "module":
        place = place.with_suffix(".py")
        place.write_text("")
    else:
        place.mkdir()
        (place / ("__init__.py" if kind == "package" else "other.txt")).write_text("")
    for code in ("import flowtime_export", f"import {package}, flowtime_export"):
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if kind == "namespace":
            # A folder that is no package comes after every package: ours is found.
            assert ended.returncode == 0, ended.stderr
            continue
        assert ended.returncode == 1
        last = ended.stderr.splitlines()[-1]
        assert last.startswith(f"ImportError: flowtime-export cannot be used beside {place}: ")
        assert "Rename yours" in last
        assert "-P" in last
    safe = [sys.executable, "-P", "-c", "import flowtime_export"]
    subprocess.run(safe, cwd=tmp_path, check=True, timeout=60)


# --- scan -----------------------------------------------------------------------------------


def test_a_scan_gives_the_rows_of_an_export(runs: Path, tmp_path: Path) -> None:
    fx.export(runs, tmp_path / "e.parquet")
    exported = pl.read_parquet(tmp_path / "e.parquet").with_columns(
        pl.col(pl.Categorical, pl.Enum).cast(pl.String)
    )
    for engine in ("in-memory", "streaming"):
        assert_frame_equal(fx.scan(runs).collect(engine=engine), exported)  # type: ignore[call-overload]
    assert_frame_equal(fx.scan(str(runs)).head(5).collect(), exported.head(5))
    assert_frame_equal(fx.scan(runs).tail(5).collect(), exported.tail(5))
    assert exported.height == sum(len(run.rows) for run in read_runs(runs))


SERVED = pl.col("measure") == "served"
TWO = pl.datetime(2025, 1, 1, 2, time_zone="UTC")


@pytest.mark.parametrize(
    ("filter_", "condition"),
    [
        ("measure = 'served' AND value > 2", SERVED & (pl.col("value") > 2)),
        ("run_id = 'run_b' OR value < 0", (pl.col("run_id") == "run_b") | (pl.col("value") < 0)),
        ("time_bin < '2025-01-01T02:00:00Z'", pl.col("time_bin") < TWO),
        ("kind = 'no such kind'", pl.lit(False)),
    ],
    ids=str,
)  # fmt: skip
def test_filters(runs: Path, filter_: str, condition: pl.Expr) -> None:
    wanted = fx.scan(runs).collect().filter(condition)
    assert_frame_equal(fx.scan(runs, filter=filter_).collect(), wanted)
    assert_frame_equal(fx.scan(runs).filter(condition).collect(), wanted)
    picked = fx.scan(runs).filter(condition).select("value", "class").collect()
    assert_frame_equal(picked, wanted.select("value", "class"))


def test_nothing_is_read_before_it_is_collected(runs: Path, tmp_path: Path) -> None:
    rows = fx.scan(tmp_path / "later").filter(pl.col("value") > 0)
    with pytest.raises(fx.NotFoundError, match="later"):
        rows.collect()
    runs.rename(tmp_path / "later")
    assert rows.collect().height > 0


def test_only_files_that_are_needed_are_opened(runs: Path) -> None:
    (runs / "run_b" / "series" / "served@A@DEFAULT.csv").write_text("nonsense\n")
    with pytest.raises(fx.IntegrityError, match="served@A@DEFAULT"):
        fx.scan(runs).collect()
    for condition in (
        pl.col("measure") == "arrivals",
        (pl.col("run_id") == "run_a") & (pl.col("value") > 0),
        pl.col("component_id").is_in(["B"]),
    ):
        assert fx.scan(runs).filter(condition).collect().height > 0
    assert fx.scan(runs, filter="measure = 'arrivals'").collect().height > 0
    assert fx.scan(runs).head(1).collect().height == 1
    assert fx.scan(runs, filter="run_id = 'run_b'").head(20).collect().height == 20


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_column_that_all_rows_share_has_a_value_for_each(runs: Path, engine: Any) -> None:
    alone = fx.scan(runs / "run_a", columns=list(CATALOGUE))
    rows = alone.collect(engine=engine)
    assert rows.height > 1
    for name in set(CATALOGUE) - {"exported_at"}:  # it is the instant of the query
        assert_frame_equal(alone.select(name).collect(engine=engine), rows.select(name))
    for name in CATALOGUE:
        assert alone.select(name).collect(engine=engine).height == rows.height
        counted = alone.group_by(name).agg(pl.len()).collect(engine=engine)
        assert counted["len"].sum() == rows.height
        assert alone.select(name).tail(3).collect(engine=engine).height == 3
    nothing = alone.filter(pl.col("run_id") == "run_b").select("value")
    assert nothing.collect(engine=engine).height == 0


def test_columns(runs: Path) -> None:
    assert fx.scan(runs, metadata=()).collect_schema().names() == [
        "time_bin", "component_id", "measure", "class", "value",
    ]  # fmt: skip
    wanted = ["bin_index", "run_url", "created_at", "bin_size_minutes", "value"]
    frame = fx.scan(runs, columns=wanted).collect()
    assert frame.schema == fx.scan(runs, columns=wanted).collect_schema()
    assert frame.columns == wanted
    assert frame["run_url"].unique().sort().to_list() == [f"{runs}/run_a", f"{runs}/run_b"]
    for columns, said in [
        (["valu"], "did you mean 'value'"),
        (["value"] * 2, "twice"),
        ([], "empty"),
    ]:
        with pytest.raises(fx.ConfigError, match=said):
            fx.scan(runs, columns=columns)
    with pytest.raises(fx.ConfigError, match="valu"):
        fx.scan(runs, filter="valu > 1")


def test_a_broken_run_stops_a_scan(runs: Path) -> None:
    (runs / "run_b" / "run.json").write_text("{")
    with pytest.raises(fx.RunError, match="run_b"):
        fx.scan(runs).collect()
    assert len(fx.find_runs(runs)) == 1
    assert [one.kind for one in fx.find_runs(runs).left_out] == ["broken"]


# --- runs -----------------------------------------------------------------------------------


def test_runs_are_a_sequence_and_a_frame(runs: Path) -> None:
    found = fx.find_runs(runs)
    assert [run.run_id for run in found] == ["run_a", "run_b"]
    assert (found[-1].name, len(found[:1]), found[0] in found) == ("run_b", 1, True)
    assert repr(found) == f"<2 runs at {runs}, 0 left out>"
    frame = found.to_frame()
    assert frame["series"].to_list() == [3, 3]
    assert frame["bins"].to_list() == [len(AWKWARD)] * 2
    assert fx.find_runs(runs / "run_a").to_frame().height == 1
    (runs / "empty").mkdir()
    assert fx.find_runs(runs / "empty").to_frame().schema == frame.schema


# --- exports and back -----------------------------------------------------------------------


class Progress(fx.ProgressCallback):
    """Notes what it receives."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.rows = 0

    def discovered(self, runs: int) -> None:
        self.calls.append(f"{runs} runs")

    def read(self, files: int, rows: int, size: int) -> None:
        self.rows += rows

    def publishing(self, files: int) -> None:
        self.calls.append(f"{files} files")


def test_export_by_url_and_paths(runs: Path, tmp_path: Path) -> None:
    progress = Progress()
    paths = [tmp_path / "out" / name for name in ("e.csv", "e.ndjson.gz", "{run_id}.parquet")]
    report = fx.export(runs, *paths, progress=progress)
    rows = 2 * 3 * len(AWKWARD)
    assert isinstance(report, fx.Report)
    assert (report.runs, progress.calls, progress.rows) == (2, ["2 runs", "4 files"], rows)
    assert {"e.csv", "e.ndjson.gz", "run_a.parquet"} <= set(names(tmp_path / "out"))
    again = fx.export(runs, *paths)
    assert {target.status for target in again.targets} == {"unchanged"}
    refreshed = fx.export(runs, *paths, full_refresh=True)
    assert {target.status for target in refreshed.targets} == {"exported"}


def test_export_by_config(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    plain: dict[str, Any] = {
        "version": 1,
        "source": {"url": str(runs)},
        "sinks": [{"format": "csv", "path": "${OUT}/e.csv"}],
    }
    path = tmp_path / "config.yaml"
    path.write_text(str(plain))
    config = fx.load_config(path)
    assert isinstance(config, fx.ExportConfig)
    for given in (plain, path, str(path), config):
        assert fx.export(given, full_refresh=True).targets[0].url == str(tmp_path / "out" / "e.csv")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("RUNS",), "is no config: give output paths"),
        (("s3://bucket/runs",), "is no config: give output paths"),
        (("RUNS", "out"), "the name of an output says its format"),
        (("RUNS", "out.xlsx"), "out.xlsx"),
        (({"version": 1}, "out.csv"), "output paths go with a URL"),
        (({"version": 1, "sources": {}},), "did you mean 'source'"),
    ],
)
def test_wrong_arguments_of_export(runs: Path, arguments: tuple[Any, ...], said: str) -> None:
    given = [str(runs) if one == "RUNS" else one for one in arguments]
    with pytest.raises(fx.ConfigError, match=re.escape(said)):
        fx.export(*given)
    with pytest.raises(fx.ConfigError, match="storage_options"):
        fx.export({"version": 1}, storage_options={"key": "x"})


def test_verify_and_import(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    fx.export(runs, path)
    assert isinstance(fx.verify(path), fx.VerifyReport)
    assert fx.verify(path, against=runs).ok
    report = fx.import_runs(path, tmp_path / "back")
    assert isinstance(report, fx.ImportReport)
    assert_frame_equal(fx.scan(tmp_path / "back").collect(), fx.scan(runs).collect())
    with pytest.raises(fx.RunExistsError):
        fx.import_runs([path], tmp_path / "back")
    assert fx.import_runs([path], tmp_path / "back", if_exists="skip").runs[0].status == "skipped"
    (runs / "run_a" / "series" / "served@A@DEFAULT.csv").unlink()
    assert not fx.verify(path, against=runs).ok


def test_tables_are_imported_with_options(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("at,component_id,measure,value\n2025-01-01T00:00:00Z,A,served,1\n"
                     "2025-01-01T00:05:00Z,A,served,2\n")  # fmt: skip
    options = {"columns": {"time_bin": "at"}, "bin_size": "5m"}
    fx.import_runs(table, tmp_path / "back", table=options)
    assert fx.scan(tmp_path / "back").collect()["value"].to_list() == [1.0, 2.0]
    with pytest.raises(fx.ConfigError, match=r"table\.bin_size: expected minutes"):
        fx.import_runs(table, tmp_path / "other", table={"bin_size": "soon"})


def test_compare_and_registry(runs: Path, tmp_path: Path) -> None:
    comparison = fx.compare(str(runs / "run_a"), str(runs / "run_b"))
    assert isinstance(comparison, fx.Comparison)
    assert comparison.metrics.height == 3
    assert isinstance(comparison.differences(), pl.LazyFrame)
    with fx.open_registry(f"sqlite:///{tmp_path}/registry.db") as registry:
        registry.rebuild(str(runs))
        assert {one.id for one in registry.list(type="run").artifacts} == {"run_a", "run_b"}


# --- storage options ------------------------------------------------------------------------


def test_storage_options_have_one_spelling(runs: Path, tmp_path: Path, moto_s3: S3Server) -> None:
    options = moto_s3.options().revealed()
    url = f"s3://{moto_s3.bucket}/{tmp_path.name}"
    fx.export(runs, f"{url}/e.parquet", storage_options=options)
    assert fx.verify(f"{url}/e.parquet", against=runs, storage_options=options).ok
    fx.import_runs(f"{url}/e.parquet", f"{url}/runs", storage_options=options)
    found = fx.find_runs(f"{url}/runs", storage_options=options)
    assert [run.run_id for run in found] == ["run_a", "run_b"]
    rows = fx.scan(f"{url}/runs", storage_options=options)
    assert_frame_equal(rows.collect(), fx.scan(runs).collect())
    fx.export(f"{url}/runs", tmp_path / "e.csv", storage_options=options)
    assert fx.verify(tmp_path / "e.csv", against=f"{url}/runs", storage_options=options).ok
    assert (
        fx.compare(f"{url}/runs/run_a", str(runs / "run_a"), storage_options=options).metrics.height
        == 3
    )
    assert str(options["secret"]) not in repr(rows)
