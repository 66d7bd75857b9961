"""Runs that are known as they are listed are not read again, and nothing is missed for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.errors import StorageError
from connectors.storage.disk.local import LocalStorage
from pipeline.config import ExportConfig
from pipeline.exports.run import export
from tests.exporting import config, spec, write_runs

IDS = ("arrivals@A@DEFAULT", "served@A@DEFAULT")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read many at a time, which all of a run are."""
    names: list[str] = []
    read_many = LocalStorage.read_many

    def watched(self: LocalStorage, paths: Sequence[str]) -> list[bytes | StorageError]:
        names.extend(Path(path).name for path in paths)
        return read_many(self, paths)

    monkeypatch.setattr(LocalStorage, "read_many", watched)
    return names


def of_runs(names: Sequence[str]) -> list[str]:
    return [name for name in names if not name.endswith("datapackage.json")]


def settings(tmp_path: Path, path: str = "out/all.csv", **more: object) -> ExportConfig:
    sink = {"format": "csv", "path": str(tmp_path / path)}
    return config(str(tmp_path / "runs"), sink, **more)


def statuses(asked: ExportConfig, *, full_refresh: bool = False) -> list[str]:
    report = export(asked, full_refresh=full_refresh)
    assert report.runs == 3
    assert report.series == 6
    return [target.status for target in report.targets]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_runs(tmp_path / "runs", *(spec(f"run_{number}", *IDS) for number in range(3)))
    return tmp_path / "runs"


@pytest.mark.parametrize("path", ["out/all.csv", "out/folder"])
def test_nothing_is_read_where_nothing_changed(
    tmp_path: Path, runs: Path, reads: list[str], path: str
) -> None:
    asked = settings(tmp_path, path)
    assert statuses(asked) == ["exported"]
    reads.clear()
    assert statuses(asked) == ["unchanged"]
    assert of_runs(reads) == []
    assert statuses(asked, full_refresh=True) == ["exported"]
    assert "run.json" in reads


@pytest.mark.parametrize("file", ["run.json", "spec.yaml", f"series/{IDS[0]}.csv"])
def test_a_touched_file_is_a_changed_run(
    tmp_path: Path, runs: Path, reads: list[str], file: str
) -> None:
    asked = settings(tmp_path)
    statuses(asked)
    reads.clear()
    changed = runs / "run_1" / file
    changed.write_bytes(changed.read_bytes())
    assert statuses(asked) == ["exported"]
    assert reads.count("run.json") >= 3
    reads.clear()
    assert statuses(asked) == ["unchanged"]
    assert of_runs(reads) == []


def test_other_settings_know_nothing(tmp_path: Path, runs: Path, reads: list[str]) -> None:
    statuses(settings(tmp_path))
    reads.clear()
    other = settings(tmp_path, metadata={"columns": ["run_id"]})
    assert statuses(other) == ["exported"]
    assert reads.count("run.json") == 3


@pytest.mark.parametrize("damage", ["listing", "series", "version"])
def test_a_descriptor_that_is_not_understood_is_no_memory(
    tmp_path: Path, runs: Path, reads: list[str], damage: str
) -> None:
    asked = settings(tmp_path)
    statuses(asked)
    file = next((tmp_path / "out").glob("*.datapackage.json"))
    found = json.loads(file.read_text())
    if damage == "version":
        found["flowtime"]["version"] = "0.0.0"
    for run in found["flowtime"]["runs"]:
        run[damage] = "0"
    file.write_text(json.dumps(found))
    reads.clear()
    statuses(asked)
    assert reads.count("run.json") == 3
