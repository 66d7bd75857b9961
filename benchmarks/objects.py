"""Small objects from an S3 server on this machine: `python -m benchmarks.objects` (W7).

The server is rclone's, over the generated runs. It shares the machine with who reads from it,
and takes about as much processor time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import s3fs

from benchmarks.contestants import METADATA, Task, export_command
from benchmarks.measure import measure
from benchmarks.rounds import clear
from benchmarks.tables import aligned
from benchmarks.workloads import WORKLOADS, generate, warm
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.scan.scanner import scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import connect
from tests.servers import S3Server, serve_rclone

_RUNS, _LAKE = "runs", "lake"


def main(argv: Sequence[str] | None = None) -> int:
    """Print what each step takes, and how many objects a second that makes."""
    args = _parser().parse_args(argv)
    workload = WORKLOADS["W1"]
    workload = replace(workload, shape=replace(workload.shape, runs=args.runs))
    source = generate(workload.shape, args.cache.resolve())
    warm(source)
    root = clear(args.out.resolve() / "work")
    buckets = root / "buckets"
    buckets.mkdir()
    (buckets / _RUNS).symlink_to(source)
    try:
        with serve_rclone(buckets, _LAKE, "--copy-links") as server:
            rows = _steps(server, args.peer_objects)
            rows.append(_export(server, Task(workload, source, ("parquet",), root)))
    finally:
        clear(root)
    print(aligned(["step", "objects", "s", "objects/s"], rows, texts=1))
    return 0


def _steps(server: S3Server, peer_objects: int) -> list[list[str]]:
    storage, path = connect(f"s3://{_RUNS}", server.options())
    seconds, found = _timed(lambda: discover(storage, path))
    assert not found.refusals
    files = series_files(found.runs)
    rows = [_row("discovery: listing and JSON files", 5 * len(found.runs), seconds)]

    def read() -> int:
        return int(scan(storage, files).select(pl.len()).collect().item())

    seconds, count = _timed(read)
    assert count == sum(file.points for file in files)
    rows.append(_row("series, checked and parsed", len(files), seconds))
    paths = [file.path for file in files[:peer_objects]]
    filesystem = s3fs.S3FileSystem(
        key=server.key,
        secret=server.secret,
        endpoint_url=server.endpoint_url,
        client_kwargs={"region_name": "us-east-1"},
    )
    seconds, contents = _timed(lambda: filesystem.cat(paths))
    assert len(contents) == len(paths)
    rows.append(_row("series as bytes by s3fs `cat`", len(paths), seconds))
    return rows


def _export(server: S3Server, task: Task) -> list[str]:
    """Measure an export from S3 and to S3."""
    seconds = measure(export_command(_config(server), task.out / "config.yaml")).seconds
    return _row("export to Parquet on S3, whole process", 25 * task.workload.shape.runs, seconds)


def _config(server: S3Server) -> dict[str, Any]:
    options = dict(server.options().options)
    return {
        "version": 1,
        "storage": {"server": {"protocol": "s3", **options}},
        "source": {"url": f"s3://{_RUNS}", "storage": "server"},
        "metadata": {"columns": list(METADATA)},
        "sinks": [
            {"format": "parquet", "path": f"s3://{_LAKE}/export.parquet", "storage": "server"}
        ],
    }


def _timed(step: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = step()
    return time.perf_counter() - began, result


def _row(step: str, objects: int, seconds: float) -> list[str]:
    return [step, f"{objects:,}", f"{seconds:.2f}", f"{objects / seconds:,.0f}"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.objects", description=__doc__)
    add = parser.add_argument
    add("--runs", type=int, default=2_000)
    add("--peer-objects", type=int, default=4_000, help="how many of them s3fs reads")
    add("--cache", type=Path, default=Path("out/benchmarks/cache"), help="of generated runs")
    add("--out", type=Path, default=Path("out/benchmarks"), help="for what is exported meanwhile")
    return parser


if __name__ == "__main__":
    sys.exit(main())
