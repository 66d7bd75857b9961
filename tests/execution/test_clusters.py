"""Dask clusters that come and go: a scheduler that ends, workers that are added meanwhile."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from distributed import Client, LocalCluster

from pipeline.errors import StorageError
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.run import export
from pipeline.planning import plan as planning
from tests.exporting import config, names, spec, write_runs
from tests.servers import free_port

_RUNS = 12


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(planning, "SEGMENT_ROWS", 1_000)
    logging.getLogger("distributed").handlers = [logging.NullHandler()]
    return write_runs(tmp_path / "runs", *(spec(f"run_{n:02}") for n in range(_RUNS)))


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler in a process of its own, with one worker."""
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    with (tmp_path / "cluster.log").open("wb") as log:
        begin = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
        own = ["--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show"]
        scheduler = subprocess.Popen([*begin, *own], stdout=log, stderr=log)
        begin = [sys.executable, "-m", "distributed.cli.dask_worker"]
        own = ["--nthreads", "1", "--no-dashboard", "--no-nanny", "--death-timeout", "20"]
        worker = subprocess.Popen([*begin, address, *own], stdout=log, stderr=log)
        try:
            yield address, scheduler
        finally:
            for process in (worker, scheduler):
                process.kill()
                process.wait()


@pytest.mark.slow
def test_a_scheduler_that_goes_away_fails_the_export(
    runs: Path, tmp_path: Path, scheduler: tuple[str, subprocess.Popen[bytes]]
) -> None:
    address, process = scheduler

    class Ends(ProgressCallback):
        def read(self, files: int, rows: int, size: int) -> None:
            process.send_signal(signal.SIGKILL)

    out = tmp_path / "out"
    settings = config(
        runs,
        {"path": out / "set", "format": "csv"},
        execution={"engine": "dask", "address": address},
    )
    began = time.monotonic()
    with pytest.raises(StorageError, match="the Dask cluster"):
        export(settings, progress=Ends())
    assert time.monotonic() - began < 60
    assert [name for name in names(out) if not name.endswith(".part")] == []


def test_a_cluster_that_grows_meanwhile(runs: Path, tmp_path: Path) -> None:
    with LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        cluster.adapt(minimum=0, maximum=2, interval="100ms")
        execution = {"engine": "dask", "address": cluster.scheduler_address}
        path = tmp_path / "e.parquet"
        export(config(runs, {"path": path}, execution=execution))
        assert pl.read_parquet(path).height == _RUNS * 12
        with Client(cluster) as client:
            assert client.scheduler_info()["id"]
