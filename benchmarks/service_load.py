"""The service under load, in one sitting: `python -m benchmarks.service_load`.

Many download one large Parquet file again and again, exports are asked for at a steady pace, and
meanwhile somebody looks at the list of runs. Clients run in processes of their own, on the same
machine as the service.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.managers import DictProxy
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import quote

import httpx

from benchmarks.rounds import clear
from benchmarks.tables import aligned
from benchmarks.workloads import Shape, generate
from tests.service.serving import Server, finished, serving

_BLOCK = 1024 * 1024
_SMALL = Shape(runs=200, series=20, bins=288)
_LARGE = Shape(runs=1, series=64, bins=525_600)


@dataclass
class Tally:
    """What clients have seen; times in seconds, sizes in bytes."""

    errors: list[str] = field(default_factory=list)
    downloads: int = 0
    size: int = 0
    exports: list[float] = field(default_factory=list)
    listings: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was asked, how long answers took, and the memory of the service."""
    args = _parser().parse_args(argv)
    root = clear(args.out.resolve() / "work")
    runs = root / "runs"
    shutil.copytree(generate(_SMALL, args.cache.resolve()), runs)
    large = Shape(1, args.series, _LARGE.bins)
    run = next(generate(large, args.cache.resolve()).iterdir())
    shutil.copytree(run, runs / "run_large")
    limits = ["--rate", "100000", "--burst", "100000"]
    try:
        with serving(runs, root / "state", *limits) as server:
            tally, promised = _measured(server, args)
            tally.errors += _after_a_kill(server)
    finally:
        clear(root)
    print(aligned(["asked for", "seen"], _rows(tally, args, promised), texts=2))
    for error in tally.errors[:10]:
        print(error, file=sys.stderr)
    return 1 if tally.errors else 0


def _measured(server: Server, args: argparse.Namespace) -> tuple[Tally, int]:
    with server.client(timeout=600.0) as client:
        runs = client.get("/v1/runs?pageSize=500").json()["items"]
        big = max(runs, key=lambda run: run["rows"])["id"]
        others = [run["id"] for run in runs if run["id"] != big]
        answer = client.post(f"/v1/runs/{quote(big)}/export", json={"formats": ["parquet"]})
        finished(client, answer.json()["jobId"], 600.0)
        path = f"/v1/runs/{quote(big)}/export/parquet"
        promised = int(client.head(path).headers["content-length"])
        digest = client.head(path).headers["etag"].strip('"')
    # One of each warms what is loaded at the first time.
    with server.client() as client:
        client.post(f"/v1/runs/{quote(others[0])}/export").raise_for_status()
        client.get("/v1/runs").raise_for_status()
    tally = Tally()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        results: Queue[tuple[str, Any]] = manager.Queue()
        state = manager.dict(until=time.time() + args.seconds)
        clients = [
            context.Process(
                target=_download, args=(server.port, path, args.downloads, digest, state, results)
            ),
            context.Process(
                target=_export, args=(server.url, others, args.exports, state, results)
            ),
            context.Process(target=_list, args=(server.url, state, results)),
        ]
        for one in clients:
            one.start()
        while any(one.is_alive() for one in clients):
            tally.memory.append(_resident(server.process.pid))
            time.sleep(1.0)
        while not results.empty():
            _count(tally, *results.get())
    return tally, promised


def _count(tally: Tally, kind: str, value: Any) -> None:
    if kind == "download":
        tally.downloads += 1
        tally.size += value
    elif kind == "error":
        tally.errors.append(value)
    else:
        getattr(tally, kind).append(value)


# --------------------------------------------------------------------------- clients


def _download(
    port: int, path: str, at_once: int, digest: str, state: DictProxy[str, Any], results: Any
) -> None:
    """So many downloads at a time until the time is over; each is whole or an error."""
    until = float(state["until"])

    async def again_and_again(number: int) -> None:
        for turn in count():
            try:
                # Hashing them all would leave the service no processor.
                is_checked = number == 0 and turn == 0
                size = await _fetched(port, path, digest if is_checked else None)
                results.put(("download", size))
            except (OSError, ValueError, EOFError) as error:
                results.put(("error", f"download: {error!r}"))
            if time.time() > until:
                return

    async def everybody() -> None:
        await asyncio.gather(*(again_and_again(number) for number in range(at_once)))

    asyncio.run(everybody())


async def _fetched(port: int, path: str, digest: str | None) -> int:
    """Bytes of one download, read by hand: a client library would be the slower end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_BLOCK)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if not head.startswith("http/1.1 200"):
            raise ValueError(head.partition("\r\n")[0])
        wanted = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        found, size = hashlib.sha256(), 0
        while block := await reader.read(_BLOCK):
            size += len(block)
            if digest is not None:
                found.update(block)
        if size != wanted or (digest is not None and found.hexdigest() != digest):
            raise ValueError(f"{size} of {wanted} bytes, or others")
        return size
    finally:
        writer.close()


def _export(
    url: str, runs: list[str], a_minute: float, state: DictProxy[str, Any], results: Any
) -> None:
    """Exports at a steady pace, each of another run and with options of its own."""
    with httpx.Client(base_url=url, timeout=60.0) as client:
        for number in count():
            if time.time() > float(state["until"]):
                return
            began = time.monotonic()
            run = quote(runs[number % len(runs)])
            options = {"filter": f"value > {number}"}
            answer = client.post(f"/v1/runs/{run}/export", json=options)
            if answer.status_code == 202:
                job = finished(client, answer.json()["jobId"])
                done = job["state"] == "done"
            else:
                done = answer.status_code == 200
            took = time.monotonic() - began
            results.put(("exports", took) if done else ("error", f"export: {answer.text[:200]}"))
            time.sleep(max(0.0, 60.0 / a_minute - took))


def _list(url: str, state: DictProxy[str, Any], results: Any) -> None:
    """Ten looks a second at the list of runs."""
    with httpx.Client(base_url=url, timeout=60.0) as client:
        while time.time() < float(state["until"]):
            began = time.monotonic()
            answer = client.get("/v1/runs")
            took = time.monotonic() - began
            is_whole = answer.status_code == 200 and answer.json()["totalCount"] > _SMALL.runs
            results.put(
                ("listings", took) if is_whole else ("error", f"runs: {answer.status_code}")
            )
            time.sleep(max(0.0, 0.1 - took))


# --------------------------------------------------------------------------- what was seen


def _after_a_kill(server: Server) -> list[str]:
    """A worker is killed in the middle of a job: the job must end, and the service go on."""
    with server.client(timeout=600.0) as client:
        runs = client.get("/v1/runs?pageSize=500").json()["items"]
        big = max(runs, key=lambda run: run["rows"])["id"]
        wish = {"filter": "value > 0.5", "formats": ["ndjson"]}
        answer = client.post(
            f"/v1/runs/{quote(big)}/export", json=wish, headers={"Prefer": "respond-async"}
        )
        job = answer.json()["jobId"]
        while client.get(f"/v1/jobs/{job}").json()["progress"]["phase"] in (
            "waiting",
            "discovering",
        ):
            time.sleep(0.01)
        for worker in server.workers():
            _kill(worker)
        ended = finished(client, job, 600.0)
        is_up = client.get("/healthz").status_code == 200
    print(f"worker killed: job {ended['state']} after {ended['attempts']} attempts")
    is_over = ended["state"] in ("done", "failed")
    return [] if is_up and is_over else ["the service did not recover"]


def _kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def _resident(process: int) -> int:
    """Bytes of memory of the service alone, without its workers."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _rows(tally: Tally, args: argparse.Namespace, promised: int) -> Iterator[list[str]]:
    third = max(1, len(tally.memory) // 3)
    first, last = max(tally.memory[:third]), max(tally.memory[-third:])
    megabytes = f"first third {first / 1e6:.0f}, last third {last / 1e6:.0f}"
    at_once = f"{args.downloads} of {promised / 1e6:.0f} MB, for {args.seconds:.0f} s"
    yield ["downloads at a time", at_once]
    yield ["downloads", f"{tally.downloads}, {tally.size / 1e9:.0f} GB"]
    yield ["exports", f"{len(tally.exports)}, {_spread(tally.exports)}"]
    yield ["GET /v1/runs", f"{len(tally.listings)}, {_spread(tally.listings)}"]
    yield ["MB of the service", megabytes]
    yield ["errors", str(len(tally.errors))]


def _spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "too few"
    part = statistics.quantiles(seconds, n=100)
    shown = {"p50": part[49], "p99": part[98], "most": max(seconds)}
    return ", ".join(f"{name} {value * 1e3:.0f} ms" for name, value in shown.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--downloads", type=int, default=200, help="at a time")
    parser.add_argument("--exports", type=float, default=50.0, help="a minute")
    parser.add_argument("--series", type=int, default=_LARGE.series, help="of the large run")
    parser.add_argument("--cache", type=Path, default=Path("out/benchmarks/cache"))
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
