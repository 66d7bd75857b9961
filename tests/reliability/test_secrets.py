"""Known secrets are nowhere to be found in what an export says or writes.

Meant to fail without the log's filter, with `repr` of storage options in a message, and with s3fs
allowed to log at the debug level.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.storage import connect
from tests.exporting import spec, write_runs
from tests.servers import S3Server, free_port

COMMAND = [sys.executable, "-c", "from pipeline.cli.main import main; main()"]
MOUNTED = "canary-mounted-5up3r"
TOKEN = "canary-t0ken-5up3r"
VERBS = (["run"], ["run", "--json"], ["run", "--dry-run"], ["plan", "--json"], ["doctor"],
         ["validate"], ["preview"])  # fmt: skip


def settings(tmp_path: Path, endpoint: str, bucket: str) -> tuple[Path, dict[str, Any]]:
    (tmp_path / "mounted").write_text(MOUNTED)
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    lake = {
        "protocol": "s3",
        "endpoint_url": endpoint,
        "key": "${CANARY_KEY}",
        "secret": "${CANARY_SECRET}",
        "token": "${CANARY_TOKEN}",
        "region": "us-east-1",
    }
    made = {
        "version": 1,
        "name": "secretive",
        "storage": {
            "lake": lake,
            "other": {"protocol": "s3", "secret": f"${{file:{tmp_path}/mounted}}"},
        },
        "source": {"url": str(runs)},
        "sinks": [
            {"format": form, "path": f"s3://{bucket}/{tmp_path.name}/e.{form}", "storage": "lake"}
            for form in ("csv", "ndjson", "parquet")
        ],
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(made))
    return path, made


def said(
    path: Path, verb: list[str], secrets: list[str], forms: tuple[str, ...] = ("json",)
) -> tuple[int, str]:
    """What a verb says at the debug level."""
    text = ""
    code = 0
    for form in forms:
        ended = subprocess.run(
            [*COMMAND, "--log-level", "debug", "--log-format", form, *verb, str(path)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={
                **os.environ,
                "CANARY_KEY": secrets[0],
                "CANARY_SECRET": secrets[1],
                "CANARY_TOKEN": secrets[2],
            },
        )
        text += ended.stdout + ended.stderr
        code = max(code, ended.returncode)
    return code, text


def check_unseen(text: str, secrets: list[str]) -> None:
    for secret in (*secrets, MOUNTED):
        assert secret not in text
        assert secret.encode().hex() not in text


def test_nothing_that_is_said_or_written_holds_a_secret(tmp_path: Path, moto_s3: S3Server) -> None:
    secrets = ["canary-key-5up3r", "canary-secret-5up3r", TOKEN]
    path, _ = settings(tmp_path, moto_s3.endpoint_url, moto_s3.bucket)
    for verb in VERBS:
        code, text = said(path, verb, secrets, ("text", "json") if verb == ["run"] else ("json",))
        assert code == 0, text
        assert text
        check_unseen(text, secrets)
    storage, root = connect(f"s3://{moto_s3.bucket}/{tmp_path.name}", moto_s3.options())
    written = {
        entry.path: storage.read(entry.path) for one in storage.walk(root) for entry in one.files
    }
    assert len(written) == 4
    for data in written.values():
        check_unseen(data.decode("latin-1"), secrets)


@pytest.mark.parametrize("verb", [["run", "--json"], ["doctor"]], ids=["run", "doctor"])
@pytest.mark.parametrize("wrong", ["server", "bucket", "key", "format", "unknown"])
def test_no_failure_shows_a_secret(
    tmp_path: Path, rclone_s3: S3Server, verb: list[str], wrong: str
) -> None:
    secrets = [rclone_s3.key, "canary-secret-5up3r", TOKEN]
    endpoint = rclone_s3.endpoint_url
    if wrong == "server":
        endpoint = f"http://127.0.0.1:{free_port()}"
    bucket = "nowhere" if wrong == "bucket" else rclone_s3.bucket
    path, made = settings(tmp_path, endpoint, bucket)
    if wrong == "format":
        made["storage"]["lake"]["connect_timeout"] = "${CANARY_SECRET}"
        path.write_text(json.dumps(made))
    if wrong == "unknown":
        made["storage"]["lake"]["sercet_typo"] = "${CANARY_SECRET}"
        path.write_text(json.dumps(made))
    code, text = said(path, verb, secrets)
    assert code in (1, 2), text
    assert text
    check_unseen(text, secrets[1:])
    assert "Traceback" not in text
