"""Webhooks of an export: signed, tried again, and never a reason to fail or to wait."""

from __future__ import annotations

import http.server
import json
import logging
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.main import run_cli
from pipeline.errors import RunError, StorageError
from pipeline.exports.run import export
from pipeline.webhooks import delivery
from pipeline.webhooks.message import check_webhook_url, signature
from tests.exporting import config, spec, write_runs
from tests.servers import serve_requests
from tests.webhooks.receiver import receiving, wait_for

SECRET = "a secret of the webhooks"
KEY = "storage-key-9f8e7d"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"))


def hooked(runs: Path, *urls: str, **blocks: Any) -> Any:
    sink = {"path": runs.parent / "out/e.csv"}
    return config(runs, sink, webhooks={"urls": list(urls), "secret": SECRET}, **blocks)


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"


def test_the_report_is_sent_signed_to_every_webhook(runs: Path) -> None:
    with receiving() as (first, got), receiving() as (second, got_too):
        report = export(hooked(runs, first, second, first))
        wait_for(got_too, 1)
    (headers, body), *others = got
    assert not others
    stamp = int(headers["webhook-timestamp"])
    assert abs(stamp - time.time()) < 60
    signed = signature(SECRET, headers["webhook-id"], stamp, body.decode())
    assert headers["webhook-signature"] == signed
    assert headers["content-type"] == "application/json"
    sent = json.loads(body)
    assert sent == json.loads(json.dumps(report.as_json()))
    assert (sent["name"], sent["status"], sent["runs"]) == ("test", "done", 1)
    assert got_too[0][1] == body
    assert not report.notes


def test_a_message_is_tried_again(runs: Path) -> None:
    with receiving(failures=1) as (url, got):
        report = export(hooked(runs, url))
        wait_for(got, 2)
    assert got[0][1] == got[1][1]
    assert got[0][0]["webhook-id"] == got[1][0]["webhook-id"]
    assert not report.notes


def test_a_failed_export_is_reported_without_secrets(runs: Path, tmp_path: Path) -> None:
    (runs / "run_a/series/index.json").write_text("{")
    with receiving() as (url, got):
        settings = hooked(runs, url, storage={"lake": {"key": KEY}})
        with pytest.raises(RunError):
            export(settings)
        wait_for(got, 1)
    sent = json.loads(got[0][1])
    assert (sent["status"], sent["error"]["type"]) == ("failed", "RunError")
    assert "index.json" in sent["error"]["message"]
    with receiving() as (url, got):
        with pytest.raises(StorageError, match=KEY):
            export(hooked(tmp_path / KEY, url, storage={"lake": {"key": KEY}}))
        wait_for(got, 1)
    assert KEY.encode() not in got[0][1]


@contextmanager
def redirecting_server(url: str) -> Iterator[str]:
    """A server that redirects every request to a URL."""

    class Redirecting(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(307)
            self.send_header("Location", url)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    with serve_requests(Redirecting) as base:
        yield f"{base}/hook"


@pytest.mark.parametrize("kind", ["silent", "refused", "unknown", "failing", "redirecting"])
def test_a_webhook_never_fails_or_delays_an_export(
    runs: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    export(config(runs, {"path": runs.parent / "out/e.csv"}))  # what is loaded once
    shutil.rmtree(runs.parent / "out")
    with (
        silent_server() as silent,
        receiving(failures=99) as (failing, _),
        receiving() as (elsewhere, led),
        redirecting_server(elsewhere) as redirecting,
    ):
        url = {
            "silent": silent,
            "refused": "http://127.0.0.1:1/T00/B00",
            "unknown": "http://host.invalid/T00/B00",
            "failing": failing,
            "redirecting": redirecting,
        }[kind]
        began = time.monotonic()
        with caplog.at_level(logging.WARNING):
            report = export(hooked(runs, url))
        seconds = time.monotonic() - began
    assert report.exit_code == 0
    assert (runs.parent / "out/e.csv").exists()
    assert seconds - report.seconds["total"] < delivery.LONGEST_WAIT_SECONDS + 0.2
    (note,) = report.notes
    assert "webhooks that have not accepted the report in time" in note
    for text in (note, caplog.text):
        assert "/T00" not in text
        assert "/hook" not in text
        assert SECRET not in text
    assert led == []


@pytest.mark.parametrize(
    "webhooks",
    [
        {"urls": ["ftp://host/secret-path"], "secret": SECRET},
        {"urls": ["http:///secret-path"], "secret": SECRET},
        {"urls": ["http://user:pw@host/secret-path"], "secret": SECRET},
        {"urls": ["http://host:99999999/secret-path"], "secret": SECRET},
        {"urls": ["http://host/secret-path"]},
        {"urls": ["http://host/secret-path"], "secret": ""},
        {"urls": [], "secret": SECRET},
        {"url": "http://host/secret-path", "secret": SECRET},
    ],
    ids=str,
)
def test_a_config_is_checked_and_shows_no_secret(
    runs: Path, tmp_path: Path, webhooks: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sink = {"format": "csv", "path": str(tmp_path / "e.csv")}
    plain = {"version": 1, "source": {"url": str(runs)}, "webhooks": webhooks, "sinks": [sink]}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    for verb in ("validate", "plan", "run"):
        assert run_cli([verb, str(tmp_path / "config.json")]) == 2
        shown = "".join(capsys.readouterr())
        assert "config.json:1:" in shown
        assert "secret-path" not in shown
        assert SECRET not in shown


def test_nothing_of_a_webhook_is_in_plans_reports_and_descriptors(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving() as (url, got):
        sink = {"format": "csv", "path": str(tmp_path / "out/e.csv")}
        webhooks = {"urls": [f"{url}/T00/B00"], "secret": SECRET}
        plain = {"version": 1, "source": {"url": str(runs)}, "webhooks": webhooks, "sinks": [sink]}
        (tmp_path / "config.json").write_text(json.dumps(plain))
        for verb in ("plan", "run", "plan"):
            assert run_cli(["--log-level", "debug", verb, str(tmp_path / "config.json")]) == 0
        wait_for(got, 1)
    texts = [path.read_text() for path in (tmp_path / "out").iterdir()]
    for text in (*capsys.readouterr(), *texts, got[0][1].decode()):
        assert SECRET not in text
        assert "/T00/B00" not in text


@pytest.mark.parametrize("url", ["http://h/", "https://h:8443/a?b=c", "http://[::1]:80/x"])
def test_urls_of_web_servers_are_accepted(url: str) -> None:
    check_webhook_url(url)
