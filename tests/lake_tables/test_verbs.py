"""Lake tables on the command line, in object stores, and where something is missing."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog

from connectors.storage import Storage, StorageOptions, connect
from pipeline.cli.main import run_cli
from pipeline.config import config_schema
from pipeline.errors import ConfigError
from pipeline.exports.run import export
from pipeline.registry.registry import open_registry
from pipeline.verification.check import verify
from tests.exporting import config, spec, write_runs
from tests.lake_tables.lakes import LAKES, Lake, rows, whole
from tests.servers import AzureServer, S3Server

Streams = pytest.CaptureFixture[str]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    """Write a config with one sink to a file."""

    def write(lake: Lake, runs: Path, **changes: Any) -> str:
        sink: dict[str, Any] = {"format": lake.form, "path": str(lake.folder)}
        if lake.form == "iceberg":
            sink |= {"table": "ns.gold", "catalog": lake.catalog}  # type: ignore[union-attr]
        file = tmp_path / "config.json"
        file.write_text(
            json.dumps({"version": 1, "source": {"url": str(runs)}, "sinks": [{**sink, **changes}]})
        )
        return str(file)

    return write


def test_every_verb(
    tmp_path: Path, lake: Lake, written: Callable[..., str], capsys: Streams
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    file = written(lake, runs)

    def said(*arguments: str, code: int = 0) -> Any:
        assert run_cli([*arguments]) == code
        return json.loads(capsys.readouterr().out)

    assert run_cli(["validate", file]) == 0
    assert f"-> {lake.form}" in capsys.readouterr().out
    plan = said("plan", file, "--json")
    assert [(one["status"], one["rows"]) for one in plan["sinks"]] == [("write", 24)]
    assert said("preview", file, "--json")[0]["rows"][0]["run_id"] == "run_a"
    assert not lake.folder.exists()
    assert not (tmp_path / "catalog.db").exists()
    assert run_cli(["doctor", file]) == 0
    assert f"({lake.form}) can be read" in capsys.readouterr().out
    report = said("run", file, "--json")
    assert report["targets"][0] | {"bytes": 0} == {
        "format": lake.form,
        "url": str(lake.folder),
        "descriptor": f"{lake.folder}/_datapackage.json",
        "status": "exported",
        "files": 2,
        "rows": 24,
        "bytes": 0,
        "non_finite": 0,
    }
    assert [one["status"] for one in said("plan", file, "--json")["sinks"]] == ["unchanged"]
    write_runs(runs, spec("run_c"))
    assert [one["status"] for one in said("plan", file, "--json")["sinks"]] == ["write"]
    assert lake.versions == 1
    assert run_cli(["run", file, "--full-refresh"]) == 0
    capsys.readouterr()
    assert (lake.versions, len(lake.commit().added)) == (2, 1)
    assert run_cli(["verify", str(lake.folder), "--against", str(runs)]) == 0
    assert f"the {lake.form} table against" in capsys.readouterr().out
    assert run_cli(["import", str(lake.folder), "--out", str(tmp_path / "back")]) == 0
    assert run_cli(["clean", str(lake.folder)]) == 0
    assert rows(whole(lake)).total() == 36


def test_a_table_is_compared(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs, partition_by=["measure"]))
    assert run_cli(["compare", str(lake.folder), str(runs / "run_a"), "--fail-on", "any"]) == 0


def test_worker_processes_write_the_same_files(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", *(spec(f"run_{n}") for n in range(3)))
    found = []
    for engine in ("local", "processes"):
        lake = LAKES["delta"](tmp_path / engine)
        blocks = {"execution": {"engine": engine, "workers": 2}}
        export(lake.config(runs, blocks=blocks, partition_by=["measure"]))
        found.append(lake.commit().added)
    assert found[0] == found[1]


def test_starting_a_config_template(lake: Lake, capsys: Streams, tmp_path: Path) -> None:
    assert run_cli(["init", "--source", str(tmp_path), "--format", lake.form]) == 0
    (tmp_path / "made.yaml").write_text(capsys.readouterr().out)
    assert run_cli(["validate", str(tmp_path / "made.yaml")]) == 0


def test_the_schema_knows_tables(lake: Lake) -> None:
    known = json.dumps(config_schema())
    assert f'"const": "{lake.form}"' in known


def test_a_missing_package(tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    absent = {"delta": "deltalake", "iceberg": "pyiceberg"}[lake.form]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == absent else found(name)
    )
    wanted = rf"pip install 'flowtime-export\[{lake.form}\]'"
    with pytest.raises(ConfigError, match=wanted):
        export(lake.config(write_runs(tmp_path / "runs", spec("run_a"))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "out/{run_id}"}, "a delta table holds all runs"),
        ({"path": "out/{created_date}"}, "a delta table holds all runs"),
        ({"path": "out/gold.parquet"}, "gold.parquet is no folder"),
        ({"path": "-"}, "- is no folder"),
        ({"path": "out/a%20b"}, "mean another path"),
        ({"path": "out/gold", "prune": True}, "prune"),
    ],
)
def test_paths_that_no_table_can_have(
    changes: dict[str, Any],
    message: str,
    tmp_path: Path,
    written: Callable[..., str],
    capsys: Streams,
) -> None:
    file = written(LAKES["delta"](tmp_path / "gold"), tmp_path / "runs", **changes)
    assert run_cli(["validate", file]) == 2
    assert message in capsys.readouterr().err


def test_a_table_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    both = [
        {"format": "delta", "path": tmp_path / "gold"},
        {"path": tmp_path / "gold", "format": "csv"},
    ]
    with pytest.raises(ConfigError, match="a folder of its own"):
        export(config(runs, *both))


def test_no_secret_of_a_catalog_is_shown(
    tmp_path: Path, written: Callable[..., str], capsys: Streams
) -> None:
    secret = "canary-4711"
    catalog = {"type": "rest", "uri": "http://127.0.0.1:9", "token": secret, "s3.secret": secret}
    lake = LAKES["iceberg"](tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    for changes in ({"catalog": catalog}, {"catalog": catalog, "unknown": 1}):
        file = written(lake, runs, **changes)
        for verb in ("validate", "plan", "run", "doctor"):
            run_cli([verb, file])
            shown = capsys.readouterr()
            assert secret not in shown.out + shown.err
    made = lake.config(runs, catalog=catalog)
    assert secret in made.secrets()
    assert secret not in repr(made) + made.model_dump_json()


@pytest.mark.parametrize("name", ["token", "credential", "s3.secret-access-key", "adls.sas-token"])
def test_a_secret_of_a_catalog_that_yaml_took_for_a_number(
    tmp_path: Path, name: str, written: Callable[..., str], capsys: Streams
) -> None:
    """It would be shown, and be another one: YAML reads 0123 as 123."""
    catalog = {"type": "rest", "uri": "http://127.0.0.1:9", name: 471100}
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    file = written(LAKES["iceberg"](tmp_path / "gold"), runs, catalog=catalog)
    assert run_cli(["plan", file]) == 2
    shown = capsys.readouterr()
    assert f"catalog.{name} is a number; put text in quotes" in shown.err
    assert "471100" not in shown.out + shown.err


def test_the_folder_is_that_of_the_warehouse(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    catalog = {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path}/c.db",
        "warehouse": f"file://{tmp_path}/lake",
    }
    sink = {"format": "iceberg", "table": "ns.gold", "catalog": catalog}
    made = config(runs, {**sink, "path": "unused"}).model_dump(mode="python")
    del made["sinks"][0]["path"]
    made["sinks"] = [sink]
    export(type(config(runs, {"path": "x.csv"})).model_validate(made))
    table = load_catalog("default", **catalog).load_table("ns.gold")
    assert table.scan().to_arrow().num_rows == 12
    assert (tmp_path / "lake/ns/gold/_datapackage.json").is_file()


def test_a_table_that_is_elsewhere(tmp_path: Path) -> None:
    lake = LAKES["iceberg"](tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs))
    with pytest.raises(ConfigError, match="set the sink's path"):
        export(lake.config(runs, path=tmp_path / "elsewhere"))


@pytest.mark.parametrize("outside", ["metadata", "manifest-list", "location"])
def test_a_forged_descriptor_leads_nowhere_else(tmp_path: Path, outside: str) -> None:
    """What `verify` reads of a table is below its folder, whatever its files say."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    lake, other = LAKES["iceberg"](tmp_path / "gold"), LAKES["iceberg"](tmp_path / "b/gold")
    (tmp_path / "b").mkdir()
    for one in (lake, other):
        export(one.config(runs))
    file = lake.folder / "_datapackage.json"
    content = json.loads(file.read_text())
    metadata = Path(content["flowtime"]["table"]["metadata"].removeprefix("file://"))
    theirs = json.loads((other.folder / "_datapackage.json").read_text())
    theirs = theirs["flowtime"]["table"]["metadata"]
    if outside == "metadata":
        content["flowtime"]["table"]["metadata"] = theirs
        file.write_text(json.dumps(content))
    else:
        known = json.loads(metadata.read_text())
        if outside == "location":
            known["location"] = str(other.folder)
        else:
            stolen = json.loads(Path(theirs.removeprefix("file://")).read_text())
            known["snapshots"][0]["manifest-list"] = stolen["snapshots"][0]["manifest-list"]
        metadata.write_text(json.dumps(known))
    found = verify(str(lake.folder))
    assert not found.ok
    (log,) = (one for one in found.files if one.path == "log")
    assert "is not below the table" in log.problems[0] or "is of a table at" in log.problems[0]


def test_the_registry_knows_the_table(tmp_path: Path, lake: Lake) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    url = f"sqlite:///{tmp_path}/registry.db"
    for number in range(2):
        export(lake.config(runs, blocks={"registry": {"url": url}}))
        with open_registry(url) as registry:
            found = registry.list(type="export").artifacts
        assert [one.title for one in found] == [f"test ({lake.form})"], number


# --------------------------------------------------------------------------- object stores


@pytest.fixture(params=["moto_s3", "rclone_s3"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


def check_two_exports(
    tmp_path: Path, url: str, options: StorageOptions, sink: Mapping[str, Any]
) -> tuple[Storage, str]:
    """Export two runs to a table, then again with one of them changed; return where the table is.

    Args:
        tmp_path: Holds the runs.
        url: The table's folder.
        options: Of the store.
        sink: The sink but for its place.
    """
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    lake = {"protocol": url.partition("://")[0], **options.revealed()}
    made = config(runs, {**sink, "path": url, "storage": "lake"}, storage={"lake": lake})
    export(made)
    write_runs(runs, spec("run_b", values=(3.0,)))
    export(made)
    assert export(made).targets[0].status == "unchanged"
    assert verify(url, str(runs), options).ok
    return connect(url, options)


def test_s3(tmp_path: Path, lake: Lake, server: S3Server) -> None:
    url = f"s3://{server.bucket}/tables/{lake.form}"
    sink: dict[str, Any] = {"format": lake.form}
    if lake.form == "iceberg":
        sink |= {"table": "ns.gold", "catalog": lake.catalog}  # type: ignore[union-attr]
    storage, path = check_two_exports(tmp_path, url, server.options(), sink)
    stored = b"".join(
        storage.read(file.path) for folder in storage.walk(path) for file in folder.files
    )
    assert server.secret.encode() not in stored
    if lake.form == "delta":
        table = DeltaTable(url, storage_options=dict(storage.access(path).options))
        counts = pa.table(table.get_add_actions(flatten=True))["num_records"]
        assert (table.version(), sum(counts.to_pylist())) == (1, 15)
        if "flowtimekey02" in server.key:  # rclone answers a request for a range with the whole
            assert table.to_pyarrow_table().num_rows == 15
    else:
        properties = {
            "s3.endpoint": server.endpoint_url,
            "s3.access-key-id": server.key,
            "s3.secret-access-key": server.secret,
        }
        catalog = load_catalog("default", **{**lake.catalog, **properties})  # type: ignore[union-attr]
        found = catalog.load_table("ns.gold")
        assert (len(found.snapshots()), found.scan().to_arrow().num_rows) == (2, 15)


def test_delta_on_azure(tmp_path: Path, azure_server: AzureServer) -> None:
    url = f"abfs://{azure_server.bucket}/tables/{tmp_path.name}"
    storage, path = check_two_exports(tmp_path, url, azure_server.options(), {"format": "delta"})
    table = DeltaTable(url, storage_options=dict(storage.access(path).options))
    assert (table.version(), table.to_pyarrow_table().num_rows) == (1, 15)
    for folder in storage.walk(path):
        for file in folder.files:
            assert azure_server.secret.encode() not in storage.read(file.path)
