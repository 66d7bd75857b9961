"""Folders and files that the exporter's user may not read, in sources and in targets.

As root nothing is unreadable: there the tests give up root's privileges while they run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from connectors.errors import DeniedError
from connectors.storage import connect
from pipeline.cli.main import run_cli
from pipeline.errors import RunError, StorageError
from pipeline.exports.report import Report
from pipeline.exports.run import export
from pipeline.verification import verify
from tests.exporting import config, spec, write_runs

UNPRIVILEGED = 65534
ROWS_OF_A_RUN = 12


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a user who is not root; what is made in it is removed by root."""
    made = Path(tempfile.mkdtemp(prefix="unreadable-"))
    if os.geteuid() != 0:
        yield made
    else:
        os.chown(made, UNPRIVILEGED, UNPRIVILEGED)
        os.setegid(UNPRIVILEGED)
        os.seteuid(UNPRIVILEGED)
        try:
            yield made
        finally:
            os.seteuid(0)
            os.setegid(0)
    for path in sorted(made.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(made)


def source(folder: Path) -> Path:
    return write_runs(folder / "runs", spec("run_a"), spec("run_b"))


def lock(path: Path) -> Path:
    """Make a file or folder unreadable; a folder that is not there is made."""
    if not path.exists():
        path.mkdir(parents=True)
    path.chmod(0)
    return path


def exported(runs: Path, folder: Path, **wanted: object) -> Report:
    return export(config(runs, {"path": folder / "out" / "e.parquet"}, source=wanted))


def left_out(report: Report) -> list[tuple[str, str]]:
    return [(Path(run.url).name, run.kind) for run in report.left_out]


# --- sources --------------------------------------------------------------------------------


def test_an_unreadable_folder_stops_an_export_unless_it_is_skipped(folder: Path) -> None:
    runs = source(folder)
    lock(runs / "lost+found")
    with pytest.raises(RunError, match=r"lost\+found.*permission denied.*exclude it by name"):
        exported(runs, folder)
    report = exported(runs, folder, on_error="skip")
    assert (left_out(report), report.exit_code) == ([("lost+found", "broken")], 3)
    assert report.rows_read == 2 * ROWS_OF_A_RUN


def test_an_excluded_folder_is_not_opened(folder: Path) -> None:
    runs = source(folder)
    lock(runs / "lost+found")
    write_runs(runs / "old", spec("run_c"))
    report = exported(runs, folder, exclude=["lost+found", "old"])
    assert (report.left_out, report.exit_code, report.runs) == ((), 0, 2)


def test_an_unreadable_folder_that_include_does_not_ask_for_is_named(folder: Path) -> None:
    runs = source(folder)
    lock(runs / "lost+found")
    report = exported(runs, folder, include=["run_*"])
    assert (left_out(report), report.exit_code) == ([("lost+found", "unlisted")], 0)
    assert "passed by" in report.as_text()


@pytest.mark.parametrize(
    "part",
    ["", "series", "model", "run.json", "manifest.json", "series/index.json",
     "series/served@A@DEFAULT.csv"],
)  # fmt: skip
def test_an_unreadable_run_is_a_broken_run(folder: Path, part: str) -> None:
    runs = source(folder)
    lock(runs / "run_b" / part)
    with pytest.raises(RunError, match="permission denied") as raised:
        exported(runs, folder)
    assert "run_b" in str(raised.value)
    report = exported(runs, folder, on_error="skip")
    assert (left_out(report), report.exit_code) == ([("run_b", "broken")], 3)
    assert pl.read_parquet(folder / "out" / "e.parquet")["run_id"].unique().to_list() == ["run_a"]
    assert run_cli(["runs", str(runs), "--json"]) == 0


@pytest.mark.parametrize("part", ["gold", "aggregates"])
def test_the_exports_of_a_run_are_not_looked_into(folder: Path, part: str) -> None:
    runs = source(folder)
    lock(runs / "run_b" / part)
    assert exported(runs, folder).runs == 2


@pytest.mark.parametrize("above", [False, True])
def test_an_unreadable_source_is_a_storage_error(folder: Path, above: bool) -> None:
    runs = source(folder)
    lock(folder / "runs" if above else runs)
    with pytest.raises(DeniedError, match="permission denied"):
        exported(runs / "run_a" if above else runs, folder, on_error="skip")


# --- targets --------------------------------------------------------------------------------


@pytest.mark.parametrize("partitioned", [False, True])
def test_foreign_folders_of_a_target_are_not_walked(folder: Path, partitioned: bool) -> None:
    runs = source(folder)
    lock(folder / "out" / "lost+found")
    sink = {"format": "parquet", "path": folder / "out"}
    if partitioned:
        sink["partition_by"] = ["measure"]
    wanted = config(runs, sink)
    for number in range(3):
        report = export(wanted, full_refresh=number == 2)
        assert report.exit_code == 0
        assert [one.status for one in report.targets] == [
            "unchanged" if number == 1 else "exported"
        ]
    assert verify(str(folder / "out"), str(runs)).ok
    assert run_cli(["clean", str(folder / "out")]) == 0


@pytest.mark.parametrize("locked", ["out", "out/deep"])
def test_a_target_that_may_not_be_written_is_an_error(folder: Path, locked: str) -> None:
    runs = source(folder)
    lock(folder / locked)
    with pytest.raises(StorageError, match="permission denied"):
        export(config(runs, {"path": folder / "out" / "deep" / "e.csv"}))


# --- the storage ----------------------------------------------------------------------------


def test_a_walk_goes_on_where_somebody_takes_what_is_denied(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "file").write_text("x")
    lock(folder / "b")
    storage, root = connect(str(folder))
    with pytest.raises(DeniedError, match="permission denied"):
        list(storage.walk(root))
    denied: list[str] = []
    found = [one.path for one in storage.walk(root, denied=lambda path, _: denied.append(path))]
    assert (found, denied) == ([f"{root}/a"], [f"{root}/b"])
    lock(folder)
    try:
        with pytest.raises(DeniedError):
            list(storage.walk(root, denied=lambda path, _: denied.append(path)))
        with pytest.raises(DeniedError):
            storage.info(f"{root}/a/file")
        with pytest.raises(DeniedError):
            storage.check_write(root)
    finally:
        folder.chmod(0o700)
