"""Telemetry bundles, good and hostile."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import IntegrityError, RunError
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Run
from connectors.flowtime.parse.dialects import RunFiles
from connectors.flowtime.parse.telemetry import parse_bundle
from connectors.flowtime.scan.scanner import ScanOptions, scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import connect
from tests.read_outputs import bits, read_bundle
from tests.run_builder import BUNDLES, RunSpec, write_bundle, write_run


def bundle(folder: Path, *, version: int = 2, values: Any = (1.5, math.nan, 3.0)) -> Path:
    spec = RunSpec("bundle", {"arrivals@A@DEFAULT": values, "served@A@Order": values})
    return write_bundle(folder, spec, version=version)


def run_of(folder: Path) -> Run:
    found = discover(*connect(str(folder)))
    for refusal in found.refusals:
        raise refusal.error
    (run,) = found.runs
    return run


def values_of(folder: Path, *, batch_bytes: int = 2_000_000) -> list[float]:
    run = run_of(folder)
    storage, _ = connect(str(folder))
    options = ScanOptions(batch_bytes=batch_bytes)
    found: list[float] = scan(storage, series_files([run]), options).collect()["value"].to_list()
    return found


@pytest.mark.parametrize("batch_bytes", [64, 2_000_000])
@pytest.mark.parametrize("name", BUNDLES)
def test_every_kind_of_bundle(name: str, batch_bytes: int, tmp_path: Path) -> None:
    build, version = BUNDLES[name]
    folder = write_bundle(tmp_path, build(name), version=version)
    expected = read_bundle(folder)
    found = values_of(folder, batch_bytes=batch_bytes)
    assert [bits(value) for value in found] == [bits(row[4]) for row in expected.rows]
    run = run_of(folder)
    assert [series.id for series in run.series] == expected.series
    assert all(digest.sha256 and digest.size for digest in run.series.digests())
    assert (run.source, run.mode, run.run_id) == ("telemetry", "telemetry", name)
    assert len(run.warnings) == 1
    assumed = [note for note in run.notes if "time origin assumed" in note]
    assert bool(assumed) == (name == "bundle-without-start")
    assert all("index.json" not in note and "run.json" not in note for note in run.notes)
    if not assumed:
        assert run.origin_source == "manifest.json window.startTimeUtc"


def test_a_configured_origin_wins(tmp_path: Path) -> None:
    origin = datetime(2030, 1, 1, tzinfo=UTC)
    (run,) = discover(*connect(str(bundle(tmp_path))), time_origin=origin).runs
    assert (run.time_origin, run.origin_source) == (origin, "config")


@pytest.mark.parametrize("batch_bytes", [32, 2_000_000])
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"1,Order,", b"1,Refund,", "line 3: .*should be of class Order"),
        (b"1,Order,", b"1,", "line 3: .*should be of class Order"),
        (b"2,Order,3", b"2,Order,4", "sha256 is"),
        (b"2,Order,3", b"2,Order,x", "line 4: value 'x' is not a number|sha256 is"),
        (b"2,Order,3\n", b"", "2 rows; the index says 3"),
        (b"2,Order,3\n", b"2,Order,3", "no line end"),
        (b"bin_index,classId,value", b"bin,classId,value", "the header is"),
    ],
)
def test_a_changed_file(
    old: bytes, new: bytes, words: str, batch_bytes: int, tmp_path: Path
) -> None:
    folder = bundle(tmp_path)
    path = folder / "A_served_Order.csv"
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(IntegrityError, match=words) as caught:
        values_of(folder, batch_bytes=batch_bytes)
    assert "A_served_Order.csv" in str(caught.value)


def test_a_missing_file_is_named_where_it_should_be(tmp_path: Path) -> None:
    folder = bundle(tmp_path)
    (folder / "A_arrivals.csv").unlink()
    with pytest.raises(RunError, match=r"file A_arrivals\.csv: the file is missing"):
        values_of(folder)


def test_a_class_column_is_only_for_bundles(tmp_path: Path) -> None:
    run = write_run(tmp_path, RunSpec("run_a", {"a@A@DEFAULT": [1.0]}))
    (run / "series" / "a@A@DEFAULT.csv").write_bytes(b"bin_index,classId,value\n0,DEFAULT,1\n")
    with pytest.raises(IntegrityError, match="the header is"):
        values_of(run)


def changed(**changes: Any) -> dict[str, Any]:
    file = {"nodeId": "A", "metric": "Served", "path": "A_served.csv", "points": 1}
    manifest = {
        "files": [{**file, **changes.pop("file", {})}],
        "grid": {"bins": 1, "binSize": 1, "binUnit": "hours"},
        "window": {"startTimeUtc": "2025-01-01T00:00:00Z"},
    }
    return {**manifest, **changes}


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "climbing path": (changed(file={"path": "../x.csv"}), "path: found '../x.csv'"),
    "absolute path": (changed(file={"path": "/etc/x.csv"}), "path: found"),
    "windows path": (changed(file={"path": "..\\x.csv"}), "path: found"),
    "the manifest as a series": (changed(file={"path": "manifest.json"}), "path: found"),
    "an export as a series": (changed(file={"path": "gold/export.csv"}), "path: found"),
    "node with a slash": (changed(file={"nodeId": "a/../b"}), "nodeId: found"),
    "node with an at": (changed(file={"nodeId": "a@b"}), "nodeId: found"),
    "empty node": (changed(file={"nodeId": ""}), "nodeId: found"),
    "long node": (changed(file={"nodeId": "x" * 5000}), "id: found"),
    "metric with a control": (changed(file={"metric": "a\x00"}), "metric: found"),
    "class with a slash": (changed(file={"classId": "a/b"}), "id: found"),
    "other points": (changed(file={"points": 7}), "points: found 7"),
    "a node that is a list": (changed(file={"nodeId": []}), "nodeId: found"),
    "a billion bins": (changed(grid={"bins": 10**9, "binSize": 1, "binUnit": "minutes"}), "bins"),
    "after the year 9999": (
        changed(grid={"bins": 10**8, "binSize": 10**4, "binUnit": "hours"}, file={"points": None}),
        "year 9999",
    ),
    "no grid": (changed(grid=None), "grid: found null"),
    "odd unit": (changed(grid={"bins": 1, "binSize": 1, "binUnit": "moons"}), "binUnit"),
    "odd start": (changed(window={"startTimeUtc": "soon"}), "window.startTimeUtc: found 'soon'"),
    "odd capture": (changed(provenance={"capturedAtUtc": "soon"}), "createdUtc: found"),
    "odd run id": (changed(provenance={"runId": "../x"}), "runId: found"),
    "twice": (changed(files=changed()["files"] * 2), "is listed twice"),
    "files of text": (changed(files="x"), "no run directory"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_manifests(name: str) -> None:
    manifest, words = HOSTILE[name]
    files = RunFiles("s3://b/x", "b/x", "x", b"", json.dumps(manifest).encode(), b"")
    with pytest.raises(RunError) as caught:
        parse_bundle(files)
    assert words in str(caught.value)
    assert str(caught.value).startswith("run s3://b/x")
    assert caught.value.file == "manifest.json"
    assert len(str(caught.value)) < 600


def test_two_series_in_one_file() -> None:
    files = [{"nodeId": node, "metric": "Served", "path": "x.csv"} for node in "AB"]
    data = json.dumps(changed(files=files)).encode()
    with pytest.raises(RunError, match="belongs to series served@A@DEFAULT already"):
        parse_bundle(RunFiles("x", "x", "x", b"", data, b""))


def test_placeholder_hashes_are_noted() -> None:
    data = json.dumps(changed(file={"hash": "sha256:demo"})).encode()
    run = parse_bundle(RunFiles("x", "x", "x", b"", data, b""))
    assert run.series.digest(0).sha256 is None
    assert any("no sha256" in note for note in run.notes)
