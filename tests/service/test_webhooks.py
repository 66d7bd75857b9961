"""Webhooks are called for finished jobs."""

from __future__ import annotations

import json
import time
from pathlib import Path

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
            assert SECRET not in server.log.read_text()


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
