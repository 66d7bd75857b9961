"""Imports are jobs: reported, cancelled, tried again, recorded, and tidied up after."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from pipeline.exports.run import export
from pipeline.service.jobs.job import ExportRequest, Job
from pipeline.service.jobs.job_store import JobStore
from tests.exporting import config, names, spec, write_runs
from tests.service.serving import PROBLEM, Server, events, finished, serving, start, until
from tests.service.test_imports import TABLE, imported, series, upload

ONE = ["--workers", "1", "--rate", "10000", "--burst", "10000", "--set", "cancel_grace=1"]
ASYNC = {"Prefer": "respond-async"}
T = ("t.csv", TABLE.encode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("import-jobs")
    (base / "runs").mkdir()
    with serving(base / "runs", base / "state", *ONE) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as found:
        yield found


@pytest.fixture
def runs(server: Server) -> Path:
    return Path(server.arguments[2])


def uploads(server: Server) -> list[str]:
    return names(server.log.parent / "uploads")


@contextmanager
def halted(server: Server, client: httpx.Client) -> Iterator[int]:
    """The only worker, started and halted: the job it is given next does not get on."""
    imported(client, T, dryRun="true")
    with server.halted_worker() as worker:
        yield worker


def send(client: httpx.Client, *files: Path | tuple[str, bytes], **fields: str) -> str:
    answer = upload(client, *files, headers=ASYNC, **fields)
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    job_id: str = answer.json()["jobId"]
    assert answer.headers["location"] == f"/v1/jobs/{job_id}"
    return job_id


def test_events_and_the_history_report_it(client: httpx.Client, server: Server) -> None:
    with server.client() as listener:
        stream = events(listener)
        poster = threading.Timer(0.3, lambda: upload(client, T, runId="seen", ifExists="replace"))
        poster.start()
        jobs = []
        for event in stream:
            if event["event"] == "job":
                jobs.append(event["data"])
                if jobs[-1]["state"] == "done":
                    break
        poster.join()
        stream.close()
    assert [job["state"] for job in jobs] == ["queued", "running", "done"]
    kept = client.get("/v1/jobs").json()["items"][0]
    assert kept == jobs[-1]
    assert kept["request"]["kind"] == "import"
    assert kept["request"]["files"] == ["t.csv"]
    assert kept["request"]["wishes"]["ifExists"] == "replace"
    answer = imported(client, T, runId="seen", ifExists="skip")
    assert client.get(f"/v1/jobs/{answer['jobId']}").json()["imported"]["runs"] == answer["runs"]
    assert "flowtime_imported_rows_total 2.0" in client.get("/metrics").text
    assert uploads(server) == []


def test_one_that_is_refused_says_the_same_in_the_history(client: httpx.Client) -> None:
    answer = upload(client, ("t.csv", TABLE.replace("2.5", "zwei").encode()))
    assert answer.status_code == 422
    job = client.get("/v1/jobs", params={"state": "failed"}).json()["items"][0]
    assert job["error"]["status"] == 422
    body = answer.json()
    assert set(body) == PROBLEM | {"problems", "problemCounts"}
    for key in ("code", "status", "error", "hint", "problems", "problemCounts"):
        assert job["error"][key] == body[key]


def test_it_is_cancelled(client: httpx.Client, server: Server, runs: Path) -> None:
    with halted(server, client):
        running = send(client, T, runId="no_1")
        until(client, running, {"running"})
        waiting = send(client, T, runId="no_2")
        assert len(uploads(server)) == 2
        for job in (waiting, running):
            assert client.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    end = time.monotonic() + 10
    while uploads(server):
        assert time.monotonic() < end
    assert list(runs.glob("no_*")) == []


def test_there_is_room_for_four(client: httpx.Client, server: Server) -> None:
    with halted(server, client):
        jobs = [send(client, T, runId=f"room_{n}") for n in range(4)]
        full = upload(client, T)
        assert full.status_code == 503
        assert int(full.headers["retry-after"]) > 0
        assert "flowtime_uploads 4.0" in client.get("/metrics").text
        assert client.get("/v1/runs").status_code == 200
    assert {finished(client, job)["state"] for job in jobs} == {"done"}


def test_a_killed_worker_costs_one_attempt(
    client: httpx.Client, server: Server, runs: Path, tmp_path: Path
) -> None:
    """Killed while it stages: nothing of that is left, and the second attempt is as the first."""
    values = [float(n) / 7 for n in range(200_000)]
    there = write_runs(
        tmp_path / "there", spec("big", *(f"{n}@A@DEFAULT" for n in "mno"), values=values)
    )
    export(config(there, {"path": tmp_path / "big.parquet"}))
    imported(client, T, dryRun="true")
    (worker,) = server.workers()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(upload, client, tmp_path / "big.parquet")
        end = time.monotonic() + 20
        while not any(name.endswith(".part") for name in names(runs)):
            assert time.monotonic() < end
        os.kill(worker, signal.SIGKILL)
        answer = waiting.result(60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["runs"][0]["status"] == "written"
    assert client.get(f"/v1/jobs/{answer.json()['jobId']}").json()["attempts"] == 2
    assert series(runs / "big") == series(there / "big")
    while any(name.endswith(".part") for name in names(runs)):
        assert time.monotonic() < end, names(runs)
    assert uploads(server) == []


def test_workers_that_always_die_fail_it(client: httpx.Client, server: Server) -> None:
    over = threading.Event()

    def kill_all() -> None:
        while not over.wait(0.05):
            for worker in server.workers():
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)

    with halted(server, client), ThreadPoolExecutor() as pool:
        waiting = pool.submit(upload, client, T, runId="never")
        end = time.monotonic() + 20
        while not uploads(server):
            assert time.monotonic() < end
        killing = pool.submit(kill_all)
        answer = waiting.result(60)
        over.set()
        killing.result()
    assert answer.status_code == 500
    assert "SIGKILL" in answer.json()["error"]
    assert uploads(server) == []
    assert imported(client, T, runId="never")["runs"][0]["status"] == "written"


def test_one_that_has_begun_to_publish_is_not_tried_again(
    client: httpx.Client, server: Server, runs: Path, tmp_path: Path
) -> None:
    """Runs that exist already would refuse the second attempt, or seem to be another's."""
    many = write_runs(tmp_path / "many", *(spec(f"many_{n:03}") for n in range(40)))
    export(config(many, {"path": tmp_path / "many.parquet"}))
    imported(client, T, dryRun="true")
    (worker,) = server.workers()
    files = sorted(tmp_path.glob("many.*"))
    job_id = send(client, *files)
    first = [runs / f"many_{n:03}" / "manifest.json" for n in range(5)]
    end = time.monotonic() + 60
    while not any(path.exists() for path in first):
        assert time.monotonic() < end
    os.kill(worker, signal.SIGKILL)
    job = finished(client, job_id)
    assert (job["state"], job["attempts"], job["progress"]["phase"]) == ("failed", 1, "over")
    assert "ifExists=replace" in job["error"]["hint"]
    assert uploads(server) == []
    body = imported(client, *files, ifExists="replace")
    assert len(body["runs"]) == 40
    assert "replaced" in {run["status"] for run in body["runs"]}
    assert all(series(runs / one.name) == series(one) for one in many.iterdir())


def test_what_waits_survives_a_crash(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    server = start(tmp_path / "runs", tmp_path / "state", *ONE)
    with server.client() as client:
        imported(client, T, dryRun="true")
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        running = send(client, T, runId="running")
        until(client, running, {"running"})
        waiting = send(client, T, runId="waiting")
        lost = send(client, T, runId="lost")
    server.kill()
    os.kill(worker, signal.SIGKILL)
    left = tmp_path / "state/uploads"
    assert {name.partition("/")[0] for name in names(left)} == {running, waiting, lost}
    (left / lost / "files/t.csv").unlink()
    (left / "half").mkdir()
    (left / "half/t.csv").write_text("received when the service died")
    with serving(tmp_path / "runs", tmp_path / "state", *ONE) as again, again.client() as client:
        job = client.get(f"/v1/jobs/{running}").json()
        assert (job["state"], job["error"]["status"]) == ("failed", 503)
        assert finished(client, waiting)["state"] == "done"
        assert client.get("/v1/runs/waiting").json()["state"] == "complete"
        assert "do not exist any more" in finished(client, lost)["error"]["error"]
        assert [path.name for path in (tmp_path / "runs").iterdir()] == ["waiting"]
        assert names(left) == []


def test_one_at_work_ends_with_the_service(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with (
        serving(tmp_path / "runs", tmp_path / "state", *ONE) as server,
        server.client() as client,
        halted(server, client),
    ):
        job_id = send(client, T)
        until(client, job_id, {"running"})
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 0
    assert names(tmp_path / "state/uploads") == []
    assert names(tmp_path / "runs") == []
    with sqlite3.connect(tmp_path / "state/jobs.sqlite") as database:
        states = dict(database.execute("SELECT id, state FROM jobs"))
    assert states[job_id] == "failed"


def test_jobs_that_an_older_service_has_kept(tmp_path: Path) -> None:
    """Their requests do not say that they are exports."""
    request = ExportRequest(run="run_0", run_id="run_0", path="run_0")
    job = Job(id="a", request=request, created=datetime.now(UTC))
    store = JobStore(tmp_path, 10)
    store.add(job)
    store.close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        newer = "'$.request.kind', '$.request.when', '$.imported'"
        database.execute(f"UPDATE jobs SET data = json_remove(data, {newer})")
        database.execute("PRAGMA user_version = 1")
    store = JobStore(tmp_path, 10)
    assert store.unfinished() == [job]
    store.close()
