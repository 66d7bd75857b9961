"""One place under two spellings, and the guard against writing into the source.

Meant to fail with paths that are compared as they are spelled: the second sink overwrites the
first, and a link leads into what the source reads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.main import run_cli
from pipeline.errors import ConfigError, StorageError
from pipeline.exports.run import export
from pipeline.service.catalog.locations import Locations
from pipeline.service.settings import ServiceSettings
from tests.exporting import config, names, snapshot, spec, upload, write_runs
from tests.servers import S3Server


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; `link` in it is another name of `out`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out", target_is_directory=True)
    return tmp_path


def run(here: Path, runs: Path, *sinks: dict[str, Any], **blocks: Any) -> int:
    """The exit code of `run`."""
    file = here / "config.yaml"
    plain = {"version": 1, "source": {"url": str(runs)}, "sinks": sinks, **blocks}
    file.write_text(json.dumps(plain))
    return run_cli(["run", str(file)])


SPELLINGS = [
    "./out//a.csv",
    "out/./a.csv",
    "out/../out/a.csv",
    "{here}/out/a.csv",
    "file://{here}/out/a.csv",
    "FILE://{here}/out//a.csv",
    "link/a.csv",
    "{here}/link/../link/a.csv",
    "out/a.{{format}}",
]


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_two_spellings_of_one_file(here: Path, runs: Path, spelled: str) -> None:
    other = spelled.format(here=here)
    sinks = [{"format": "csv", "path": path} for path in ("out/a.csv", other)]
    before = snapshot(here)
    assert run(here, runs, *sinks) == 2
    assert {k: v for k, v in snapshot(here).items() if "config.yaml" not in k} == before
    with pytest.raises((ConfigError, ValueError), match="another path"):
        export(config(runs, *sinks))
    assert names(here / "out") == []


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize("spelled", ["./out/ds/", "link/ds", "{here}/out/./ds"])
def test_two_spellings_of_one_data_set(here: Path, runs: Path, form: str, spelled: str) -> None:
    sinks = [{"format": form, "path": path} for path in ("out/ds", spelled.format(here=here))]
    assert run(here, runs, *sinks) == 2
    assert names(here / "out") == []


def test_two_formats_of_one_folder_are_two_data_sets(here: Path, runs: Path) -> None:
    sinks = [{"format": form, "path": path} for form, path in (("csv", "out"), ("parquet", "link"))]
    assert run(here, runs, *sinks) == 0
    assert sorted(Path(name).suffix for name in names(here / "out")) == [
        ".csv",
        ".json",
        ".parquet",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("out/{run_id}.csv", "link/run_a.csv"),
        ("out/{run_id}.csv", "out/{run_name}.csv"),
        ("out/a.csv", "out/A.csv"),
        ("out/a.csv", "out/A.csv.gz"),
        ("out/ds-csv", "out/DS-csv"),
        ("out/a.csv", "out/a.csv/b.csv"),
        ("out/a.csv", "link/a.csv/ds"),
    ],
)
def test_targets_that_meet_for_some_run(here: Path, runs: Path, first: str, second: str) -> None:
    sinks = [{"format": "csv", "path": path} for path in (first, second)]
    assert run(here, runs, *sinks) == 2
    assert names(here / "out") == []


def test_runs_whose_names_differ_in_case(here: Path) -> None:
    runs = write_runs(here / "runs", spec("run_a"), spec("RUN_A"))
    with pytest.raises(ConfigError, match="differ only in case"):
        export(config(runs, {"path": "out/{run_id}.csv"}))
    assert names(here / "out") == []
    report = export(config(runs, {"path": "{run_url}/gold/e.csv"}))
    assert len({target.url for target in report.targets}) == 2


@pytest.mark.parametrize("scheme", ["s3a", "S3"])
def test_two_spellings_of_one_object(
    runs: Path, moto_s3: S3Server, scheme: str, here: Path
) -> None:
    lake = {"protocol": "s3", **moto_s3.options().options}
    # Another name, and other credentials, of the same store.
    storage = {"lake": lake, "pond": {**lake, "key": "flowtimekey09"}}
    root = f"{moto_s3.bucket}/{here.name}"
    for second in ("lake", "pond"):
        sinks = [
            {"format": "csv", "path": f"s3://{root}/a.csv", "storage": "lake"},
            {"format": "csv", "path": f"{scheme}://{root}/a.csv", "storage": second},
        ]
        assert run(here, runs, *sinks, storage=storage) == 2
    assert (
        moto_s3.client().list_objects_v2(Bucket=moto_s3.bucket, Prefix=here.name)["KeyCount"] == 0
    )


# --------------------------------------------------------------------------- into the source


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
@pytest.mark.parametrize("path", ["alias/e.{}", "alias", "alias/below/e.{}"])
def test_a_link_into_what_the_source_reads(here: Path, runs: Path, form: str, path: str) -> None:
    (here / "alias").symlink_to(runs / "run_a" / "series", target_is_directory=True)
    before = snapshot(runs)
    assert run(here, runs, {"format": form, "path": path.format(form)}) == 2
    assert snapshot(runs) == before


def test_the_source_by_another_name(here: Path, runs: Path) -> None:
    (here / "alias").symlink_to(runs, target_is_directory=True)
    for source, path in ((here / "alias", runs / "e.csv"), (runs, here / "alias" / "e.csv")):
        with pytest.raises(ConfigError, match="which the source reads"):
            export(config(source, {"path": path}))
    assert "e.csv" not in names(runs)


@pytest.mark.parametrize("source", ["runs", "runs/run_a"])
def test_the_source_itself_over_a_link(here: Path, runs: Path, source: str) -> None:
    """A run's own folder is there under any name of the source."""
    (here / "alias").symlink_to(here / source, target_is_directory=True)
    export(config(here / "alias", {"path": "{run_url}/gold/e.csv"}))
    assert "run_a/gold/e.csv" in names(runs)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_link_in_a_data_set_of_a_run(here: Path, runs: Path, form: str) -> None:
    """A run directory is untrusted, its `gold/` as well."""
    gold = runs / "run_a" / "gold"
    gold.mkdir()
    (gold / "measure=arrivals").symlink_to(here / "out", target_is_directory=True)
    for path in ("{run_url}/gold", str(gold)):
        with pytest.raises(StorageError, match="is a link"):
            export(config(runs, {"format": form, "path": path, "partition_by": ["measure"]}))
        assert names(here / "out") == []


def test_below_the_source_in_a_store(runs: Path, moto_s3: S3Server, here: Path) -> None:
    lake = {"protocol": "s3", **moto_s3.options().options}
    root = f"{moto_s3.bucket}/{here.name}/runs"
    upload(runs, f"s3://{root}", moto_s3.options())
    blocks = {
        "storage": {"lake": lake, "pond": {**lake, "key": "flowtimekey09"}},
        "source": {"storage": "lake"},
    }
    for scheme, storage in (("s3", "lake"), ("s3a", "lake"), ("s3", "pond")):
        sink = {"path": f"{scheme}://{root}/run_a/series/e.csv", "storage": storage}
        with pytest.raises(ConfigError, match="which the source reads"):
            export(config(f"s3://{root}", sink, **blocks))
    # A sibling whose name begins like the source's is outside.
    beside = {"path": f"s3://{root}2/e.csv", "storage": "lake"}
    assert export(config(f"s3://{root}", beside, **blocks)).targets[0].rows == 24


@pytest.mark.parametrize("exports", ["runs/exports", "./runs//exports", "alias/exports", "alias"])
def test_a_service_whose_exports_would_be_among_the_runs(
    here: Path, runs: Path, exports: str
) -> None:
    (here / "alias").symlink_to(runs, target_is_directory=True)
    settings = ServiceSettings(runs=str(runs), exports=exports)
    with pytest.raises(ConfigError, match="below the runs"):
        Locations.of(settings)
    beside = ServiceSettings(runs=str(runs), exports="runs2", state=here / "state")
    assert Locations.of(beside).exports is not None
