"""The service says when something is wrong, and when it works again."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.service.jobs.job_store import JobStore
from tests.exporting import spec, write_runs
from tests.service.serving import events, found, serving

SECONDS = 30.0


def ready(client: httpx.Client, status: str) -> dict[str, Any]:
    """Return the health of the service once it has a status."""
    end = time.monotonic() + SECONDS
    while (body := client.get("/readyz").json())["status"] != status:
        assert time.monotonic() < end, body
        time.sleep(0.2)
    return dict(body)


def test_runs_that_are_gone_are_reported_until_they_are_back(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    with (
        serving(runs, tmp_path / "state", "--refresh", "1") as server,
        server.client() as client,
    ):
        before = ready(client, "ok")
        assert before["problems"] == []
        shutil.move(runs, tmp_path / "elsewhere")
        body = ready(client, "degraded")
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert body["problems"][0]["part"] == "runs"
        assert body["problem"] == body["problems"][0]["message"]
        assert str(tmp_path) not in answer.text
        assert body["listedUtc"] <= client.get("/v1/runs").json()["listedUtc"]
        assert client.get("/healthz").status_code == 200
        shutil.move(tmp_path / "elsewhere", runs)
        assert ready(client, "ok")["problems"] == []
        assert client.get("/readyz").status_code == 200


def test_listeners_learn_of_problems(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    with (
        serving(runs, tmp_path / "state", "--refresh", "0.5") as server,
        server.client() as client,
    ):
        stream = events(client)
        shutil.move(runs, tmp_path / "elsewhere")
        assert next(event for event in stream if event["event"] == "health")["data"] == {}


def test_a_history_that_cannot_be_written_is_reported_and_stops_no_export(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    state = tmp_path / "state"
    with serving(runs, state) as server, server.client() as client:
        ready(client, "ok")
        # Another writer holds the database, which then refuses every change.
        other = sqlite3.connect(state / "jobs.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            body = ready(client, "degraded")
            assert body["problems"][0]["part"] == "history"
            assert client.post("/v1/runs/run_a/export").status_code == 200
        finally:
            other.execute("ROLLBACK")
            other.close()
        ready(client, "ok")


def test_a_full_disk_is_a_problem_of_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(tmp_path / "state", 10)
    store.check()
    assert store.problem is None
    usage = shutil.disk_usage(tmp_path)
    full = usage._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    store.check()
    assert store.problem == "its disk has 1,000 bytes left"
    monkeypatch.undo()
    store.check()
    assert store.problem is None
    store.close()


def test_a_run_whose_export_failed_is_broken_until_its_files_change(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    series = next((runs / "run_a/series").glob("*.csv"))
    whole = series.read_text()
    series.write_text("bin_ind")
    options = ["--refresh", "0.5"]
    with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
        assert client.get("/v1/runs/run_a").json()["state"] == "complete"
        failed = client.post("/v1/runs/run_a/export")
        assert (failed.status_code, failed.json()["code"]) == (422, "run-damaged")
        body = in_state(client, "broken")
        assert series.name in body["reason"]
        assert client.get("/v1/runs?state=broken").json()["totalCount"] == 1
    with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
        assert client.get("/v1/runs/run_a").json()["state"] == "broken"
        series.write_text(whole)
        in_state(client, "complete")
        assert client.post("/v1/runs/run_a/export").status_code == 200


def in_state(client: httpx.Client, state: str) -> dict[str, Any]:
    """Return the run once it is listed in a state."""
    end = time.monotonic() + SECONDS
    while (body := found(client, "run_a"))["state"] != state:
        assert time.monotonic() < end, body
        client.get("/v1/runs?refresh=true")
        time.sleep(0.2)
    return body


def test_a_run_of_the_future_is_not_the_newest(tmp_path: Path) -> None:
    runs = write_runs(
        tmp_path / "runs",
        spec("run_2099", created="2099-01-01T00:00:00Z"),
        spec("run_new", created="2025-06-01T00:00:00Z"),
        spec("run_old", created="2025-01-01T00:00:00Z"),
    )
    with serving(runs, tmp_path / "state") as server, server.client() as client:
        assert client.post("/export").json()["runId"] == "run_new"


def test_facts_name_the_folder_without_secrets(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    with (
        serving(runs, tmp_path / "state", "--max-upload", "0") as server,
        server.client() as client,
    ):
        body = client.get("/v1/service").json()
        assert body["runs"] == str(runs)
        assert body["maxUploadBytes"] == 0
        assert body["formats"] == ["csv", "ndjson", "parquet"]
        refused = client.post("/v1/import", files={"files": ("t.csv", b"a,b\n")})
        assert (refused.status_code, refused.json()["code"]) == (404, "uploads-disabled")
