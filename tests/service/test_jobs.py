"""Jobs on worker processes: joined, queued, cancelled, killed, remembered."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pipeline.service.jobs.job import ExportOrder
from pipeline.service.jobs.worker_process import WorkerDiedError, WorkerProcess
from tests.exporting import names, spec, write_runs
from tests.service.serving import PROBLEM, Server, events, finished, serving, start, stop, until

ASYNC = {"Prefer": "respond-async"}
ONE = ["--workers", "1", "--rate", "10000", "--burst", "10000", "--set", "cancel_grace=1"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", *(spec(f"run_{n}") for n in range(5)))


@pytest.fixture
def server(runs: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(runs, tmp_path / "state", *ONE, "--queue", "2") as found:
        yield found


@contextmanager
def halted(server: Server, client: httpx.Client) -> Iterator[int]:
    """The only worker, started and halted: the job it is given next does not get on."""
    client.get("/v1/runs/run_4/export/csv?fresh=true").raise_for_status()
    with server.halted_worker() as worker:
        yield worker


def post(client: httpx.Client, run: str, **options: object) -> dict[str, str]:
    answer = client.post(f"/v1/runs/{run}/export", headers=ASYNC, json=options or None)
    assert answer.status_code == 202, answer.text
    body: dict[str, str] = answer.json()
    return body


def test_the_same_work_is_joined_and_other_work_waits(server: Server) -> None:
    with server.client() as client:
        with halted(server, client):
            first = post(client, "run_0")["jobId"]
            until(client, first, {"running"})
            assert post(client, "run_0")["jobId"] == first
            assert post(client, "run_0", formats=["csv", "parquet", "ndjson"])["jobId"] == first
            other = post(client, "run_0", formats=["csv"])["jobId"]
            assert other != first
            assert client.get(f"/v1/jobs/{other}").json()["state"] == "queued"
        assert finished(client, first)["state"] == "done"
        last = finished(client, other)
        assert last["state"] == "done"
        assert [file["status"] for file in last["files"]] == ["unchanged"]
        again = post(client, "run_0")["jobId"]
        assert again != first


def test_a_full_queue_says_when_to_come_again(server: Server) -> None:
    with server.client() as client, halted(server, client):
        jobs = [post(client, f"run_{n}")["jobId"] for n in range(1)]
        until(client, jobs[0], {"running"})
        jobs += [post(client, f"run_{n}")["jobId"] for n in (1, 2)]
        full = client.post("/v1/runs/run_3/export", headers=ASYNC)
        assert full.status_code == 503
        assert int(full.headers["retry-after"]) > 0
        assert set(full.json()) == PROBLEM
        # Reading goes on meanwhile, and so does joining.
        assert client.get("/v1/runs").status_code == 200
        assert post(client, "run_1")["jobId"] == jobs[1]


def test_cancelling_what_waits_and_what_hangs(server: Server, runs: Path) -> None:
    with server.client() as client, halted(server, client):
        running = post(client, "run_0")["jobId"]
        until(client, running, {"running"})
        waiting = post(client, "run_1")["jobId"]
        assert client.delete(f"/v1/jobs/{waiting}").json()["state"] == "cancelled"
        # A worker that does not answer SIGTERM is killed.
        assert client.delete(f"/v1/jobs/{running}").json()["state"] == "cancelled"
        again = client.delete(f"/v1/jobs/{running}")
        assert again.status_code == 409
        assert client.delete("/v1/jobs/none").status_code == 404
        assert names(runs / "run_0" / "gold") == [] or not (runs / "run_0/gold").exists()
        assert client.post("/v1/runs/run_0/export").status_code == 200


def test_cancelling_a_job_at_work_leaves_nothing(runs: Path, tmp_path: Path) -> None:
    values = [float(n) / 7 for n in range(60_000)]
    ids = [f"m{n}@A@DEFAULT" for n in range(20)]
    write_runs(runs, spec("run_big", *ids, values=values))
    options = [*ONE, "--set", "large_bytes=1000"]
    with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
        answer = client.post("/v1/runs/run_big/export")
        assert answer.status_code == 202  # for large runs, the response names the job
        job_id = answer.json()["jobId"]
        end = time.monotonic() + 30
        while client.get(f"/v1/jobs/{job_id}").json()["progress"]["phase"] != "reading":
            assert time.monotonic() < end
        assert client.delete(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"
        assert names(runs / "run_big" / "gold") == []
        job_id = client.post("/v1/runs/run_big/export").json()["jobId"]
        job = finished(client, job_id)
        assert job["state"] == "done"
        assert job["progress"]["rowsTotal"] == job["progress"]["rows"] == 1_200_000
        assert len(names(runs / "run_big" / "gold")) == 4


def test_a_killed_worker_costs_one_attempt(server: Server, runs: Path) -> None:
    with server.client() as client, halted(server, client) as worker:
        job_id = post(client, "run_0")["jobId"]
        until(client, job_id, {"running"})
        os.kill(worker, signal.SIGKILL)
        job = finished(client, job_id)
        assert (job["state"], job["attempts"]) == ("done", 2)
        assert client.get("/v1/runs/run_0/export/csv").status_code == 200


def test_workers_that_always_die_fail_the_job(server: Server) -> None:
    with server.client() as client, halted(server, client):
        over = threading.Event()

        def kill_all() -> None:
            while not over.is_set():
                for worker in server.workers():
                    os.kill(worker, signal.SIGKILL)
                time.sleep(0.05)

        job_id = post(client, "run_0")["jobId"]
        until(client, job_id, {"running"})
        killer = threading.Thread(target=kill_all)
        killer.start()
        try:
            job = finished(client, job_id)
        finally:
            over.set()
            killer.join()
        assert (job["state"], job["attempts"]) == ("failed", 2)
        assert "SIGKILL" in job["error"]["error"]
        assert client.get("/healthz").status_code == 200
        assert client.post("/v1/runs/run_1/export").status_code == 200


HALF = """\
import os, sys
sys.stdin.readline()
os.write(1, b'{"event": "progress"}\\n{"event": "done", "rep')
os.kill(os.getpid(), 9)
"""


def test_half_a_line_is_a_worker_that_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_a_worker.py").write_text(HALF)
    monkeypatch.syspath_prepend(tmp_path)
    received: list[str] = []

    async def work() -> None:
        worker = await WorkerProcess.start("half_a_worker")
        await worker.work(
            ExportOrder(config={}, address_space=1), lambda event: received.append(event["event"])
        )

    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        asyncio.run(work())
    assert received == ["progress"]


def test_too_little_address_space_fails_the_job_alone(runs: Path, tmp_path: Path) -> None:
    options = [*ONE, "--set", f"address_space={300 * 2**20}"]
    with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
        answer = client.post("/v1/runs/run_0/export")
        assert answer.status_code >= 500
        assert set(answer.json()) == PROBLEM
        assert client.get("/v1/runs").status_code == 200


def test_history_survives_a_crash(runs: Path, tmp_path: Path) -> None:
    server = start(runs, tmp_path / "state", *ONE)
    with server.client() as client:
        done = client.post("/v1/runs/run_0/export").json()["jobId"]
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        running = post(client, "run_1")["jobId"]
        until(client, running, {"running"})
        waiting = post(client, "run_2")["jobId"]
    server.kill()
    os.kill(worker, signal.SIGCONT)  # it finds its service gone, and ends
    with serving(runs, tmp_path / "state", *ONE) as again, again.client() as client:
        assert client.get(f"/v1/jobs/{done}").json()["state"] == "done"
        failed = client.get(f"/v1/jobs/{running}").json()
        assert failed["state"] == "failed"
        assert "the service ended" in failed["error"]["error"]
        assert finished(client, waiting)["state"] == "done"
        page = client.get("/v1/jobs", params={"pageSize": 2}).json()
        assert page["totalCount"] == 3
        assert [job["id"] for job in page["items"]] == [waiting, running]
        of_run = client.get("/v1/jobs", params={"runId": "run_0"}).json()["items"]
        assert [job["id"] for job in of_run] == [done]
        assert of_run[0]["files"][0]["url"] == "/v1/runs/run_0/export/csv"
        states = client.get("/v1/jobs", params={"state": ["failed"]}).json()["items"]
        assert [job["id"] for job in states] == [running]
    end = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < end, "the worker of a dead service lives on"
        time.sleep(0.05)


def test_an_export_waits_for_its_run(runs: Path, tmp_path: Path) -> None:
    """It waits over a restart, without listeners; the job reports whether it succeeded."""
    write_runs(runs, *(spec(name, run_id=f"id_{name}") for name in ("young", "gone", "bad", "no")))
    manifests = {name: runs / name / "manifest.json" for name in ("young", "gone", "bad", "no")}
    for name, manifest in manifests.items():
        manifest.rename(tmp_path / name)
    options = [*ONE, "--refresh", "0.2", "--queue", "4"]
    later = {"when": "complete", "formats": ["csv"]}
    with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
        assert client.post("/v1/runs/young/export").status_code == 422
        jobs = {}
        for name in manifests:
            answer = client.post(f"/v1/runs/{name}/export", json=later)
            assert answer.status_code == 202, answer.text
            jobs[name] = answer.json()["jobId"]
            assert client.get(answer.headers["location"]).json()["state"] == "queued"
        assert client.post("/v1/runs/no/export", json=later).json()["jobId"] == jobs["no"]
        other = {**later, "filter": "value > 1"}
        assert client.post("/v1/runs/no/export", json=other).status_code == 503
        # They block no others, and for a complete run they do the same as others.
        assert client.post("/v1/runs/run_0/export", json=later).json()["state"] == "done"
    with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
        assert client.delete(f"/v1/jobs/{jobs['no']}").json()["state"] == "cancelled"
        states = {name: client.get(f"/v1/jobs/{job}").json()["state"] for name, job in jobs.items()}
        assert set(states.values()) == {"queued", "cancelled"}
        shutil.rmtree(runs / "gone")
        (runs / "bad/series/index.json").write_text("{")
        for name in ("bad", "no", "young"):
            (tmp_path / name).rename(manifests[name])
        job = finished(client, jobs["young"])
        assert job["state"] == "done"
        assert job["request"]["run"] == job["request"]["runId"] == "id_young"
        assert client.get(job["files"][0]["url"]).status_code == 200
        assert client.get("/v1/jobs?runId=id_young").json()["items"] == [job]
        assert "does not exist any more" in finished(client, jobs["gone"])["error"]["error"]
        broken = finished(client, jobs["bad"])["error"]
        assert (broken["status"], "is broken" in broken["error"]) == (422, True)
        assert not (runs / "no/gold").exists()


def test_a_service_ends_in_order_though_somebody_listens(server: Server) -> None:
    with server.client() as client, server.client() as listener:
        client.post("/v1/runs/run_0/export").raise_for_status()
        stream = events(listener, "another-1")
        next(stream)
        workers = server.workers()
        assert workers
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
        stream.close()


def test_two_services_do_not_share_a_state(server: Server, runs: Path) -> None:
    with pytest.raises(RuntimeError, match="another service uses"):
        stop(start(runs, server.log.parent, *ONE))


def test_events_report_jobs_and_can_be_taken_up_again(server: Server) -> None:
    with server.client() as client, server.client() as listener:
        seen = []
        stream = events(listener)
        poster = threading.Timer(0.3, lambda: client.post("/v1/runs/run_0/export"))
        poster.start()
        for event in stream:
            seen.append(event)
            if event["event"] == "job" and event["data"]["state"] == "done":
                break
        poster.join()
        stream.close()
        states = [e["data"]["state"] for e in seen if e["event"] == "job"]
        assert states == ["queued", "running", "done"]
        assert "progress" in {event["event"] for event in seen}
        assert seen[-1]["data"]["files"]
        missed = []
        for event in events(listener, seen[0]["id"]):
            missed.append(event)
            if event["id"] == seen[-1]["id"]:
                break
        assert missed == seen[1:]
        assert next(events(listener, "another-1"))["event"] == "reset"


def test_new_runs_cause_an_event(runs: Path, tmp_path: Path) -> None:
    options = [*ONE, "--refresh", "0.1"]
    with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
        stream = events(client)
        timer = threading.Timer(1.2, lambda: write_runs(runs, spec("run_9")))
        timer.start()
        # The run may be listed first while it is still being written.
        event = next(e for e in stream if e["event"] == "runs" and e["data"]["complete"] == 6)
        timer.join()
        stream.close()
        assert event["data"]["total"] == 6
