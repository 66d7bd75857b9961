"""The service under load for seconds; `python -m benchmarks.service_load` does it for minutes."""

from __future__ import annotations

import hashlib
import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.exporting import spec, write_runs
from tests.service.serving import Server, finished, serving
from tests.service.test_attacks import commit
from tests.service.test_imports import TABLE, upload

SIZE = 8_000_000
DOWNLOADS, EXPORTS, IMPORTS = 25, 8, 3
AT_ONCE = 20
MOST_GROWTH = 120_000_000


def test_nothing_fails_and_lists_are_given(tmp_path: Path) -> None:
    """Downloads, exports, imports and looks at the list at a time; each answer is whole."""
    runs = write_runs(tmp_path / "runs", *(spec(f"run_{n:02}") for n in range(20)))
    data = os.urandom(SIZE)
    commit(runs / "run_00/gold", data)
    with serving(runs, tmp_path / "state", "--rate", "10000", "--burst", "10000") as server:
        work: list[Callable[[], None]] = [lambda: download(server, data)] * DOWNLOADS
        work += [lambda n=n: make(server, n) for n in range(EXPORTS)]  # type: ignore[misc]
        work += [lambda n=n: bring(server, n) for n in range(IMPORTS)]  # type: ignore[misc]
        download(server, data)
        before = resident(server)
        over = threading.Event()
        with ThreadPoolExecutor(AT_ONCE + 1) as pool:
            looking = pool.submit(looks, server, over)
            for done in [pool.submit(one) for one in work]:
                done.result()
            over.set()
            seconds = looking.result()
        assert resident(server) - before < MOST_GROWTH
    # Far more than it takes, as other tests may run beside this one: a blocked loop takes longer.
    assert statistics.median(seconds) < 1


def download(server: Server, data: bytes) -> None:
    with server.client() as client:
        answer = client.get("/v1/runs/run_00/export/csv").raise_for_status()
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(data).digest()


def make(server: Server, number: int) -> None:
    with server.client() as client:
        path = f"/v1/runs/run_{number + 1:02}/export"
        answer = client.post(path, json={"formats": ["csv"]}).raise_for_status()
        assert finished(client, answer.json()["jobId"])["state"] == "done"
        assert client.get(answer.json()["downloads"]["csv"]).status_code == 200


def bring(server: Server, number: int) -> None:
    with server.client() as client:
        upload(client, ("t.csv", TABLE.encode()), runId=f"new_{number}").raise_for_status()
        assert client.get(f"/v1/runs/new_{number}").json()["state"] == "complete"


def looks(server: Server, over: threading.Event) -> list[float]:
    """Seconds that looks at the list take, ten a second."""
    seconds = []
    with server.client() as client:
        while not over.wait(0.1):
            began = time.monotonic()
            assert client.get("/v1/runs").raise_for_status().json()["totalCount"] >= 20
            seconds.append(time.monotonic() - began)
    return seconds


def resident(server: Server) -> int:
    """Bytes of memory of the server's process."""
    fields = Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
