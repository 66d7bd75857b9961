"""Whole exports from and to Azure and Google: verified, imported again, without their secrets."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

import flowtime_export as fx
from connectors.errors import ConfigError, StorageError
from connectors.storage import StorageOptions, connect, join
from connectors.storage.azure.storage import open_storage as open_azure
from connectors.storage.google.storage import open_storage as open_google
from pipeline.cli.main import run_cli
from pipeline.execution import processes
from tests.exporting import snapshot, spec, upload, write_runs
from tests.servers import AzureServer
from tests.stores import store_place

CLOUDS = ("azure", "google")
FORMATS = ("csv", "ndjson", "parquet")


@pytest.fixture(params=CLOUDS)
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, StorageOptions]:
    """A folder of a store with two runs in `runs/`, and others beside it that are not meant."""
    url, options = store_place(request.param, request, tmp_path)
    upload(write_runs(tmp_path / "runs", spec("run_a"), spec("run_b")), f"{url}/runs", options)
    upload(write_runs(tmp_path / "others", spec("run_z")), f"{url}/runs2", options)
    return url, options


def settings(url: str, options: StorageOptions) -> dict[str, Any]:
    return {
        "version": 1,
        "name": "clouds",
        "storage": {"lake": {"protocol": options.protocol, **options.options}},
        "source": {"url": f"{url}/runs", "storage": "lake"},
        "sinks": [
            *(
                {"format": one, "path": f"{url}/e/{one}.{one}", "storage": "lake"}
                for one in FORMATS
            ),
            {
                "format": "parquet",
                "path": f"{url}/gold",
                "storage": "lake",
                "partition_by": ["measure"],
            },
        ],
    }


def series_hashes(folder: Path) -> dict[str, str]:
    return {
        str(Path(file).relative_to(folder)): found[1]
        for file, found in snapshot(folder).items()
        if file.endswith(".csv")
    }


def test_export_verify_import(lake: tuple[str, StorageOptions], tmp_path: Path) -> None:
    url, options = lake
    given = dict(options.options)
    report = fx.export(settings(url, options))
    assert [target.status for target in report.targets] == ["exported"] * 4
    again = fx.export(settings(url, options))
    assert [target.status for target in again.targets] == ["unchanged"] * 4
    for target in (*(f"e/{one}.{one}" for one in FORMATS), "gold"):
        checked = fx.verify(f"{url}/{target}", f"{url}/runs", storage_options=given)
        assert checked.ok, target
        out = tmp_path / "imported" / target
        fx.import_runs(f"{url}/{target}", out, storage_options=given)
        assert series_hashes(out) == series_hashes(tmp_path / "runs"), target


def test_workers_send_files_that_the_store_copies(
    lake: tuple[str, StorageOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of their bytes pass through the process that publishes them."""
    url, options = lake
    monkeypatch.setattr(processes, "FEWEST_BYTES", 1)
    copied: list[str] = []
    client: Any = type(connect(url, options)[0]._client)  # type: ignore[attr-defined]
    real = client.copy

    def noted(self: Any, file: Any, path: str) -> None:
        copied.append(path)
        real(self, file, path)

    monkeypatch.setattr(client, "copy", noted)
    monkeypatch.setattr(client, "send", None)
    made = settings(url, options)
    made["sinks"] = made["sinks"][-1:]
    made["execution"] = {"engine": "processes", "workers": 1}
    fx.export(made)
    assert fx.verify(f"{url}/gold", f"{url}/runs", storage_options=dict(options.options)).ok
    storage, root = connect(f"{url}/gold", options)
    files = [file.path for folder in storage.walk(root) for file in folder.files]
    assert sorted(copied) == sorted(file for file in files if file.endswith(".parquet"))


def test_runs_are_written_to_a_store(lake: tuple[str, StorageOptions], tmp_path: Path) -> None:
    url, options = lake
    given = dict(options.options)
    fx.export(f"{url}/runs", tmp_path / "e.parquet", storage_options=given)
    fx.import_runs(tmp_path / "e.parquet", f"{url}/back", storage_options=given)
    found = fx.scan(f"{url}/back", storage_options=given).collect()
    assert_frame_equal(found, pl.read_parquet(tmp_path / "e.parquet"), check_dtypes=False)
    assert [run.run_id for run in fx.find_runs(f"{url}/runs", storage_options=given)] == [
        "run_a",
        "run_b",
    ]


@pytest.mark.parametrize("verb", ["run", "plan", "doctor"])
def test_secrets_of_azure_are_not_shown(
    azure_server: AzureServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    another = base64.b64encode(b"another key").decode()
    for wrong in (False, True):
        text = azure_server.connection_string
        if wrong:
            text = text.replace(azure_server.secret, another)
        place = {"protocol": "abfs", "connection_string": text}
        sink = {"path": f"abfs://lake/{tmp_path.name}/e.csv", "format": "csv", "storage": "lake"}
        made = {"version": 1, "storage": {"lake": place}, "source": {"url": str(runs)}}
        (tmp_path / "c.json").write_text(json.dumps({**made, "sinks": [sink]}))
        code = run_cli(["--log-level", "debug", verb, str(tmp_path / "c.json")])
        shown = "".join(capsys.readouterr())
        assert (code == 0) is not wrong, shown
        assert azure_server.secret not in shown
        assert another not in shown
        assert not wrong or "check account_name" in shown
    storage, root = connect(f"abfs://lake/{tmp_path.name}", azure_server.options())
    if verb == "run":
        for name in ("e.csv", "e.datapackage.json"):
            assert azure_server.secret.encode() not in storage.read(join(root, name))


def test_parts_of_a_connection_string_are_secrets() -> None:
    options = StorageOptions(
        options={
            "connection_string": "AccountName=acme;AccountKey=c2VjcmV0==;SharedAccessSignature=s?",
            "sas_token": "?sv=2026&sig=a%2Fb%3D",
            "account_name": "acme",
            "token": "google_default",
        }
    )
    assert options.secrets() >= {"c2VjcmV0==", "a%2Fb%3D", "a/b=", "?sv=2026&sig=a%2Fb%3D"}
    assert not {"acme", "google_default"} & options.secrets()


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("abfs://lake/x?sv=2026&sig=hunter2", "hunter2"),
        ("abfs://acme:hunter2@lake/x", "hunter2"),
        ("gs://acme:hunter2@lake/x", "hunter2"),
    ],
)
def test_credentials_in_a_url_are_refused_unseen(url: str, hidden: str) -> None:
    with pytest.raises(StorageError, match="must not hold credentials") as caught:
        connect(url)
    assert hidden not in str(caught.value) + caught.value.url


def test_spellings_of_a_protocol_lead_to_one_place() -> None:
    options = {"account_name": "acme", "account_key": "a2V5"}
    urls = (
        "abfs://lake/gold",
        "az://lake/gold/",
        "abfss://lake/gold",
        "abfs://lake@acme.dfs.core.windows.net/gold",
    )
    places = []
    for url in urls:
        storage, path = connect(url, StorageOptions(options=options))
        places += storage.locations([path])
    assert len(set(places)) == 1
    anonymous = StorageOptions(options={"token": "anon"})
    assert connect("gs://lake/x", anonymous) == connect("gcs://lake/x", anonymous)


def test_no_option_turns_on_a_cache_of_listings() -> None:
    wanted = {"use_listings_cache": True, "skip_instance_cache": False}
    azure = open_azure("abfs", {"account_name": "a", "account_key": "a2V5", **wanted}, [])
    google = open_google("gs", {"token": "anon", **wanted}, [])
    assert (azure.protocol, google.protocol) == ("abfs", "gs")


@pytest.fixture(params=[("abfs://a/b", "adlfs", "azure"), ("gs://a/b", "gcsfs", "gcs")])
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A URL whose package is missing, and the extra that brings it."""
    url, module, extra = request.param
    for name in [one for one in sys.modules if one.startswith("connectors.storage.")]:
        if name.split(".")[2] in ("azure", "google"):
            monkeypatch.delitem(sys.modules, name)
    for name in [one for one in sys.modules if one.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("connectors.storage._known", {})  # so that no earlier storage is found
    return url, extra


def test_a_package_that_is_missing_is_named(
    missing: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every missing extra: what was asked for is wrong, by exit code 2."""
    url, extra = missing
    with pytest.raises(ConfigError, match=rf"pip install 'flowtime-export\[{extra}\]'"):
        connect(url, StorageOptions(options={"account_name": "a"}))
    assert run_cli(["runs", url]) == 2
    config = tmp_path / "e.yaml"
    config.write_text(
        f"version: 1\nsource: {{url: {url}}}\nsinks: [{{format: csv, path: e.csv}}]\n"
    )
    assert run_cli(["run", str(config)]) == 2
    capsys.readouterr()
    assert run_cli(["doctor", str(config)]) == 1
    shown = capsys.readouterr().out
    assert f"FAIL source can be listed: {url}\n" in shown
    assert f"pip install 'flowtime-export[{extra}]'" in shown
    assert "ok   sink 1 (csv) can be written: ." in shown


@pytest.mark.parametrize(
    ("source", "target", "names"),
    [
        ("s3://sim/runs", "out", ["lake"]),
        ("abfs://sim/runs", "gs://lake/gold", ["azure", "google"]),
        ("runs", "az://lake/gold", ["azure"]),
        ("runs", "out", []),
    ],
)
def test_init_writes_the_storages_that_urls_need(
    source: str, target: str, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["init", "--source", source, "--to", target, "--format", "csv"]) == 0
    made = yaml.safe_load(capsys.readouterr().out)
    assert list(made.get("storage", {})) == names
    used = [made["source"].get("storage"), *(sink.get("storage") for sink in made["sinks"])]
    assert [one for one in used if one] == names
