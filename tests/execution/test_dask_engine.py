"""A Dask cluster as the engine: the same files and descriptor as the local engine's."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster

import pipeline.execution.dask_engine as room
from pipeline.config import ExportConfig
from pipeline.errors import ConfigError, IntegrityError
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.run import export
from tests.exporting import config, spec, upload, write_runs
from tests.servers import S3Server

_NOW = datetime(2026, 1, 2, tzinfo=UTC)
_RUNS = 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=3,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as made:
        yield made


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", *(spec(f"run_{n:02}") for n in range(_RUNS)))


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task for each run."""
    monkeypatch.setattr(room, "GROUP_ROWS", 12)


def _config(
    runs: Path | str, out: Path, cluster: LocalCluster | None, **blocks: Any
) -> ExportConfig:
    execution = {} if cluster is None else {"engine": "dask", "address": cluster.scheduler_address}
    return config(
        runs,
        {"path": out / "export.csv"},
        {"path": out / "{run_id}.ndjson.gz", "compression": "gzip"},
        {"path": out / "set", "format": "parquet", "partition_by": ["measure"]},
        {"path": out / "wide.csv", "layout": "wide"},
        execution=execution,
        **blocks,
    )


def _bytes(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, descriptors without the mark that no two writings share."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): re.sub(rb'"writeId": "\w+"', b"", path.read_bytes())
        for path in files
    }


@pytest.mark.usefixtures("small_groups")
def test_files_and_descriptor_are_those_of_the_local_engine(
    runs: Path, tmp_path: Path, cluster: LocalCluster
) -> None:
    for out, engine in ((tmp_path / "local", None), (tmp_path / "dask", cluster)):
        report = export(_config(runs, out, engine, transform={"filter": "value > 2"}), now=_NOW)
        assert report.rows_read == _RUNS * 12
    found = _bytes(tmp_path / "dask")
    assert found == _bytes(tmp_path / "local")
    assert len(found) > 2 * _RUNS


def test_runs_on_s3(runs: Path, tmp_path: Path, cluster: LocalCluster, rclone_s3: S3Server) -> None:
    options = rclone_s3.options()
    root = f"s3://{rclone_s3.bucket}/dask-runs"
    upload(runs, root, options)
    blocks: dict[str, Any] = {
        "storage": {"lake": {"protocol": "s3", **options.options}},
        "source": {"storage": "lake"},
    }
    for out, engine in ((tmp_path / "local", None), (tmp_path / "dask", cluster)):
        export(_config(root, out, engine, **blocks), now=_NOW)
    assert _bytes(tmp_path / "dask") == _bytes(tmp_path / "local")


class _Killer(ProgressCallback):
    """Kills a worker once the first rows have come."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._victim = next(iter(cluster.workers.values())).pid
        self.killed = False

    def read(self, files: int, rows: int, size: int) -> None:
        if not self.killed:
            os.kill(self._victim, signal.SIGKILL)
            self.killed = True


@pytest.mark.usefixtures("small_groups")
def test_a_worker_that_dies_is_survived(runs: Path, tmp_path: Path, cluster: LocalCluster) -> None:
    killer = _Killer(cluster)
    export(_config(runs, tmp_path / "local", None), now=_NOW)
    export(_config(runs, tmp_path / "dask", cluster), now=_NOW, listener=killer)
    assert killer.killed
    assert _bytes(tmp_path / "dask") == _bytes(tmp_path / "local")


def test_a_fault_of_a_run_is_named_as_it_is_locally(
    runs: Path, tmp_path: Path, cluster: LocalCluster
) -> None:
    series = next((runs / "run_05" / "series").glob("*.csv"))
    series.write_bytes(series.read_bytes().replace(b"2.5", b"2.6"))
    with pytest.raises(IntegrityError, match="sha256 is") as caught:
        export(_config(runs, tmp_path / "out", cluster), now=_NOW)
    assert caught.value.run_url.endswith("run_05")
    assert not (tmp_path / "out" / "export.csv").exists()
    report = export(_config(runs, tmp_path / "out", cluster, source={"on_error": "skip"}), now=_NOW)
    assert [Path(one.url).name for one in report.left_out] == ["run_05"]


def test_another_version_on_a_worker_is_refused(
    runs: Path, tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "VERSION", "99.0")
    with pytest.raises(ConfigError, match="install the same version everywhere"):
        export(_config(runs, tmp_path / "out", cluster), now=_NOW)


def test_a_scheduler_that_does_not_answer(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_CONNECT_SECONDS", 1)
    settings = config(
        runs,
        {"path": tmp_path / "export.csv"},
        execution={"engine": "dask", "address": "tcp://127.0.0.1:9"},
    )
    with pytest.raises(ConfigError, match="no Dask scheduler answers there"):
        export(settings, now=_NOW)


@pytest.mark.parametrize(
    ("execution", "complaint"),
    [
        ({"engine": "dask"}, "needs address"),
        ({"address": "tcp://127.0.0.1:8786"}, "no meaning for engine: local"),
        ({"engine": "dask", "address": "127.0.0.1"}, "address of a Dask scheduler"),
        ({"engine": "spark"}, "'local' or 'dask'"),
    ],
)
def test_execution_that_does_not_fit(
    tmp_path: Path, execution: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        config(tmp_path, {"path": tmp_path / "export.csv"}, execution=execution)
