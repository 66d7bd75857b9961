"""Runs that are rewritten while they are exported: one version whole, or a typed error.

Meant to fail without the comparison of sha256 (`source.verify: false` without `_refuse_changed`
exports mixed versions).
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors.errors import FlowtimeExportError, IntegrityError, RunError, StorageError
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.scan import scanner as scanning
from connectors.flowtime.scan.scanner import ScanOptions, scan
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import connect
from pipeline.cli.main import run_cli
from pipeline.exports.run import export
from pipeline.exports.session import ExportSession
from pipeline.planning.published import PublishedTargets
from pipeline.reading.source import find_runs
from tests.exporting import config, names, spec, write_runs
from tests.run_builder import RunSpec, write_run

IDS = [f"served@C{place}@DEFAULT" for place in range(12)]


def version(number: int, **changes: Any) -> RunSpec:
    """A run all of whose values are one number; every version has files of the same sizes."""
    return RunSpec("run_a", {one: [float(1000 + number)] * 24 for one in IDS}, **changes)


@contextmanager
def rewriting(folder: Path, seed: int, *, polite: bool, **changes: Any) -> Iterator[None]:
    """A writer that goes over the run again and again; a polite one takes the manifest away."""
    over = threading.Event()
    chance = random.Random(seed)

    def write() -> None:
        number = 0
        while not over.is_set():
            number = (number + 1) % 9000
            if polite:
                (folder / "run_a" / "manifest.json").unlink()
            write_run(folder, version(number, **changes))
            time.sleep(chance.uniform(0, 0.04))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


@pytest.mark.parametrize("polite", [True, False], ids=["polite", "rude"])
@pytest.mark.parametrize("verify", [True, False], ids=["hashed", "unhashed"])
def test_an_export_matches_one_version(
    tmp_path: Path, polite: bool, verify: bool, times: int, tried: Callable[[int], None]
) -> None:
    runs = write_runs(tmp_path / "runs", version(0))
    out = tmp_path / "out" / "e.parquet"
    settings = config(
        runs, {"path": out}, source={"verify": verify, "on_error": "fail"}, metadata={"columns": []}
    )
    ends: Counter[str] = Counter()
    with rewriting(runs, seed=times, polite=polite):
        while ends["exported"] < 13 * times and ends.total() < 200 * times:
            before = out.stat().st_mtime_ns if out.exists() else 0
            try:
                report = export(settings)
            except (RunError, StorageError) as error:
                ends[type(error).__name__] += 1
                assert not out.exists() or out.stat().st_mtime_ns == before
                continue
            if report.runs:
                frame = pl.read_parquet(out)
                assert frame.height == 24 * len(IDS)
                assert frame["value"].n_unique() == 1
            ends["exported" if report.runs else "waited"] += 1
    export(settings)
    assert pl.read_parquet(out)["value"].n_unique() == 1
    assert names(out.parent) == ["e.datapackage.json", "e.parquet"]
    tried(ends["exported"])


def once(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Make a change after the discovery, before the first series is read."""
    real = scanning._checked_size
    done: list[bool] = []

    def changed(file: Any) -> int:
        if not done:
            done.append(True)
            change()
        return real(file)

    monkeypatch.setattr(scanning, "_checked_size", changed)


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_run_that_changes_once_is_exported_as_it_is_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_error: str
) -> None:
    runs = write_runs(tmp_path / "runs", version(0), spec("run_b"))
    once(monkeypatch, lambda: write_run(runs, version(7)))
    out = tmp_path / "e.csv"
    report = export(config(runs, {"path": out}, source={"on_error": on_error}))
    assert (report.runs, report.left_out) == (2, ())
    frame = pl.read_csv(out, comment_prefix="#").filter(pl.col("run_id") == "run_a")
    assert frame["value"].unique().to_list() == [1007.0]


def test_a_run_that_keeps_changing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = write_runs(tmp_path / "runs", version(0))
    numbers = iter(range(1, 1000))
    real = scanning._checked_size

    def changed(file: Any) -> int:
        write_run(runs, version(next(numbers)))
        return real(file)

    monkeypatch.setattr(scanning, "_checked_size", changed)
    with pytest.raises(IntegrityError, match=r"run .*/run_a: series .*sha256 is .*manifest"):
        export(config(runs, {"path": tmp_path / "e.csv"}))
    assert names(tmp_path / "runs") != []
    assert not (tmp_path / "e.csv").exists()


def test_a_fault_that_stays_is_looked_at_twice_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    file = runs / "run_a" / "series" / "served@A@DEFAULT.csv"
    file.write_bytes(file.read_bytes().replace(b"12.5", b"12.6"))
    opened: Counter[str] = Counter()
    from connectors.storage.disk.local import LocalStorage

    real = LocalStorage.read

    def read(self: LocalStorage, path: str, **more: Any) -> bytes:
        opened[Path(path).parent.parent.name] += path.endswith(".csv")
        return real(self, path, **more)

    monkeypatch.setattr(LocalStorage, "read", read)
    with pytest.raises(IntegrityError, match="sha256 is"):
        export(config(runs, {"path": tmp_path / "e.csv"}))
    assert opened["run_a"] <= 2 * 3
    assert opened["run_b"] <= 3


def test_a_run_without_hashes_that_changed_size_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = write_runs(tmp_path / "runs", version(0, hashes="none", index_hashes=False))
    manifest = json.loads((runs / "run_a" / "manifest.json").read_text())
    assert not any(str(one).startswith("sha256:") for one in manifest["seriesHashes"].values())
    once(monkeypatch, lambda: write_run(runs, version(7, hashes="none", index_hashes=False)))
    export(config(runs, {"path": tmp_path / "e.csv"}))
    frame = pl.read_csv(tmp_path / "e.csv", comment_prefix="#")
    assert frame["value"].unique().to_list() == [1007.0]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A run that the source does not hold, though a link in it leads there."""
    return write_runs(tmp_path / "outside", spec("run_b")) / "run_b"


def test_a_run_directory_that_is_a_link_is_neither_read_nor_written(
    tmp_path: Path, outside: Path
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    (runs / "run_b").symlink_to(outside)
    before = names(outside)
    report = export(config(runs, {"path": "{run_url}/gold/export.csv"}))
    assert report.runs == 1
    assert [one.kind for one in report.left_out] == ["link"]
    assert names(outside) == before


def test_a_run_directory_that_becomes_a_link_is_not_written(tmp_path: Path, outside: Path) -> None:
    """Meant to fail where only what lies below the run directory is looked at."""
    runs = write_runs(tmp_path / "runs", spec("run_b"))
    settings = config(runs, {"path": "{run_url}/gold/export.csv"})
    plan = ExportSession.open(settings).plan(find_runs(settings))
    (runs / "run_b").rename(tmp_path / "away")
    (runs / "run_b").symlink_to(outside)
    with pytest.raises(StorageError, match="run_b is a link"):
        PublishedTargets.read(plan)


def test_a_source_that_is_named_by_a_link_is_written(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "link").symlink_to(outside)
    export(config(tmp_path / "link", {"path": "{run_url}/gold/export.csv"}))
    assert (outside / "gold" / "export.csv").exists()


@pytest.mark.parametrize("name", ["run.json", "series/index.json", "manifest.json"])
def test_a_flipped_bit_of_a_describing_file_changes_no_value(
    tmp_path: Path, name: str, times: int, tried: Callable[[int], None]
) -> None:
    """They have no hash of their own, but manifest.json and the index vouch for series twice."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    storage, path = connect(str(runs))
    file = runs / "run_a" / name
    whole = file.read_bytes()

    def values() -> pl.DataFrame | None:
        found = discover(storage, path).runs
        if not found:
            return None
        return scan(storage, series_files(found), ScanOptions(verify=True)).collect()

    before = values()
    assert before is not None
    ends: Counter[str] = Counter()
    for bit in random.Random(times).sample(range(8 * len(whole)), min(200 * times, 8 * len(whole))):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            found = values()
        except FlowtimeExportError:
            ends["error"] += 1
            continue
        ends["refused" if found is None else "same values"] += 1
        assert found is None or found.equals(before)
    assert ends["refused"] > ends.total() / 4
    tried(ends.total())


def test_verify_notes_that_a_describing_file_was_read_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the fingerprint of the describing files as they were read, which descriptors keep."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    file = runs / "run_a" / "run.json"
    whole = file.read_bytes()
    place = whole.index(b"sha256:") + 10
    file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    export(config(runs, {"path": tmp_path / "e.csv"}))
    verify = ["verify", str(tmp_path / "e.csv"), "--against", str(runs / "run_a")]
    assert run_cli(verify) == 0
    assert "note:" not in capsys.readouterr().out
    file.write_bytes(whole)
    assert run_cli(verify) == 0
    assert "was changed, or written again" in capsys.readouterr().out
