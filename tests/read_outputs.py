"""Run directories read by the standard library alone: what exports are compared with."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Row = tuple[str, str | None, str, str, float]
"""time_bin, component, measure, class, value."""

_MINUTES = {"minute": 1, "hour": 60, "day": 1440, "week": 10080}
_START = re.compile(r"\bstart(?:TimeUtc)?\"?\s*:\s*\"?(\d[^\",}\n]*)")


@dataclass(frozen=True)
class ReadRun:
    """A run directory as it was found.

    Attributes:
        name: Name of the directory.
        run_id: What run.json calls it, else the name.
        rows: One for each value, series in the index's order, then bins.
        series: Ids of the series in the index's order.
    """

    name: str
    run_id: str
    rows: list[Row]
    series: list[str]


def bits(value: float) -> bytes:
    """A double's bytes, NaN counted as one value."""
    return b"nan" if math.isnan(value) else struct.pack("<d", value)


def exact(rows: list[Row]) -> list[tuple[Any, ...]]:
    """Rows whose values compare bit for bit."""
    return [(*row[:4], bits(row[4])) for row in rows]


def read_runs(folder: Path) -> list[ReadRun]:
    """Every run directly below a folder, in the order that exports promise."""
    found = [read_run(path.parent) for path in folder.glob("*/run.json")]
    bundles = (
        one for one in folder.glob("*/manifest.json") if not one.with_name("run.json").exists()
    )
    found += [read_bundle(path.parent) for path in bundles]
    return sorted(found, key=lambda run: (run.run_id, run.name))


def read_run(folder: Path) -> ReadRun:
    """One run directory."""
    run = _json(folder / "run.json")
    index = _json(folder / "series" / "index.json")
    start, minutes = _start(folder, run), _bin_minutes(index["grid"])
    rows: list[Row] = []
    for entry in index["series"]:
        measure, *names = entry["id"].split("@")
        component = entry.get("componentId") or (names[0] if names else None)
        class_name = entry.get("class") or (names[1] if len(names) > 1 else "DEFAULT")
        path = entry["path"] if entry["path"].startswith("series/") else f"series/{entry['path']}"
        for bin_index, value in read_series(folder / path):
            begins = start + timedelta(minutes=bin_index * minutes)
            rows.append((iso(begins), component, measure, class_name, value))
    ids = [entry["id"] for entry in index["series"]]
    return ReadRun(folder.name, run.get("runId") or folder.name, rows, ids)


def read_bundle(folder: Path) -> ReadRun:
    """One telemetry bundle."""
    manifest = _json(folder / "manifest.json")
    captured = manifest["provenance"]
    start = datetime.fromisoformat(
        manifest["window"]["startTimeUtc"] or f"{captured['capturedAtUtc'][:10]}T00:00:00+00:00"
    )
    minutes = _bin_minutes(manifest["grid"])
    rows: list[Row] = []
    ids: list[str] = []
    for entry in manifest["files"]:
        measure = entry["metric"][:1].lower() + entry["metric"][1:]
        class_name = entry.get("classId", "DEFAULT")
        ids.append(f"{measure}@{entry['nodeId']}@{class_name}")
        text = (folder / entry["path"]).read_text()
        for cells in list(csv.reader(io.StringIO(text)))[1:]:
            begins = start + timedelta(minutes=int(cells[0]) * minutes)
            value = float(cells[-1] or "nan")
            rows.append((iso(begins), entry["nodeId"], measure, class_name, value))
    return ReadRun(folder.name, captured["runId"], rows, ids)


def read_series(path: Path) -> list[tuple[int, float]]:
    """Bin and value of each row of a series file."""
    text = path.read_bytes().decode("utf-8-sig")
    _, *rows = csv.reader(io.StringIO(text, newline=""))
    return [(int(bin_text), float(value)) for bin_text, value in rows]


def iso(moment: datetime) -> str:
    """An instant as exports write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes().decode("utf-8-sig"))


def _start(folder: Path, run: Any) -> datetime:
    spec = folder / "spec.yaml"
    found = _START.search(spec.read_text(encoding="utf-8-sig")) if spec.exists() else None
    if found is not None:
        return datetime.fromisoformat(found[1].strip()).astimezone(UTC)
    created = datetime.fromisoformat(run["createdUtc"]).astimezone(UTC)
    return created.replace(hour=0, minute=0, second=0, microsecond=0)


def _bin_minutes(grid: Any) -> int:
    if "binMinutes" in grid:
        return int(grid["binMinutes"])
    return int(grid["binSize"]) * _MINUTES[grid["binUnit"].lower().removesuffix("s")]
