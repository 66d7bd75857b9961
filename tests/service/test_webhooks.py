"""Webhooks are called for finished jobs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipeline.service.jobs import webhooks as module
from pipeline.service.jobs.job_store import Delivery, JobStore
from pipeline.service.jobs.webhooks import Webhooks
from pipeline.service.settings import ServiceSettings
from pipeline.webhooks.message import signature
from tests.exporting import spec, write_runs
from tests.service.serving import serving
from tests.webhooks.receiver import receiving, wait_for

SECRET = "a secret of the webhooks"


def test_webhooks_are_signed_and_tried_again(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_0"), spec("run_1"))
    (tmp_path / "secret").write_text(SECRET + "\n")
    with receiving(failures=1) as (always, got), receiving() as (named, got_named):
        options = ["--webhook", always, "--webhook-allow", named]
        options += ["--webhook-secret-file", str(tmp_path / "secret")]
        with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
            job = client.post("/v1/runs/run_0/export", json={"webhook": named}).json()["jobId"]
            wait_for(got, 2)
            wait_for(got_named, 1)
            assert got[0][1] == got[1][1] == got_named[0][1]
            headers, body = got[1]
            assert headers["webhook-id"] == got[0][0]["webhook-id"]
            assert json.loads(body)["id"] == job
            assert json.loads(body)["state"] == "done"
            stamp = int(headers["webhook-timestamp"])
            assert abs(stamp - time.time()) < 60
            expected = signature(SECRET, headers["webhook-id"], stamp, body.decode())
            assert headers["webhook-signature"] == expected
            client.post("/v1/runs/run_1/export").raise_for_status()
            wait_for(got, 3)
            assert len(got_named) == 1
            assert named not in client.get("/v1/jobs").text
            assert json.loads(body)["files"][0]["url"] == "/v1/runs/run_0/export/csv"
            refused = client.post("/v1/runs/run_1/export", json={"webhook": named + "2"})
            assert refused.status_code == 400
            log = server.log.read_text()
            assert "/hook" not in log  # a path of a webhook is often as good as a secret
            assert SECRET not in log


def test_what_was_not_delivered_is_delivered_after_a_restart(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_0"))
    (tmp_path / "secret").write_text(SECRET)
    with receiving(failures=1) as (url, got):
        options = ["--webhook", url, "--webhook-secret-file", str(tmp_path / "secret")]
        with serving(runs, tmp_path / "state", *options) as server, server.client() as client:
            client.post("/v1/runs/run_0/export").raise_for_status()
            wait_for(got, 1)
            server.kill()
        with serving(runs, tmp_path / "state", *options):
            wait_for(got, 2)
        assert got[0][0]["webhook-id"] == got[1][0]["webhook-id"]


@contextmanager
def _store(folder: Path) -> Iterator[JobStore]:
    store = JobStore(folder, 100)
    try:
        yield store
    finally:
        store.close()


def _settings(folder: Path, *urls: str) -> ServiceSettings:
    secret = SecretStr(SECRET) if urls else None
    return ServiceSettings(
        runs=str(folder), state=folder / "state", webhooks=urls, webhook_secret=secret
    )


async def _settled(store: JobStore, hooks: Webhooks) -> None:
    hooks.start()
    async with asyncio.timeout(20):
        while store.owed():
            await asyncio.sleep(0.01)
    await hooks.close()


@pytest.mark.parametrize("others", [(), ("http://127.0.0.1:1/other",)])
def test_a_url_that_is_not_allowed_any_more_is_not_called(
    tmp_path: Path, others: tuple[str, ...]
) -> None:
    with receiving() as (url, got), _store(tmp_path / "state") as store:
        store.owe(Delivery("msg_1", url, "{}"))
        asyncio.run(_settled(store, Webhooks(_settings(tmp_path, *others), store)))
        assert got == []


def test_an_answer_without_end_is_not_read(tmp_path: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1000\r\n" + 4096 * b"x" + b"\r\n")
                await writer.drain()
        except ConnectionError:
            writer.close()

    async def delivered(store: JobStore) -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        store.owe(Delivery("msg_1", url, "{}"))
        await _settled(store, Webhooks(_settings(tmp_path, url), store))
        server.close()

    with _store(tmp_path / "state") as store:
        asyncio.run(delivered(store))


@pytest.mark.parametrize("url", [f"http://{64 * 'a'}.example/", "http://127.0.0.1:1/"])
def test_whatever_fails_is_given_up_in_the_end(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)
    with _store(tmp_path / "state") as store:
        store.owe(Delivery("msg_1", url, "{}"))
        asyncio.run(_settled(store, Webhooks(_settings(tmp_path, url), store)))
