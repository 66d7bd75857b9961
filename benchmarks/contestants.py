"""Who takes part: the command line that makes each of them write the same tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import Workload

OURS = "flowtime-export"
PROGRAM = (sys.executable, "-c", "from pipeline.cli.main import main; main()")
METADATA = ("bin_index", "run_id", "unit", "source", "scenario_hash")


@dataclass(frozen=True, slots=True)
class Task:
    """One export that everybody has to make.

    Attributes:
        workload: What is exported.
        source: The folder of run directories.
        formats: The formats, all of them at once.
        out: The folder to write to.
    """

    workload: Workload
    source: Path
    formats: tuple[str, ...]
    out: Path

    def output(self, file_format: str) -> Path:
        """Return the file that must be there afterwards."""
        return self.out / f"export.{file_format}"


def ours(task: Task) -> list[str]:
    """Return the command line as users type it, with a config written for the task."""
    return export_command(_config(task), task.out / "config.yaml")


def export_command(config: Mapping[str, object], file: Path) -> list[str]:
    """Write a config to a file, and return the command line that runs it."""
    # JSON is YAML: the benchmark needs no YAML writer.
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return [*PROGRAM, "run", str(file), "--json"]


def _config(task: Task) -> dict[str, object]:
    wanted = {"measures": task.workload.measure, "components": task.workload.component}
    return {
        "version": 1,
        "name": "benchmark",
        "source": {
            "url": str(task.source),
            "verify": True,
            "series": {key: [value] for key, value in wanted.items() if value is not None},
        },
        "metadata": {"columns": list(METADATA)},
        "sinks": [
            {
                "format": one,
                "path": str(task.output(one)),
                **({"compression": "zstd", "compression_level": 1} if one == "parquet" else {}),
            }
            for one in task.formats
        ],
    }


def _peer(module: str) -> Callable[[Task], list[str]]:
    def command(task: Task) -> list[str]:
        wanted = {"--measure": task.workload.measure, "--component": task.workload.component}
        options = [part for key, value in wanted.items() if value for part in (key, value)]
        outputs = [f"{one}={task.output(one)}" for one in task.formats]
        return [sys.executable, "-m", module, str(task.source), *outputs, *options]

    return command


PEERS: dict[str, Callable[[Task], list[str]]] = {
    "duckdb": _peer("benchmarks.peers.duckdb_peer"),
    "polars": _peer("benchmarks.peers.polars_peer"),
}


def commands(peers: Sequence[str]) -> dict[str, Callable[[Task], list[str]]]:
    """Return what each contestant is started with: first this project, then the named peers."""
    return {OURS: ours, **{name: PEERS[name] for name in peers}}
