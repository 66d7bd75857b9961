"""A service that really runs, in a process of its own, and clients of it.

The process is forked from one that has it imported: a new one takes two seconds of a processor.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.forkserver import ForkedCommand
from tests.servers import free_port, wait_until_open

SECONDS = 60.0
PROBLEM = {"type", "title", "status", "detail", "code", "error", "hint"}
"""Members of the body of every error."""


class ServiceEndedError(RuntimeError):
    """A service that does not answer because its process has ended; the message has its log."""


@dataclass
class Server:
    """A running service.

    Attributes:
        process: Its process.
        port: Where it listens.
        log: What it has written on stderr.
        arguments: What it was started with.
    """

    process: ForkedCommand
    port: int
    log: Path
    arguments: tuple[str, ...]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **more: Any) -> httpx.Client:
        """Return a client whose requests fail with the log once the process has ended."""
        headers = {"Accept-Encoding": "identity", **self.headers, **more.pop("headers", {})}
        timeout = more.pop("timeout", SECONDS)
        transport = _Transport(self)
        return httpx.Client(
            base_url=self.url, timeout=timeout, headers=headers, transport=transport, **more
        )

    def check_alive(self) -> None:
        """Raise an error if its process has ended.

        Raises:
            ServiceEndedError: It has.
        """
        code = self.process.poll()
        if code is not None:
            log = self.log.read_text(errors="replace")
            raise ServiceEndedError(f"the service ended with code {code}\n{log}")

    @contextmanager
    def halted_worker(self) -> Iterator[int]:
        """Its only worker, halted: the job it is given next does not get on."""
        (worker,) = self.workers()
        os.kill(worker, signal.SIGSTOP)
        try:
            yield worker
        finally:
            if worker in self.workers():
                os.kill(worker, signal.SIGCONT)

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    status = (folder / "stat").read_text().rpartition(")")[2].split()
                    command = (folder / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                is_child = int(status[1]) == self.process.pid
                if is_child and b"pipeline.service.worker.worker" in command:
                    found.append(int(folder.name))
        return found

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


class _Transport(httpx.HTTPTransport):
    """Requests to a service in a process of its own."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return super().handle_request(request)
        except httpx.TransportError:
            # It may refuse connections a little before it has ended.
            with suppress(subprocess.TimeoutExpired):
                self._server.process.wait(1)
            self._server.check_alive()
            raise


@contextmanager
def serving(runs: Path | str, state: Path, *options: str, **more: Any) -> Iterator[Server]:
    """Serve runs until the block ends."""
    server = start(runs, state, *options, **more)
    try:
        yield server
    finally:
        stop(server)


def start(
    runs: Path | str,
    state: Path,
    *options: str,
    environ: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    wait: bool = True,
) -> Server:
    port = free_port()
    state.mkdir(parents=True, exist_ok=True)
    log = state / "log.txt"
    arguments = ("serve", "--runs", str(runs), "--state", str(state), "--port", str(port), *options)
    environment = {**os.environ, **(environ or {})}
    process = ForkedCommand(["--log-level", "info", *arguments], log, environment)
    server = Server(process, port, log, arguments, headers or {})
    try:
        wait_until_open(port, process)
        if wait:
            wait_until_ready(server)
    except ServiceEndedError:
        raise
    except RuntimeError as failure:
        process.kill()
        process.wait()
        raise RuntimeError(f"{failure}\n{log.read_text()}") from None
    return server


def wait_until_ready(server: Server) -> None:
    """Wait until a service is ready.

    Raises:
        ServiceEndedError: It has ended.
        RuntimeError: It takes too long.
    """
    end = time.monotonic() + SECONDS
    with server.client() as client:
        while time.monotonic() < end:
            with suppress(httpx.TransportError):
                if client.get("/readyz").status_code == 200:
                    return
            time.sleep(0.05)
    raise RuntimeError(f"the service is not ready after {SECONDS} s")


def stop(server: Server) -> None:
    if server.process.poll() is None:
        server.process.terminate()
        try:
            server.process.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            raise


def found(client: httpx.Client, run: str) -> dict[str, Any]:
    """A run that has just been written, once the service has listed it."""
    # An ended service fails the request, see `Server.client`.
    end = time.monotonic() + SECONDS
    while (answer := client.get(f"/v1/runs/{run}")).status_code == 404:
        assert time.monotonic() < end
        time.sleep(0.2)
    body: dict[str, Any] = answer.raise_for_status().json()
    return body


def finished(client: httpx.Client, job_id: str, seconds: float = SECONDS) -> dict[str, Any]:
    """A job once it is over."""
    return until(client, job_id, {"done", "failed", "cancelled"}, seconds)


def until(
    client: httpx.Client, job_id: str, states: set[str], seconds: float = SECONDS
) -> dict[str, Any]:
    """A job once it is in one of some states."""
    end = time.monotonic() + seconds
    while True:
        job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        if job["state"] in states:
            return job
        assert time.monotonic() < end, job
        time.sleep(0.05)


def events(client: httpx.Client, last_id: str | None = None) -> Iterator[dict[str, Any]]:
    """Server-sent events, one after the other."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with client.stream("GET", "/v1/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        shown: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(":")
            if line and name:
                shown[name] = value.strip()
            elif shown:
                yield {**shown, "data": json.loads(shown["data"])}
                shown = {}
