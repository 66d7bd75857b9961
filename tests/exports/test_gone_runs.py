"""Exports of runs that are gone are removed with `prune`, and nothing else is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import StorageError
from connectors.storage import Storage, connect
from pipeline.cli.main import run_cli
from pipeline.exports.report import Report
from pipeline.exports.run import export
from pipeline.planning import pruning
from tests.exporting import config, descriptor, names, spec, upload, write_runs
from tests.servers import S3Server


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", *(spec(f"run_{letter}") for letter in "abc"))


def pruned(report: Report) -> list[str]:
    return [target.url for target in report.targets if target.status == "removed"]


def exported(runs: Path, *sinks: dict[str, Any], **blocks: Any) -> Report:
    return export(config(runs, *({**sink, "prune": True} for sink in sinks), **blocks))


@pytest.mark.parametrize(
    ("sink", "left"),
    [
        ({"path": "{run_id}.csv"}, ["run_a.csv", "run_a.datapackage.json"]),
        ({"path": "{run_name}/e.csv.gz"}, ["run_a/e.csv.gz", "run_a/e.datapackage.json"]),
        (
            {"path": "{run_id}", "format": "parquet", "partition_by": ["measure"]},
            [
                "run_a/_datapackage.json",
                *(f"run_a/measure={one}/part" for one in ("arrivals", "served")),
            ],
        ),
    ],
)
def test_exports_of_runs_that_are_gone_are_removed(
    runs: Path, tmp_path: Path, sink: dict[str, Any], left: list[str]
) -> None:
    sink = {**sink, "path": f"{tmp_path}/out/{sink['path']}"}
    exported(runs, sink)
    (tmp_path / "out/mine.csv").write_text("of somebody else\n")
    shutil.rmtree(runs / "run_b")
    assert pruned(export(config(runs, sink))) == []
    report = exported(runs, sink)
    assert len(pruned(report)) == 1
    assert "run_b" in pruned(report)[0]
    assert "nothing written, 1 export removed" in report.as_text()
    shutil.rmtree(runs / "run_c")
    assert len(pruned(exported(runs, sink))) == 1
    found = [name.partition("-00000")[0] for name in names(tmp_path / "out")]
    assert found == sorted(["mine.csv", *left])
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) in (
        [],
        ["run_a"],
    )
    assert pruned(exported(runs, sink)) == []


def test_a_plan_lists_what_goes_and_touches_nothing(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {
        "version": 1,
        "source": {"url": str(runs)},
        "sinks": [{"format": "csv", "path": f"{tmp_path}/out/{{run_id}}.csv", "prune": True}],
    }
    (tmp_path / "config.json").write_text(json.dumps(plain))
    assert run_cli(["run", str(tmp_path / "config.json")]) == 0
    shutil.rmtree(runs / "run_b")
    before = names(tmp_path / "out")
    capsys.readouterr()
    assert run_cli(["plan", str(tmp_path / "config.json"), "--json"]) == 0
    sinks = json.loads(capsys.readouterr().out)["sinks"]
    assert [one["url"] for one in sinks if one["status"] == "remove"] == [
        f"{tmp_path}/out/run_b.csv"
    ]
    assert names(tmp_path / "out") == before
    assert run_cli(["run", str(tmp_path / "config.json")]) == 0
    assert f"removed   {tmp_path}/out/run_b.csv" in capsys.readouterr().out


def test_two_sinks_share_a_descriptor(runs: Path, tmp_path: Path) -> None:
    csv, parquet = ({"path": f"{tmp_path}/out/{{run_id}}.{form}"} for form in ("csv", "parquet"))
    exported(runs, csv, parquet)
    shutil.rmtree(runs / "run_b")
    export(config(runs, {**csv, "prune": True}, parquet))
    assert "run_b.csv" not in names(tmp_path / "out")
    kept = descriptor(tmp_path / "out/run_b.datapackage.json")
    assert [one["path"] for one in kept["resources"]] == ["run_b.parquet"]
    assert [one["id"] for one in kept["flowtime"]["runs"]] == ["run_b"]
    exported(runs, csv, parquet)
    assert not [name for name in names(tmp_path / "out") if "run_b" in name]


@pytest.mark.parametrize(
    "source",
    [
        {"include": ["run_a"]},
        {"exclude": ["run_b", "run_c"]},
        {"latest": 1},
        {"created": {"to": "2025-01-02"}},
        {"created": {"from": "2030-01-01"}},
        {"on_error": "skip"},
    ],
    ids=str,
)
def test_runs_that_are_only_left_out_are_not_gone(
    runs: Path, tmp_path: Path, source: dict[str, Any]
) -> None:
    sink = {"path": f"{tmp_path}/out/{{run_id}}.csv"}
    exported(runs, sink)
    before = names(tmp_path / "out")
    if "on_error" in source:
        (runs / "run_b/series/index.json").write_text("{")
    assert pruned(exported(runs, sink, source=source)) == []
    assert names(tmp_path / "out") == before


def test_an_empty_source_may_be_a_disk_that_is_not_mounted(runs: Path, tmp_path: Path) -> None:
    other = write_runs(tmp_path / "other", spec("run_z"))
    sink = {"path": f"{tmp_path}/out/{{run_id}}.csv"}
    both = {"url": [str(runs), str(other)]}
    exported(runs, sink, source=both)
    before = names(tmp_path / "out")
    shutil.move(runs, tmp_path / "elsewhere")
    runs.mkdir()
    assert pruned(exported(runs, sink, source=both)) == []
    assert pruned(exported(runs, sink)) == []
    assert names(tmp_path / "out") == before
    shutil.move(tmp_path / "elsewhere/run_a", runs / "run_a")
    assert len(pruned(exported(runs, sink, source=both))) == 2


def test_exports_of_other_configs_and_sources_stay(runs: Path, tmp_path: Path) -> None:
    other = write_runs(tmp_path / "other", spec("run_x"), spec("run_y"))
    sink = {"path": f"{tmp_path}/out/{{run_id}}.csv"}
    export(config(other, sink))  # the same name, another source
    export(config(runs, {"path": f"{tmp_path}/out/{{run_id}}.ndjson"}))  # another path
    export(
        config(
            runs,
            {"path": f"{tmp_path}/out/by-name/{{run_id}}.csv"},
        )
    )
    exported(runs, sink)
    shutil.rmtree(runs / "run_b")
    shutil.rmtree(other / "run_y")
    assert pruned(exported(runs, sink)) == [f"{tmp_path}/out/run_b.csv"]
    assert {"run_y.csv", "run_b.ndjson", "by-name/run_b.csv"} <= set(names(tmp_path / "out"))
    named = config(runs, {**sink, "prune": True}).model_copy(update={"name": "another"})
    shutil.rmtree(runs / "run_c")
    assert pruned(export(named)) == []


def test_a_file_that_was_changed_or_replaced_stays(runs: Path, tmp_path: Path) -> None:
    sink = {"path": f"{tmp_path}/out/{{run_id}}.csv"}
    exported(runs, sink)
    shutil.rmtree(runs / "run_b")
    file = tmp_path / "out/run_b.csv"
    file.write_bytes(file.read_bytes().replace(b"arrivals", b"ARRIVALS"))
    report = exported(runs, sink)
    assert pruned(report) == []
    assert any("run_b.csv is not as it was exported" in note for note in report.notes)
    assert {"run_b.csv", "run_b.datapackage.json"} <= set(names(tmp_path / "out"))


def test_forged_descriptors_remove_nothing(runs: Path, tmp_path: Path) -> None:
    sink = {"path": f"{tmp_path}/out/{{run_id}}.csv"}
    exported(runs, sink)
    secret = tmp_path / "secret.csv"
    secret.write_text("mine")
    shutil.rmtree(runs / "run_b")
    package = tmp_path / "out/run_b.datapackage.json"
    text = package.read_text()
    forged = text.replace('"path": "run_b.csv"', '"path": "../secret.csv"')
    forged = forged.replace('"bytes": ', '"bytes": 4, "was": ', 1)
    package.write_text(forged)
    exported(runs, sink)
    assert secret.exists()
    package.write_text(text.replace('"run_b.csv"', '"run_a.csv"'))
    exported(runs, sink)
    assert (tmp_path / "out/run_a.csv").exists()
    package.write_text(text)
    (tmp_path / "out/run_b.csv").unlink()
    os.symlink(secret, tmp_path / "out/run_b.csv")
    exported(runs, sink)
    assert secret.read_text() == "mine"


def test_a_listing_that_fails_prunes_nothing(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = {"path": f"{tmp_path}/out/{{run_id}}.csv"}
    exported(runs, sink)
    shutil.rmtree(runs / "run_b")

    def fails(source: Storage, path: str) -> bool:
        raise StorageError("listing failed", url=path)

    with monkeypatch.context() as patched:
        patched.setattr(pruning, "_exists", fails)
        report = exported(runs, sink)
    assert pruned(report) == []
    assert "nothing was pruned: listing failed" in report.notes
    assert len(pruned(exported(runs, sink))) == 1


def test_a_run_that_comes_back_is_kept(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = {"path": f"{tmp_path}/out/{{run_id}}.csv"}
    exported(runs, sink)
    shutil.rmtree(runs / "run_b")
    found = iter([False, True])
    monkeypatch.setattr(pruning, "_exists", lambda source, path: next(found))
    report = exported(runs, sink)
    assert pruned(report) == []
    assert any("its run has come back" in note for note in report.notes)


@pytest.mark.parametrize(
    ("path", "more", "message"),
    [
        ("out/all.csv", {}, "needs a path with"),
        ("{run_url}/gold/e.csv", {}, "goes with the run"),
        ("{run_id}.csv", {}, "needs a folder above"),
        ("s3://{run_id}/e.csv", {}, "needs a folder above"),
        ("out/{run_id}.csv", {"if_exists": "skip"}, "does not go with if_exists: skip"),
    ],
)
def test_prune_is_for_exports_by_run(
    tmp_path: Path, path: str, more: dict[str, Any], message: str, capsys: Any
) -> None:
    sink = {"format": "csv", "path": path, "prune": True, **more}
    plain = {"version": 1, "source": {"url": "runs"}, "sinks": [sink]}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    assert run_cli(["validate", str(tmp_path / "config.json")]) == 2
    assert message in capsys.readouterr().err


def test_objects_of_a_store_are_removed(runs: Path, tmp_path: Path, moto_s3: S3Server) -> None:
    options = moto_s3.options()
    base = f"s3://{moto_s3.bucket}/prune"
    upload(runs, f"{base}/runs", options)
    storage = {"lake": dict(options.revealed())}
    sink = {"format": "parquet", "path": f"{base}/out/{{run_id}}", "storage": "lake"}
    blocks = {"storage": storage, "source": {"storage": "lake"}}
    exported(f"{base}/runs", sink, **blocks)  # type: ignore[arg-type]
    store, root = connect(base, options)
    for folder in list(store.walk(f"{root}/runs/run_b")):
        for file in folder.files:
            store.delete(file.path)
    report = exported(f"{base}/runs", sink, source={"storage": "lake"}, storage=storage)  # type: ignore[arg-type]
    assert pruned(report) == [f"{base}/out/run_b"]
    left = [file.path for folder in store.walk(f"{root}/out") for file in folder.files]
    assert not [path for path in left if "run_b" in path]
    assert len(left) == 4
