"""The list of runs of a service is in the registry of its state."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.parse import dialects
from connectors.storage import connect
from pipeline.registry.registry import open_registry
from pipeline.registry.run_list.run_list_query import RunListQuery
from pipeline.service.catalog import registry_handle, run_catalog, run_listing
from pipeline.service.catalog.locations import Locations
from pipeline.service.catalog.registry_handle import RegistryHandle
from pipeline.service.catalog.run_catalog import Listing, RunCatalog
from pipeline.service.jobs import registry_worker
from pipeline.service.settings import ServiceSettings
from pipeline.service.web.app import create_app
from tests.exporting import spec, upload, write_runs
from tests.run_builder import write_bundle
from tests.servers import S3Server

SECONDS = 30.0
_T = TypeVar("_T")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))


@pytest.fixture(autouse=True)
def _without_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_handle, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(registry_handle, "_WRITE_SECONDS", 0.2)
    monkeypatch.setattr(run_catalog, "_LEAST_SECONDS", 0.0)


@contextmanager
def client_of(runs: Path | str, state: Path, **more: Any) -> Iterator[TestClient]:
    settings = ServiceSettings(runs=str(runs), state=state, rate=10_000, burst=10_000, **more)
    with TestClient(create_app(settings), base_url="http://127.0.0.1") as client:
        yield client


def in_status(client: TestClient, status: str) -> dict[str, Any]:
    """The health of a service once it has a status."""
    end = time.monotonic() + SECONDS
    while (body := client.get("/readyz").json())["status"] != status:
        assert time.monotonic() < end, body
        client.app.state.service.health.expire()  # type: ignore[attr-defined]
        time.sleep(0.02)
    return dict(body)


def refreshed(
    client: TestClient, status: int, holds: Callable[[Any], bool] = lambda body: True
) -> httpx.Response:
    """The list once it was made again with this result."""
    end = time.monotonic() + SECONDS
    while True:
        answer = client.get("/v1/runs?refresh=true")
        if answer.status_code == status and holds(answer.json()):
            return answer
        assert time.monotonic() < end, answer.text
        time.sleep(0.02)


def with_catalog(runs: Path, state: Path, work: Callable[[RunCatalog], Awaitable[_T]]) -> _T:
    """Do some work with a catalogue, and close it."""
    changes: list[Listing] = []

    async def done() -> _T:
        locations = Locations.of(ServiceSettings(runs=str(runs), state=state))
        handle = RegistryHandle(f"sqlite:///{state / 'registry.db'}")
        catalog = RunCatalog(locations, handle, 1000.0, changes.append)
        try:
            return await work(catalog)
        finally:
            await catalog.close()
            handle.close()

    return asyncio.run(done())


def test_a_damaged_registry_is_said_and_made_anew(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "registry.db").write_bytes(b"no database at all " * 500)
    with client_of(runs, state) as client:
        body = in_status(client, "failing")
        (problem,) = body["problems"]
        assert problem["part"] == "runs"
        assert "registry.db" in problem["message"]
        assert "it is damaged: move it away" in problem["message"]
        answer = client.get("/v1/runs")
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert "move it away" in answer.json()["error"]
        assert str(tmp_path) not in answer.text
        assert client.get("/v1/runs/run_a").status_code == 503
        logged = [one for one in caplog.messages if "the runs cannot be listed" in one]
        assert len(logged) == 1
        assert client.get("/healthz").status_code == 200
        (state / "registry.db").unlink()
        assert client.get("/v1/runs").json()["totalCount"] == 2
        in_status(client, "ok")


def test_a_registry_that_another_program_writes_serves_the_last_list(
    runs: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with client_of(runs, state) as client:
        assert client.get("/v1/runs").json()["totalCount"] == 2
        write_runs(runs, spec("run_c"))
        other = sqlite3.connect(state / "registry.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            refused = refreshed(client, 503)
            assert (refused.status_code, refused.json()["code"]) == (503, "busy")
            assert "did not answer in time" in refused.json()["error"]
            body = in_status(client, "degraded")
            assert "did not answer in time" in body["problem"]
            assert client.get("/v1/runs").json()["totalCount"] == 2
            assert client.get("/v1/runs/run_a").json()["state"] == "complete"
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert refreshed(client, 200).json()["totalCount"] == 3
        in_status(client, "ok")


def test_a_restart_reads_no_run_again(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    read: list[str] = []
    parse = dialects.parse_run

    def noting(files: Any) -> Any:
        read.append(files.name)
        return parse(files)

    monkeypatch.setattr("connectors.flowtime.discover.run_reading.parse_run", noting)

    async def listed(catalog: RunCatalog) -> list[str]:
        await catalog.listing()
        page = await asyncio.to_thread(catalog.page, RunListQuery(sort="id"), 1, 10)
        for one in page.runs:
            await catalog.run(one)
        assert catalog.looked_at == len(page.runs)
        return [one.key for one in page.runs]

    assert with_catalog(runs, state, listed) == ["run_a", "run_b"]
    assert sorted(read) == ["run_a", "run_b"]
    read.clear()
    assert with_catalog(runs, state, listed) == ["run_a", "run_b"]
    assert read == []
    write_runs(runs, spec("run_c"))
    shutil.rmtree(runs / "run_a")
    assert with_catalog(runs, state, listed) == ["run_b", "run_c"]
    assert read == ["run_c"]


def test_a_whole_run_is_as_it_was_discovered(runs: Path, tmp_path: Path) -> None:
    """A bundle is described nowhere but in its own files, and is read again."""
    write_bundle(runs, spec("bundle"), version=2)
    storage, path = connect(str(runs))
    found = {run.name: run for run in discover(storage, path).runs}

    async def whole(catalog: RunCatalog) -> dict[str, Any]:
        await catalog.listing()
        page = await asyncio.to_thread(catalog.page, RunListQuery(), 1, 10)
        assert {one.bytes for one in page.runs} == {sum(r.series.sizes()) for r in found.values()}
        return {one.name: await catalog.run(one) for one in page.runs}

    assert with_catalog(runs, tmp_path / "state", whole) == found


def test_a_state_that_served_another_folder(runs: Path, tmp_path: Path) -> None:
    """The list has the runs of one folder, with their own ids, whatever the registry has."""
    shutil.copytree(runs, tmp_path / "copy")
    for folder in (runs, tmp_path / "copy", runs):
        with client_of(folder, tmp_path / "state") as client:
            items = client.get("/v1/runs?sort=id").json()["items"]
            assert [one["id"] for one in items] == ["run_a", "run_b"]
            assert client.get("/v1/runs/run_a/index").status_code == 200


def test_many_runs_are_listed_in_a_process(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends with the service, and another one follows where it was killed."""
    monkeypatch.setattr(run_listing, "MOST_HERE", 0)
    with client_of(runs, tmp_path / "state") as client:
        assert client.get("/v1/runs").json()["totalCount"] == 2
        lister = client.app.state.service.catalog._process  # type: ignore[attr-defined]
        first = lister._worker.pid
        os.kill(first, signal.SIGKILL)
        write_runs(runs, spec("run_c"))
        refreshed(client, 200, lambda body: body["totalCount"] == 3)
        second = lister._worker.pid
        assert second != first
        (runs / "run_c" / "manifest.json").unlink()
        refreshed(client, 200, lambda body: body["states"].get("incomplete") == 1)
        assert lister._worker.pid == second
        shutil.move(runs, tmp_path / "elsewhere")
        assert "no such" in refreshed(client, 503).json()["error"].lower()
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_process_enters_all_in_another_registry(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_listing, "MOST_HERE", 0)
    url = SecretStr(f"sqlite:///{tmp_path / 'other.db'}")
    with client_of(runs, tmp_path / "state", registry=url) as client:
        assert client.get("/v1/runs").json()["totalCount"] == 2
        client.post("/v1/runs/run_a/export", json={"formats": ["csv"]}).raise_for_status()
        assert client.post("/v1/artifacts/rescan").raise_for_status().json()["removed"] == 0
        types = client.get("/v1/artifacts/stats").json()["types"]
        counts = {name: one["count"] for name, one in types.items()}
        assert counts == {"run": 2, "model": 2, "export": 1}
        shutil.move(runs, tmp_path / "elsewhere")
        lost = client.post("/v1/artifacts/rescan")
        assert (lost.status_code, lost.json()["code"]) == (502, "store-failed")
        assert str(tmp_path) not in lost.text
    with open_registry(tmp_path / "other.db") as registry:
        assert registry.stats()["total"] == 5


def test_a_process_that_dies_is_a_problem_of_the_runs(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_listing, "MOST_HERE", 0)
    monkeypatch.setattr(registry_worker, "_MODULE", "pipeline.service.worker.nothing")
    with client_of(runs, tmp_path / "state") as client:
        body = in_status(client, "failing")
        assert "the process that lists folders" in body["problem"]
        monkeypatch.undo()
        assert refreshed(client, 200).json()["totalCount"] == 2


def test_a_process_lists_a_store_with_its_secrets(
    rclone_s3: S3Server, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{rclone_s3.bucket}/listed/runs"
    upload(runs, url, rclone_s3.options())
    monkeypatch.setenv("S3_SECRET", rclone_s3.secret)
    monkeypatch.setattr(run_listing, "MOST_HERE", 0)
    options = (
        f"endpoint_url={rclone_s3.endpoint_url}",
        f"key={rclone_s3.key}",
        "secret=${S3_SECRET}",
        "region=us-east-1",
    )
    with client_of(url, tmp_path / "state", storage_options=options) as client:
        items = client.get("/v1/runs?sort=id").json()["items"]
        assert [(one["id"], one["path"]) for one in items] == [
            ("run_a", "run_a"),
            ("run_b", "run_b"),
        ]
        series = client.get("/v1/runs/run_a/series/arrivals")
        assert series.content == (runs / "run_a/series/arrivals@A@DEFAULT.csv").read_bytes()
