"""Descriptors as others read them."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import frictionless
import pyarrow.parquet as pq
import pytest

from connectors.strict_json import MAX_DEPTH
from pipeline.datapackage.descriptor import load
from pipeline.errors import IntegrityError, RunError
from pipeline.exports.run import export
from pipeline.imports import import_export
from pipeline.verification import verify
from tests.exporting import config, descriptor, spec, write_runs
from tests.read_outputs import read_runs
from tests.run_builder import AWKWARD, DIALECTS

FINITE = tuple(value for value in AWKWARD if math.isfinite(value))
SINKS: list[dict[str, Any]] = [
    {"path": "e.csv"},
    {"path": "plain.csv", "metadata_header": False},
    {"path": "semicolon.csv", "separator": ";", "quote": "'", "null_value": "-"},
    {"path": "e.csv.gz"},
    {"path": "wide.csv", "layout": "wide"},
    {"path": "e.ndjson"},
    {"path": "e.ndjson.gz"},
    {"path": "set-csv", "max_rows_per_file": 50},
    {"path": "set-ndjson", "max_rows_per_file": 50, "partition_by": ["measure"]},
    {"path": "nulls.ndjson", "non_finite": "null"},
    {"path": "e.csv.zst"},
    {"path": "e.ndjson.zst"},
    {"path": "e.parquet"},
    {"path": "set-parquet", "partition_by": ["measure", "class"], "compression": "gzip"},
]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs",
        spec("run_a", values=FINITE),
        spec("run_b", "served@A@Order", values=FINITE, kinds=False, units=False),
    )


def describing(folder: Path, sink: dict[str, Any]) -> Path:
    if "." not in sink["path"]:
        return folder / sink["path"] / "_datapackage.json"
    stem = sink["path"].partition(".")[0]
    return folder / f"{stem}.datapackage.json"


def complaints(path: Path) -> list[str]:
    report = frictionless.Package(str(path)).validate()
    found = [error.message for task in report.tasks for error in task.errors]
    return [*(error.message for error in report.errors), *found]


@pytest.mark.parametrize("sink", SINKS, ids=lambda sink: sink["path"])
def test_frictionless_accepts_it(runs: Path, tmp_path: Path, sink: dict[str, Any]) -> None:
    settings = config(
        runs,
        {**sink, "path": tmp_path / "out" / sink["path"]},
        metadata={"columns": ["run_id", "unit", "kind", "seed", "created_at"]},
    )
    report = export(settings)
    path = describing(tmp_path / "out", sink)
    found = descriptor(path)
    assert complaints(path) == []
    assert sum(resource["rowCount"] for resource in found["resources"]) == report.targets[0].rows
    package = frictionless.Package(str(path))
    readable = not sink["path"].endswith((".zst", "parquet"))
    assert {resource.type for resource in package.resources} == {"table" if readable else "file"}
    if not readable:
        return
    rows = [row for resource in package.resources for row in resource.read_rows()]
    assert len(rows) == report.targets[0].rows > 0
    moments = {row["time_bin"] for row in rows}
    assert min(moments).replace(tzinfo=UTC) == datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("sink", SINKS[:2] + SINKS[5:6], ids=lambda sink: sink["path"])
def test_a_harmed_file_is_noticed(runs: Path, tmp_path: Path, sink: dict[str, Any]) -> None:
    file = tmp_path / sink["path"]
    export(config(runs, {**sink, "path": file}))
    file.write_bytes(file.read_bytes().replace(b"93.0", b"94.0", 1))
    assert any("hash" in text for text in complaints(describing(tmp_path, sink)))


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_frictionless_accepts_several_formats(tmp_path: Path, ending: str) -> None:
    """With NaN, infinities, nulls and text that looks like a number, too."""
    odd = spec("007", "arrivals@1e3@NA", "served@true@007", values=AWKWARD, units=False)
    folder = write_runs(tmp_path / "runs", odd, spec("run_a", "arrivals@A@X"))
    paths = [tmp_path / name for name in (f"e.csv{ending}", f"e.ndjson{ending}", "e.parquet")]
    export(config(folder, *[{"path": path} for path in paths]))
    place = tmp_path / "e.datapackage.json"
    assert len(descriptor(place)["resources"]) == 3
    assert complaints(place) == []
    assert verify(str(place)).ok
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole + b"\0")
        assert complaints(place) != [], path
        path.write_bytes(whole)


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", DIALECTS["rust-newer"]("run_a"))
    sinks = [{"path": tmp_path / f"e.{form}"} for form in ("csv", "ndjson", "parquet")]
    export(config(runs, *sinks))
    (run,) = read_runs(runs)
    odd = sum(not math.isfinite(row[4]) for row in run.rows)
    found = descriptor(tmp_path / "e.datapackage.json")
    assert {resource["nonFiniteCount"] for resource in found["resources"]} == {odd}
    assert odd > 0


def test_what_it_says(runs: Path, tmp_path: Path) -> None:
    sinks = [{"path": tmp_path / f"e.{end}"} for end in ("csv.gz", "ndjson", "parquet")]
    export(config(runs, *sinks), now=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))
    found = descriptor(tmp_path / "e.datapackage.json")
    assert found["created"] == "2026-02-03T04:05:06Z"
    described = {run["id"]: run for run in found["flowtime"]["runs"]}
    assert list(described) == ["run_a", "run_b"]
    assert described["run_a"]["url"] == f"{runs}/run_a"
    assert (described["run_a"]["seriesCount"], described["run_a"]["bins"]) == (3, len(FINITE))
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", described["run_a"]["fingerprint"])
    assert described["run_a"]["timeOrigin"] == "2025-01-01T00:00:00Z"
    by_format = {resource["format"]: resource for resource in found["resources"]}
    assert {f: r["mediatype"] for f, r in by_format.items()} == {
        "csv": "text/csv",
        "ndjson": "application/x-ndjson",
        "parquet": "application/vnd.apache.parquet",
    }
    assert by_format["csv"]["compression"] == "gz"
    assert "compression" not in by_format["ndjson"]
    assert by_format["csv"]["dialect"]["commentChar"] == "#"
    fields = {field["name"]: field for field in by_format["csv"]["schema"]["fields"]}
    assert {name: field["type"] for name, field in fields.items()} == {
        "time_bin": "datetime",
        "component_id": "string",
        "measure": "string",
        "class": "string",
        "value": "number",
        "run_id": "string",
        "unit": "string",
    }
    parquet = pq.ParquetFile(tmp_path / "e.parquet")
    assert parquet.metadata.num_rows == by_format["parquet"]["rowCount"] == 4 * len(FINITE)
    assert parquet.metadata.metadata[b"flowtime.config"] == b'"test"'


def test_names_are_valid_and_differ(tmp_path: Path) -> None:
    ids = ("Größe A".replace("ö", "oe").replace("ß", "ss").replace(" ", "_"), "a", "A")
    runs = write_runs(tmp_path / "runs", *(spec(f"run_{n}", f"{m}@C@X") for n, m in enumerate(ids)))
    constants = {"constants": {"team": "Ops & Döner / 1%"}}
    sink = {"path": tmp_path / "set-csv", "partition_by": ["team", "measure"]}
    export(config(runs, sink, metadata=constants))
    found = descriptor(tmp_path / "set-csv" / "_datapackage.json")
    names = [resource["name"] for resource in found["resources"]]
    assert len(set(names)) == len(names) == 3
    assert all(re.fullmatch(r"[a-z0-9._/-]+", name) for name in names)
    assert complaints(tmp_path / "set-csv" / "_datapackage.json") == []


def test_no_secret_in_it(runs: Path, tmp_path: Path, moto_s3: Any) -> None:
    from connectors.storage import connect

    options = moto_s3.options()
    url = f"s3://{moto_s3.bucket}/described"
    block = {"lake": {"protocol": "s3", **options.options}}
    export(config(runs, {"path": f"{url}/e.csv", "storage": "lake"}, storage=block))
    storage, root = connect(url, options)
    for name in ("e.csv", "e.datapackage.json"):
        data = storage.read(f"{root}/{name}")
        assert moto_s3.secret.encode() not in data
        assert moto_s3.key.encode() not in data


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"resources": []}', b'{"flowtime": {}, "resources": [1]}']
)
def test_what_is_no_descriptor_of_ours(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="there"):
        load(data, "there.json")


def test_dump_is_json_for_people(runs: Path, tmp_path: Path) -> None:
    export(config(runs, {"path": tmp_path / "e.csv"}))
    text = (tmp_path / "e.datapackage.json").read_text()
    assert text.endswith("}\n")
    assert json.loads(text)["$schema"].startswith("https://datapackage.org/")


def test_a_resource_of_somebody_else_stays_as_it_is(runs: Path, tmp_path: Path) -> None:
    """Meant to fail when it is dropped, or given what only our own resources have."""
    out = tmp_path / "out"
    export(config(runs, {"path": out / "a.csv"}))
    place = out / "a.datapackage.json"
    theirs = {"name": "notes", "data": [{"note": "checked by hand"}]}
    found = json.loads(place.read_bytes())
    found["resources"].append(theirs)
    place.write_text(json.dumps(found, indent=1))
    for null in ("-", "NA"):
        export(config(runs, {"path": out / "a.csv", "null_value": null}))
        after = json.loads(place.read_bytes())
        assert theirs in after["resources"]
        assert [one["name"] for one in after["resources"]] == ["notes", "a.csv"]
        assert len(after["flowtime"]["runs"]) == len(found["flowtime"]["runs"])
    report = verify(str(place))
    assert report.ok
    assert report.notes == ("resources of other tools, not checked: 'notes'",)
    assert import_export([str(place)], str(tmp_path / "back")).runs
    place.write_text(json.dumps({**found, "resources": [theirs]}))
    with pytest.raises(IntegrityError, match="resources: none of them is of an export"):
        verify(str(place))


@pytest.mark.parametrize("depth", [100, 200, 300, 800, 990, 5000])
def test_what_is_nested_deeply_is_refused_before_anything_is_written(
    runs: Path, tmp_path: Path, depth: int
) -> None:
    """Meant to fail when a descriptor can be read, but not be written again: RecursionError."""
    out = tmp_path / "out"
    export(config(runs, {"path": out / "a.csv"}))
    place = out / "a.datapackage.json"
    found = json.loads(place.read_bytes())
    found["resources"].append({"name": "x", "data": "deep"})
    place.write_text(json.dumps(found).replace('"deep"', "[" * depth + "]" * depth))
    before = {path: path.read_bytes() for path in out.iterdir()}
    again = config(runs, {"path": out / "a.csv", "null_value": "-"})
    if depth < MAX_DEPTH - 5:
        assert export(again).targets[0].status == "exported"
        return
    with pytest.raises(IntegrityError, match="nested too deeply"):
        export(again)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_whatever_a_run_may_say_can_be_exported_twice(runs: Path, tmp_path: Path) -> None:
    """Meant to fail when a run may be nested more deeply than a descriptor."""
    place = runs / "run_a" / "run.json"
    found = json.loads(place.read_bytes())
    deepest = 0
    for depth in range(150, 260, 5):
        place.write_text(
            json.dumps({**found, "more": 0}).replace(" 0}", f" {'[' * depth}{']' * depth}}}")
        )
        try:
            export(config(runs, {"path": tmp_path / "out" / "a.csv"}))
        except RunError:
            break
        deepest = depth
    assert 150 <= deepest < 255
    place.write_text(json.dumps(found))
    report = export(config(runs, {"path": tmp_path / "out" / "a.csv"}))
    assert report.targets[0].status == "exported"
