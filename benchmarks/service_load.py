"""Measure the service under load, in one sitting: `python -m benchmarks.service_load`.

Many clients download one large Parquet file again and again, exports are requested at a steady
pace, and many search a long list of runs at a time; meanwhile the health is read. Clients run in
processes of their own, on the same machine as the service.
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
from random import Random
from typing import Any
from urllib.parse import quote

import httpx

from benchmarks.rounds import clear
from benchmarks.tables import aligned
from benchmarks.workloads import Shape, generate
from tests.service.serving import Server, finished, serving

_BLOCK = 1024 * 1024
_MANY = Shape(runs=20_000, series=2, bins=24)
_LARGE = Shape(runs=1, series=64, bins=525_600)
_HEALTH_PERIOD = 0.05
_MOST_HEALTH = 0.050
_MOST_LIST = 0.250
"""Seconds that 99 of 100 responses may take."""


@dataclass
class Tally:
    """Results of the clients; times in seconds, sizes in bytes."""

    errors: list[str] = field(default_factory=list)
    downloads: int = 0
    size: int = 0
    exports: list[float] = field(default_factory=list)
    searches: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the load, the times of the responses, and the memory of the service."""
    args = _parser().parse_args(argv)
    root = clear(args.out.resolve() / "work")
    runs = root / "runs"
    cache = args.cache.resolve()
    many = generate(Shape(args.runs, _MANY.series, _MANY.bins), cache)
    large = next(generate(Shape(1, args.series, _LARGE.bins), cache).iterdir())
    shutil.copytree(many, runs, copy_function=os.link)
    shutil.copytree(large, runs / "run_large", copy_function=os.link)
    options = ["--rate", "100000", "--burst", "100000", "--exports", str(root / "exports")]
    try:
        with serving(runs, root / "state", *options) as server:
            tally, size = _measured(server, args)
            tally.errors += _after_a_kill(server)
    finally:
        clear(root)
    print(aligned(["load", "result"], _rows(tally, args, size), texts=2))
    for error in tally.errors[:10]:
        print(error, file=sys.stderr)
    return 1 if tally.errors else 0


def _measured(server: Server, args: argparse.Namespace) -> tuple[Tally, int]:
    with server.client(timeout=600.0) as client:
        big = client.get("/v1/runs?sort=-rows&pageSize=1").json()["items"][0]["id"]
        others = [
            run["id"]
            for run in client.get("/v1/runs?pageSize=500&sort=id").json()["items"]
            if run["id"] != big
        ]
        answer = client.post(f"/v1/runs/{quote(big)}/export", json={"formats": ["parquet"]})
        finished(client, answer.json()["jobId"], 600.0)
        path = f"/v1/runs/{quote(big)}/export/parquet"
        head = client.head(path).headers
        # The first of each kind loads what the others need.
        client.post(f"/v1/runs/{quote(others[0])}/export").raise_for_status()
    size, digest = int(head["content-length"]), head["etag"].strip('"')
    tally = Tally()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        results: Queue[tuple[str, Any]] = manager.Queue()
        state = manager.dict(until=time.time() + args.seconds)
        port, url = server.port, server.url
        clients = [
            context.Process(
                target=_download, args=(port, path, args.downloads, digest, state, results)
            ),
            context.Process(target=_export, args=(url, others, args.exports, state, results)),
            context.Process(target=_search, args=(url, args.searches, others, state, results)),
            context.Process(target=_check_health, args=(url, state, results)),
        ]
        for one in clients:
            one.start()
        while any(one.is_alive() for one in clients):
            tally.memory.append(_resident(server.process.pid))
            time.sleep(1.0)
        while not results.empty():
            _count(tally, *results.get())
    return tally, size


def _count(tally: Tally, kind: str, value: Any) -> None:
    if kind == "download":
        tally.downloads += 1
        tally.size += value
    elif kind == "error":
        tally.errors.append(value)
    else:
        getattr(tally, kind).extend(value)


# --------------------------------------------------------------------------- clients


def _download(
    port: int, path: str, at_once: int, digest: str, state: DictProxy[str, Any], results: Any
) -> None:
    """Keep so many downloads open until the time is over; each is whole or an error."""
    until = float(state["until"])

    async def again_and_again(number: int) -> None:
        for turn in count():
            try:
                # Hashing all of them would leave the service no processor.
                is_checked = number == 0 and turn == 0
                size = await _fetched(port, path, digest if is_checked else None)
                results.put(("download", size))
            except (OSError, ValueError, EOFError) as error:
                results.put(("error", f"download: {error!r}"))
            if time.time() > until:
                return

    async def all_of_them() -> None:
        await asyncio.gather(*(again_and_again(number) for number in range(at_once)))

    asyncio.run(all_of_them())


async def _fetched(port: int, path: str, digest: str | None) -> int:
    """Return the bytes of one download, read by hand: a client library would be the slower end."""
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
    url: str, runs: list[str], per_minute: float, state: DictProxy[str, Any], results: Any
) -> None:
    """Request exports at a steady pace, each of another run and with options of its own."""
    with httpx.Client(base_url=url, timeout=60.0) as client:
        for number in count():
            if time.time() > float(state["until"]):
                return
            began = time.monotonic()
            run = quote(runs[number % len(runs)])
            answer = client.post(f"/v1/runs/{run}/export", json={"filter": f"value > {number}"})
            if answer.status_code == 202:
                is_done = finished(client, answer.json()["jobId"])["state"] == "done"
            else:
                is_done = answer.status_code == 200
            took = time.monotonic() - began
            failed = ("error", f"export: {answer.text[:200]}")
            results.put(("exports", [took]) if is_done else failed)
            time.sleep(max(0.0, 60.0 / per_minute - took))


def _search(
    url: str, at_once: int, runs: list[str], state: DictProxy[str, Any], results: Any
) -> None:
    """Keep so many searches of the list open, each for another part of an id, in any order."""
    until = float(state["until"])

    async def again_and_again(client: httpx.AsyncClient, number: int) -> None:
        random = Random(number)
        times = []
        while time.time() < until:
            wish = {
                "search": f"{random.choice(runs)[-3:]} run",
                "sort": random.choice(["-created", "id", "-rows"]),
                "page": random.randint(1, 3),
            }
            began = time.monotonic()
            answer = await client.get("/v1/runs", params=wish)
            times.append(time.monotonic() - began)
            if answer.status_code != 200:
                results.put(("error", f"search: {answer.status_code}"))
        results.put(("searches", times))

    async def all_of_them() -> None:
        limits = httpx.Limits(max_connections=at_once)
        async with httpx.AsyncClient(base_url=url, timeout=60.0, limits=limits) as client:
            await asyncio.gather(*(again_and_again(client, n) for n in range(at_once)))

    asyncio.run(all_of_them())


def _check_health(url: str, state: DictProxy[str, Any], results: Any) -> None:
    """Read the health twenty times a second."""
    times = []
    with httpx.Client(base_url=url, timeout=60.0) as client:
        while time.time() < float(state["until"]):
            began = time.monotonic()
            if client.get("/healthz").status_code != 200:
                results.put(("error", "healthz"))
            took = time.monotonic() - began
            times.append(took)
            time.sleep(max(0.0, _HEALTH_PERIOD - took))
    results.put(("health", times))


# --------------------------------------------------------------------------- results


def _after_a_kill(server: Server) -> list[str]:
    """Kill a worker in the middle of a job: the job must end, and the service continue."""
    with server.client(timeout=600.0) as client:
        big = client.get("/v1/runs?sort=-rows&pageSize=1").json()["items"][0]["id"]
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
            os.kill(worker, signal.SIGKILL)
        ended = finished(client, job, 600.0)
        is_up = client.get("/healthz").status_code == 200
    print(f"worker killed: job {ended['state']} after {ended['attempts']} attempts")
    is_over = ended["state"] in ("done", "failed")
    return [] if is_up and is_over else ["the service did not recover"]


def _resident(process: int) -> int:
    """Return the bytes of memory of the service alone, without its workers."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _rows(tally: Tally, args: argparse.Namespace, size: int) -> Iterator[list[str]]:
    third = max(1, len(tally.memory) // 3)
    first, last = max(tally.memory[:third]), max(tally.memory[-third:])
    at_once = f"{args.downloads} of {size / 1e6:.0f} MB, for {args.seconds:.0f} s"
    searches = f"{len(tally.searches)}, {_spread(tally.searches, _MOST_LIST)}"
    exports = f"{len(tally.exports)}, {_spread(tally.exports)}"
    yield ["runs", f"{args.runs:,}"]
    yield ["downloads at a time", at_once]
    yield ["downloads", f"{tally.downloads}, {tally.size / 1e9:.0f} GB"]
    yield [f"exports, {args.exports:.0f} a minute", exports]
    yield [f"searches, {args.searches} at a time", searches]
    yield ["GET /healthz", f"{len(tally.health)}, {_spread(tally.health, _MOST_HEALTH)}"]
    yield ["MB of the service", f"first third {first / 1e6:.0f}, last third {last / 1e6:.0f}"]
    yield ["errors", str(len(tally.errors))]


def _spread(seconds: Sequence[float], most: float | None = None) -> str:
    if len(seconds) < 2:
        return "too few"
    part = statistics.quantiles(seconds, n=100)
    shown = {"p50": part[49], "p99": part[98], "most": max(seconds)}
    text = ", ".join(f"{name} {value * 1e3:.0f} ms" for name, value in shown.items())
    return text if most is None else f"{text} (p99 at most {most * 1e3:.0f} ms wanted)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--runs", type=int, default=_MANY.runs)
    parser.add_argument("--downloads", type=int, default=200, help="at a time")
    parser.add_argument("--searches", type=int, default=20, help="at a time")
    parser.add_argument("--exports", type=float, default=50.0, help="a minute")
    parser.add_argument("--series", type=int, default=_LARGE.series, help="of the large run")
    parser.add_argument("--cache", type=Path, default=Path("out/benchmarks/cache"))
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
