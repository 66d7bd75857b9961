"""OpenLineage events of real exports, read from a file transport and from a server."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import referencing.jsonschema
from pydantic import ValidationError

from pipeline.errors import RunError
from pipeline.exports.run import export
from pipeline.lineage.dataset import DatasetName
from tests.exporting import config, spec
from tests.run_builder import write_run

PARENT = "airflow/nightly.export/0194d8c8-0000-7000-8000-000000000000"


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The events that exports have written so far."""
    file = tmp_path / "events.ndjson"
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(file))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    return lambda: [json.loads(line) for line in file.read_text().splitlines()]


def write_runs(folder: Path, count: int) -> None:
    for number in range(count):
        write_run(folder, spec(f"run_{number}"))


def lineage_config(tmp_path: Path, *sinks: dict[str, Any], **more: Any) -> Any:
    return config(tmp_path / "runs", *sinks, name="gold", lineage={"openlineage": True, **more})


def test_an_export_starts_and_completes(tmp_path: Path, events: Any) -> None:
    write_runs(tmp_path / "runs", 2)
    path = tmp_path / "out/gold.parquet"
    report = export(lineage_config(tmp_path, {"format": "parquet", "path": str(path)}))
    assert report.notes == ()
    start, complete = events()
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["job"]["name"] == "gold"
    assert complete["inputs"][0]["name"] == str(tmp_path / "runs")
    assert complete["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == report.rows_read
    (output,) = complete["outputs"]
    assert (output["namespace"], output["name"]) == ("file", str(path))
    statistics = output["outputFacets"]["outputStatistics"]
    assert statistics["rowCount"] == report.targets[0].rows
    assert statistics["size"] == path.stat().st_size
    fields = [field["name"] for field in output["facets"]["schema"]["fields"]]
    assert fields[:5] == ["time_bin", "component_id", "measure", "class", "value"]
    lineage = output["facets"]["columnLineage"]["fields"]
    assert set(lineage) == set(fields)
    assert lineage["value"]["inputFields"][0]["field"] == "value"
    quality = output["facets"]["dataQualityMetrics"]
    assert quality["columnMetrics"]["value"]["count"] == report.targets[0].rows


def test_a_file_for_each_run_is_one_dataset(tmp_path: Path, events: Any) -> None:
    write_runs(tmp_path / "runs", 3)
    sink = {"format": "csv", "path": str(tmp_path / "out/{run_name}.csv")}
    export(lineage_config(tmp_path, sink))
    (output,) = events()[-1]["outputs"]
    assert output["name"] == str(tmp_path / "out")
    assert output["outputFacets"]["outputStatistics"]["fileCount"] == 3


def test_a_failure_is_an_event_without_secrets(tmp_path: Path, events: Any) -> None:
    write_runs(tmp_path / "runs", 1)
    (series,) = list((tmp_path / "runs").rglob("series/*.csv"))[:1]
    series.write_text("t,value\nsecretkey1,1\n")
    settings = config(
        tmp_path / "runs",
        {"format": "csv", "path": str(tmp_path / "a.csv")},
        storage={"lake": {"key": "secretkey1", "secret": "secretkey2"}},
        lineage={"openlineage": True, "parent": PARENT},
    )
    with pytest.raises(RunError):
        export(settings)
    start, fail = events()
    assert fail["eventType"] == "FAIL"
    assert fail["run"]["facets"]["errorMessage"]["message"].startswith("IntegrityError: run ")
    assert fail["run"]["facets"]["parent"]["job"]["name"] == "nightly.export"
    assert "secretkey" not in json.dumps([start, fail])


def test_events_fit_the_schemas(tmp_path: Path, events: Any, pytestconfig: Any) -> None:
    folder = pytestconfig.getoption("--openlineage-spec")
    if folder is None:
        pytest.skip("needs the folder `spec` of the OpenLineage repository: --openlineage-spec DIR")
    write_runs(tmp_path / "runs", 1)
    export(
        lineage_config(tmp_path, {"format": "csv", "path": str(tmp_path / "a.csv")}, parent=PARENT)
    )
    schemas = {}
    for file in Path(folder).rglob("*.json"):
        schema = json.loads(re.sub(r"/\d+-\d+-\d+/", "/", file.read_text()))
        if isinstance(schema, dict) and "$id" in schema:
            # The client may be a version ahead of the repository.
            schemas[_unversioned(schema["$id"])] = schema
    resources = [
        (url, referencing.Resource.from_contents(schema)) for url, schema in schemas.items()
    ]
    registry: Any = referencing.Registry().with_resources(resources)
    checked = 0
    named = [(node["_schemaURL"], node) for node in _facets(events())]
    named += [(event["schemaURL"], event) for event in events()]
    for url, node in named:
        reference = {"$ref": _unversioned(url)}
        jsonschema.Draft202012Validator(reference, registry=registry).validate(node)
        checked += 1
    assert checked >= 8


def _unversioned(url: str) -> str:
    return re.sub(r"/\d+-\d+-\d+/", "/", url)


def _facets(value: Any) -> list[dict[str, Any]]:
    children = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    found = [facet for child in children for facet in _facets(child)]
    return [*found, value] if isinstance(value, dict) and "_schemaURL" in value else found


def test_a_silent_endpoint_neither_fails_nor_delays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_runs(tmp_path / "runs", 1)
    plain = config(tmp_path / "runs", {"format": "csv", "path": str(tmp_path / "plain.csv")})
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        export(plain)
        alone = time.monotonic() - begun
        begun = time.monotonic()
        report = export(
            lineage_config(tmp_path, {"format": "csv", "path": str(tmp_path / "a.csv")})
        )
        assert time.monotonic() - begun - alone < 5
    assert report.targets[0].status == "exported"
    assert report.notes == ("lineage events were not delivered within 0.8 s",)


def test_a_refused_connection_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_runs(tmp_path / "runs", 1)
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(tmp_path / "no-such-file.yml"))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "no-such-transport")
    report = export(lineage_config(tmp_path, {"format": "csv", "path": str(tmp_path / "a.csv")}))
    (note,) = report.notes
    assert note.startswith("lineage events were not delivered (")


@pytest.mark.parametrize("parent", ["a/b", "a/b/c", "x/y/0194d8c8"])
def test_a_parent_names_job_and_run(tmp_path: Path, parent: str) -> None:
    with pytest.raises(ValidationError, match="NAMESPACE/JOB/RUN_ID"):
        lineage_config(tmp_path, {"format": "csv", "path": "a.csv"}, parent=parent)


@pytest.mark.parametrize(
    ("url", "namespace", "name"),
    [
        ("s3://lake/gold/a.csv", "s3://lake", "gold/a.csv"),
        ("s3://lake", "s3://lake", "/"),
        ("/data/runs", "file", "/data/runs"),
        ("file:///data/runs", "file", "/data/runs"),
    ],
)
def test_datasets_are_named_by_the_specification(url: str, namespace: str, name: str) -> None:
    assert DatasetName.of_url(url) == DatasetName(namespace, name)
