"""Configs made short, and what an export left behind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from connectors.storage import StorageOptions, connect, join
from pipeline.config import ExportConfig
from tests.run_builder import RunSpec, write_run

VALUES = (1.0, 2.5, -0.0, 4.0)


def spec(name: str, *ids: str, values: Sequence[float] = VALUES, **changes: Any) -> RunSpec:
    """A small run; every series has values of its own."""
    names = ids or ("arrivals@A@DEFAULT", "served@A@DEFAULT", "served@B@DEFAULT")
    series = {one: [value + 10 * place for value in values] for place, one in enumerate(names)}
    return RunSpec(name, series, **changes)


def write_runs(folder: Path, *specs: RunSpec) -> Path:
    """Write runs below a folder and give the folder."""
    for one in specs:
        write_run(folder, one)
    return folder


def config(url: Path | str, *sinks: dict[str, Any], **blocks: Any) -> ExportConfig:
    """A config; `source` takes keys beside the URL, a sink's format is that of its path."""
    source = {"url": str(url), **blocks.pop("source", {})}
    made = [{**one, "path": str(one["path"])} for one in sinks]
    made = [one if "format" in one else {"format": _format(one["path"]), **one} for one in made]
    return ExportConfig.model_validate(
        {"version": 1, "name": "test", "source": source, "sinks": made, **blocks}
    )


def _format(path: str) -> str:
    return next(form for form in ("ndjson", "parquet", "csv") if form in path)


def snapshot(*folders: Path) -> dict[str, tuple[int, str]]:
    """Time of the last write and hash of every file below folders."""
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
    }


def names(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too; folders may go away meanwhile."""
    files = (Path(place, name) for place, _, found in os.walk(folder) for name in found)
    return sorted(path.relative_to(folder).as_posix() for path in files)


def descriptor(path: Path) -> dict[str, Any]:
    """A descriptor, once it is known that it names whole files of its folder."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for resource in found["resources"]:
        data = (path.parent / resource["path"]).read_bytes()
        assert resource["bytes"] == len(data), resource["path"]
        assert resource["hash"] == f"sha256:{hashlib.sha256(data).hexdigest()}", resource["path"]
    return found


def upload(folder: Path, url: str, options: StorageOptions) -> None:
    """Put every file below a folder below a URL."""
    storage, root = connect(url, options)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            staged = storage.stage(join(root, path.relative_to(folder).as_posix()))
            staged.local.write_bytes(path.read_bytes())
            storage.commit(staged)


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
