"""The same bytes, faults and reports on every engine, however the rows are cut."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster

from connectors.storage import StagedFile
from connectors.storage.s3.storage import S3Storage
from pipeline.errors import ConfigError, IntegrityError, SinkError
from pipeline.execution import discovery, workers
from pipeline.execution import engine as engine_choice
from pipeline.execution.engine import choose_engine
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.run import export
from pipeline.exports.watch import Watch
from pipeline.planning import plan as planning
from tests.exporting import config, descriptor, names, spec, upload, write_runs
from tests.servers import S3Server

_NOW = datetime(2026, 1, 2, tzinfo=UTC)
_RUNS = 12
_ROWS = 12
ENGINES = ("local", "processes", "dask")


@dataclass
class Engines:
    """The engines of a test session; Dask's cluster is started when it is needed."""

    cluster: LocalCluster | None = None

    def execution(self, engine: str) -> dict[str, Any]:
        if engine != "dask":
            return {"engine": engine, "workers": 2}
        if self.cluster is None:
            self.cluster = LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
        return {"engine": engine, "address": self.cluster.scheduler_address}


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    # Its handler writes to the stderr of when it was imported, which pytest has closed meanwhile.
    logging.getLogger("distributed").handlers = [logging.NullHandler()]
    made = Engines()
    yield made
    if made.cluster is not None:
        made.cluster.close()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    odd = (float("nan"), 7.25, float("inf"), -0.0)
    specs = [
        spec(f"run_{n:02}", values=odd if n == 5 else (1.0, 2.5, -0.0, 4.0)) for n in range(12)
    ]
    return write_runs(tmp_path / "runs", *specs)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run or two a segment, and runs are found in parts."""
    monkeypatch.setattr(planning, "SEGMENT_ROWS", 2_000)
    monkeypatch.setattr(workers, "FEWEST_FOLDERS", 2)
    monkeypatch.setattr(discovery, "_FOLDERS_AT_ONCE", 5)


def every_sink(out: Path | str) -> list[dict[str, Any]]:
    sinks: list[dict[str, Any]] = []
    for form in ("csv", "ndjson", "parquet"):
        sinks += [
            {"path": f"{out}/one.{form}"},
            {"path": f"{out}/runs/{{run_id}}.{form}"},
            {"path": f"{out}/{form}_set", "format": form},
            {"path": f"{out}/{form}_by", "format": form, "partition_by": ["measure"]},
            {"path": f"{out}/{form}_most", "format": form, "max_rows_per_file": 7},
            {"path": f"{out}/wide.{form}", "layout": "wide"},
        ]
    for form, codec, suffix in (("csv", "gzip", "gz"), ("ndjson", "zstd", "zst")):
        path = f"{out}/packed.{form}.{suffix}"
        sinks.append({"path": path, "format": form, "compression": codec})
    return sinks


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, descriptors without the mark that no two writings share."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): re.sub(rb'"writeId": "\w+"', b"", path.read_bytes())
        for path in files
    }


@pytest.mark.parametrize("engine", ["processes", "dask"])
@pytest.mark.parametrize(
    "transform",
    [
        {},
        {"filter": "value > 2"},
        {"filter": "value > 1e300"},
        {"resample": {"to": "2h"}, "filter": "value <> 6.5"},
    ],
    ids=str,
)
def test_bytes_are_those_of_one_process(
    runs: Path, tmp_path: Path, engines: Engines, engine: str, transform: dict[str, Any]
) -> None:
    reports = {}
    for name in ("local", engine):
        settings = config(
            runs,
            *every_sink(tmp_path / name),
            execution=engines.execution(name),
            transform=transform,
        )
        reports[name] = export(settings, now=_NOW)
        assert reports[name].engine is not None
        assert reports[name].engine.engine == name
    ours, theirs = contents(tmp_path / "local"), contents(tmp_path / engine)
    assert list(ours) == list(theirs)
    assert [path for path in ours if ours[path] != theirs[path]] == []
    assert len(ours) > 12 * 6
    assert reports[engine].rows_read == reports["local"].rows_read == _RUNS * _ROWS
    assert reports[engine].seconds["cpu"]["workers"] > 0
    assert reports["local"].seconds["cpu"]["workers"] == 0
    assert export(settings, now=_NOW).seconds["cpu"]["workers"] == 0
    assert contents(tmp_path / engine) == theirs


def test_segments_are_read_back_by_others(runs: Path, tmp_path: Path, engines: Engines) -> None:
    out = tmp_path / "out"
    export(config(runs, *every_sink(out), execution=engines.execution("processes")), now=_NOW)
    whole = pl.read_parquet(out / "one.parquet")
    assert whole.height == _RUNS * _ROWS
    assert pq.ParquetFile(out / "one.parquet").num_row_groups > 3
    duckdb = pytest.importorskip("duckdb")
    for path in ("one.csv", "packed.csv.gz", "csv_set/*.csv", "csv_most/*.csv"):
        found = duckdb.sql(
            f"select count(*), sum(value) filter (isfinite(value)) "
            f"from read_csv('{out}/{path}', comment='#', types={{'value': 'DOUBLE'}})"
        ).fetchall()[0]
        assert (
            found
            == duckdb.sql(
                f"select count(*), sum(value) filter (isfinite(value)) from '{out}/one.parquet'"
            ).fetchall()[0]
        )
    found = duckdb.sql(f"select count(*) from read_json('{out}/packed.ndjson.zst')").fetchall()[0]
    assert found == (_RUNS * _ROWS,)
    for threshold in (-1.0, 2.0, 6.0, 8.0):
        found = duckdb.sql(
            f"select count(*) from '{out}/one.parquet' where value > {threshold}"
        ).fetchall()
        assert found == [(whole.filter(pl.col("value") > threshold).height,)]
    packed = pl.read_csv(out / "packed.csv.gz", comment_prefix="#")
    assert packed.height == _RUNS * _ROWS
    for path in out.rglob("*datapackage.json"):
        descriptor(path)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_fault_is_named_or_the_run_left_out(
    runs: Path, tmp_path: Path, engines: Engines, engine: str
) -> None:
    for name in ("run_05", "run_09"):
        series = next((runs / name / "series").glob("*.csv"))
        series.write_bytes(series.read_bytes().replace(b"1,", b"1,9"))
    execution = engines.execution(engine)
    out = tmp_path / "out"
    with pytest.raises(IntegrityError, match="sha256 is") as caught:
        export(config(runs, *every_sink(out), execution=execution), now=_NOW)
    assert caught.value.run_url.endswith("run_05")
    assert names(out) == []
    lenient = config(runs, *every_sink(out), execution=execution, source={"on_error": "skip"})
    report = export(lenient, now=_NOW)
    assert [Path(one.url).name for one in report.left_out] == ["run_05", "run_09"]
    assert report.exit_code == 3
    assert len(pl.read_parquet(out / "one.parquet")["run_id"].unique()) == _RUNS - 2


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sink_that_refuses_a_value_leaves_nothing(
    runs: Path, tmp_path: Path, engines: Engines, engine: str
) -> None:
    sink = {"path": tmp_path / "out" / "e.ndjson", "non_finite": "error"}
    with pytest.raises(SinkError, match=r"cannot express \(time_bin=2025-") as raised:
        export(config(runs, sink, execution=engines.execution(engine)), now=_NOW)
    assert str(raised.value).isprintable()
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_changes_is_read_again(
    runs: Path, tmp_path: Path, engines: Engines, engine: str
) -> None:
    class Rewrites(ProgressCallback):
        def began(self, files: int, rows: int, size: int) -> None:
            write_runs(runs, spec("run_10", values=(9.0, 9.0, 9.0, 9.0)))

    execution = engines.execution(engine)
    settings = config(runs, {"path": tmp_path / "e.parquet"}, execution=execution)
    export(settings, progress=Rewrites(), now=_NOW)
    found = pl.read_parquet(tmp_path / "e.parquet").filter(pl.col("run_id") == "run_10")
    assert set(found["value"]) >= {9.0}


@pytest.mark.parametrize("engine", ENGINES)
def test_progress_adds_up(runs: Path, tmp_path: Path, engines: Engines, engine: str) -> None:
    class Sums(ProgressCallback):
        def __init__(self) -> None:
            self.total = self.read_so_far = (0, 0)

        def began(self, files: int, rows: int, size: int) -> None:
            self.total = files, rows

        def read(self, files: int, rows: int, size: int) -> None:
            self.read_so_far = self.read_so_far[0] + files, self.read_so_far[1] + rows

    sums = Sums()
    settings = config(runs, {"path": tmp_path / "e.csv"}, execution=engines.execution(engine))
    export(settings, progress=sums, now=_NOW)
    assert sums.read_so_far == sums.total == (_RUNS * 3, _RUNS * _ROWS)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_deadline_ends_an_export(
    runs: Path, tmp_path: Path, engines: Engines, engine: str
) -> None:
    class Waits(ProgressCallback):
        def began(self, files: int, rows: int, size: int) -> None:
            time.sleep(1.1)

    execution = engines.execution(engine) | {"timeout": "1s"}
    settings = config(runs, {"path": tmp_path / "out" / "e.csv"}, execution=execution)
    with pytest.raises(SinkError, match="nothing was published"):
        export(settings, now=_NOW, progress=Waits())
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_watch_exports_what_is_new(
    runs: Path, tmp_path: Path, engines: Engines, engine: str
) -> None:
    execution = engines.execution(engine)
    watch = Watch(
        config(runs, {"path": tmp_path / "set", "format": "csv"}, execution=execution), 0.01
    )
    rounds = watch.rounds()
    assert next(rounds).runs == _RUNS  # type: ignore[union-attr]
    write_runs(runs, spec("run_99"))
    assert next(rounds).runs == _RUNS + 1  # type: ignore[union-attr]
    watch.stopped.set()


@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_targets_on_a_store(
    runs: Path, tmp_path: Path, engines: Engines, engine: str, rclone_s3: S3Server
) -> None:
    options = rclone_s3.options()
    root = f"s3://{rclone_s3.bucket}/engine-{engine}"
    upload(runs, f"{root}/runs", options)
    storage = {"lake": {"protocol": "s3", **options.options}}
    for name in ("local", engine):
        sinks = [
            {"path": f"{root}/{name}/set", "format": "parquet", "storage": "lake"},
            {"path": f"{root}/{name}/one.csv", "storage": "lake"},
            {"path": f"{root}/{name}/{{run_id}}.ndjson", "storage": "lake"},
        ]
        settings = config(
            f"{root}/runs",
            *sinks,
            source={"storage": "lake"},
            storage=storage,
            execution=engines.execution(name),
        )
        export(settings, now=_NOW)
    found = {name: stored(rclone_s3, f"engine-{engine}/{name}") for name in ("local", engine)}
    assert found["local"] == found[engine]
    assert len(found[engine]) > _RUNS


def test_no_row_of_a_data_set_on_a_store_comes_through_the_client(
    runs: Path,
    tmp_path: Path,
    engines: Engines,
    rclone_s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed: list[str] = []
    put, read = S3Storage._publish, S3Storage.read

    def putting(self: Any, staged: StagedFile, size: int) -> None:
        passed.append(f"put {staged.target.rpartition('/')[2]}")
        put(self, staged, size)

    def reading(self: Any, path: str, **part: Any) -> bytes:
        passed.append(f"read {path.rpartition('/')[2]}")
        return read(self, path, **part)

    monkeypatch.setattr(S3Storage, "_publish", putting)
    monkeypatch.setattr(S3Storage, "read", reading)
    monkeypatch.setattr(S3Storage, "blocks", None)
    root = f"s3://{rclone_s3.bucket}/client"
    settings = config(
        runs,
        {"path": f"{root}/set", "format": "csv", "storage": "lake"},
        {"path": f"{root}/{{run_id}}.parquet", "storage": "lake"},
        storage={"lake": {"protocol": "s3", **rclone_s3.options().options}},
        execution=engines.execution("dask"),
    )
    report = export(settings, now=_NOW)
    assert report.targets[0].rows == _RUNS * _ROWS
    kinds = {one.rpartition(".")[2] for one in passed if "claim" not in one}
    assert kinds == {"json"}
    assert [path for path in stored(rclone_s3, "client") if path.endswith(".part")] == []


def stored(server: S3Server, prefix: str) -> dict[str, bytes]:
    from connectors.storage import connect

    storage, root = connect(f"s3://{server.bucket}/{prefix}", server.options())
    return {
        entry.path.removeprefix(root): re.sub(rb'"writeId": "\w+"', b"", storage.read(entry.path))
        for folder in storage.walk(root)
        for entry in folder.files
    }


# --------------------------------------------------------------------------- the choice


@pytest.mark.parametrize(
    ("execution", "tasks", "expected"),
    [
        ({}, 1, "local"),
        ({"workers": 2}, 40, "processes"),
        ({"workers": 1}, 40, "local"),
        ({"workers": 4, "engine": "local"}, 40, "local"),
        ({"workers": 4, "engine": "processes"}, 2, "processes"),
        ({"memory_limit": "300MB"}, 40, "local"),
    ],
)
def test_the_engine_is_chosen(
    tmp_path: Path, execution: dict[str, Any], tasks: int, expected: str
) -> None:
    settings = config(tmp_path, {"path": tmp_path / "e.csv"}, execution=execution)
    choice = choose_engine(settings.execution, tasks)
    assert choice.engine == expected
    assert choice.workers <= max(tasks, 4)
    assert choice.reason


@pytest.mark.parametrize(
    ("path", "workers", "expected"),
    [
        ("one.csv", 2, "local"),
        ("one.ndjson", 2, "local"),
        ("one.csv", 3, "processes"),
        ("one.parquet", 2, "processes"),
        ("{run_id}.csv", 2, "processes"),
        ("set", 2, "processes"),
    ],
)
def test_two_workers_do_not_share_a_text_file(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    workers: int,
    expected: str,
) -> None:
    monkeypatch.setattr(engine_choice, "_FEWEST_TASKS", 2)
    sink = {"path": f"{tmp_path}/out/{path}", **({"format": "csv"} if path == "set" else {})}
    report = export(config(runs, sink, execution={"workers": workers}))
    assert report.engine is not None
    assert report.engine.engine == expected


@pytest.mark.parametrize(
    ("execution", "complaint"),
    [
        ({"engine": "dask"}, "needs address"),
        ({"address": "tcp://127.0.0.1:8786"}, "no meaning for engine: auto"),
        ({"engine": "processes", "address": "tcp://127.0.0.1:8786"}, "no meaning for engine"),
        ({"engine": "dask", "address": "127.0.0.1"}, "address of a Dask scheduler"),
        ({"engine": "spark"}, "'local', 'processes' or 'dask'"),
    ],
)
def test_execution_that_does_not_fit(
    tmp_path: Path, execution: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        config(tmp_path, {"path": tmp_path / "export.csv"}, execution=execution)


# --------------------------------------------------------------------------- Dask alone


def test_a_dask_worker_that_dies_is_survived(runs: Path, tmp_path: Path, engines: Engines) -> None:
    class Kills(ProgressCallback):
        killed = False

        def read(self, files: int, rows: int, size: int) -> None:
            if not self.killed:
                os.kill(next(iter(engines.cluster.workers.values())).pid, signal.SIGKILL)  # type: ignore[union-attr]
                self.killed = True
                # As if it had just begun a file.
                staged = next((tmp_path / "dask").rglob("*.part"))
                name = re.sub(r"[0-9a-f]{8}(?=\.flowtime-export)", "0" * 8, staged.name)
                staged.with_name(name).write_bytes(b"half")

    killer = Kills()
    for name, callback in (("local", None), ("dask", killer)):
        sinks = every_sink(tmp_path / name)
        settings = config(runs, *sinks, execution=engines.execution(name))
        export(settings, now=_NOW, progress=callback)
    assert killer.killed
    # This process lives on; what the lost worker was writing does not wait for its end.
    assert contents(tmp_path / "dask") == contents(tmp_path / "local")


def test_another_version_on_a_worker_is_refused(
    runs: Path, tmp_path: Path, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipeline.execution.job as job

    real = job.TaskMessage

    def older(**fields: Any) -> Any:
        return real(**fields, version="99.0")

    monkeypatch.setattr(job, "TaskMessage", older)
    settings = config(runs, {"path": tmp_path / "e.csv"}, execution=engines.execution("dask"))
    with pytest.raises(ConfigError, match="install the same version everywhere"):
        export(settings, now=_NOW)


def test_a_scheduler_that_does_not_answer(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipeline.execution.dask_executor as room

    monkeypatch.setattr(room, "_CONNECT_SECONDS", 1)
    execution = {"engine": "dask", "address": "tcp://127.0.0.1:9"}
    settings = config(runs, {"path": tmp_path / "export.csv"}, execution=execution)
    with pytest.raises(ConfigError, match="no Dask scheduler answers there"):
        export(settings, now=_NOW)
