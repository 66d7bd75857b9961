"""Exporters of a table that die, race, or meet other writers: no run twice, none missing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from connectors.storage import connect, discard_all
from connectors.storage.disk.local import LocalStorage
from connectors.storage.staging import claim as claims
from pipeline.errors import FlowtimeExportError, PublishConflictError, SinkError
from pipeline.exports.run import export
from pipeline.lake_tables.delta import DeltaLakeTable
from pipeline.lake_tables.iceberg import IcebergLakeTable
from pipeline.verification.check import verify
from pipeline.writing.removal import clean
from tests.exporting import names, spec, write_runs
from tests.lake_tables.lakes import DeltaLake, Lake


class Killed(BaseException):
    """The end of an exporter that cleans nothing up."""


KILLED_AT: dict[str, tuple[str, int]] = {
    "before the claim": ("mark", 0),
    "before the first file": ("commit", 0),
    "before the second file": ("commit", 1),
    "before the record of the files goes": ("mark", 1),
    "before the commit": ("table", 0),
    "after the commit": ("committed", 0),
    "before the descriptor": ("commit_over", 0),
    "after the descriptor": ("written", 0),
    "before the claim goes": ("delete", 0),
}


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], None]]:
    """Let an exporter die at the nth call of a kind; nothing that it does then has an effect."""
    calls: Counter[str] = Counter()
    wanted: list[tuple[str, int]] = []
    dead = threading.Event()

    def reached(call: str) -> None:
        if dead.is_set():
            raise Killed
        if threading.current_thread().name == "flowtime-claim":
            return  # It ends the claim of the export before, some time after that.
        if wanted and (call, calls[call]) == wanted[0]:
            dead.set()
            raise Killed
        calls[call] += 1

    def watched(cls: type, method: str, before: str | None, after: str | None) -> None:
        original = getattr(cls, method)

        def call(*arguments: Any, **named: Any) -> Any:
            if before:
                reached(before)
            result = original(*arguments, **named)
            if after:
                reached(after)
            return result

        monkeypatch.setattr(cls, method, call)

    for method in ("mark", "commit", "delete", "discard"):
        watched(LocalStorage, method, method, None)
    watched(LocalStorage, "commit_over", "commit_over", "written")
    for table in (DeltaLakeTable, IcebergLakeTable):
        watched(table, "commit", "table", "committed")

    def at(call: str, number: int) -> None:
        calls.clear()
        wanted[:] = [(call, number)]

    yield at
    wanted.clear()
    dead.clear()


def revive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the kill; the claims of the dead process are those of a process that has ended."""
    monkeypatch.undo()
    claims._held.clear()
    discard_all()  # by name, these files are those of a process that lives


@pytest.mark.parametrize("first", [True, False], ids=["new table", "second export"])
@pytest.mark.parametrize("instant", KILLED_AT)
def test_an_export_that_is_killed(
    instant: str,
    first: bool,
    tmp_path: Path,
    lake: Lake,
    kill: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    made = lake.config(runs)
    if not first:
        export(made)
        write_runs(runs, spec("run_b", values=(8.0,)), spec("run_c"))
    call, number = KILLED_AT[instant]
    kill(call, number)
    with pytest.raises((Killed, FlowtimeExportError)):
        export(made)
    revive(monkeypatch)
    before = 0 if first else 1
    committed = instant in [*KILLED_AT][[*KILLED_AT].index("after the commit") :]
    if not first or committed:
        assert lake.versions == before + committed
        held = {run: len(files) for run, files in lake.files().items()}
        assert held == dict.fromkeys(
            ["run_a", "run_b", *(["run_c"] if committed and not first else [])], 1
        )
    export(made)
    assert lake.versions == before + 1
    wanted = ["run_a", "run_b", *([] if first else ["run_c"])]
    assert {run: len(files) for run, files in lake.files().items()} == dict.fromkeys(wanted, 1)
    found = verify(str(lake.folder), str(runs))
    assert found.ok, found.as_text()
    assert export(made).targets[0].status == "unchanged"
    kept = lake.files()
    clean(*connect(str(lake.folder)))
    assert lake.files() == kept
    # A claim without a record of files stays for as long as the process of its name lives.
    hidden = [name for name in names(lake.folder) if name.startswith(".") and "claim" not in name]
    assert hidden == []
    # All that is left belongs to a version of the table.
    data = {name for name in names(lake.folder) if name.startswith("part-")}
    known = {name for number in range(lake.versions) for name in lake.commit(number).added}
    assert data == known


# --------------------------------------------------------------------------- several writers


def race(count: int, work: Callable[[int], None]) -> list[BaseException | None]:
    """Do the same work on several threads at once, and return what each raised."""
    start = threading.Barrier(count)
    ends: list[BaseException | None] = [None] * count

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            ends[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def rounds_of_exporters(tmp_path: Path, lake: Lake, rounds: int) -> None:
    """Let two exporters of one source write one table, round after round."""
    runs = tmp_path / "runs"
    for number in range(rounds):
        write_runs(runs, spec("run_a", values=(float(number), 1.0)), spec(f"run_{number}"))
        ends = race(2, lambda _: export(lake.config(runs)))
        assert all(end is None or isinstance(end, PublishConflictError) for end in ends), ends
        assert None in ends
        assert lake.versions == number + 1
        files = lake.files()
        assert {run: len(names) for run, names in files.items()} == dict.fromkeys(
            ["run_a", *(f"run_{n}" for n in range(number + 1))], 1
        )
    assert verify(str(lake.folder), str(runs)).ok


def test_two_exporters_at_once(tmp_path: Path, lake: Lake) -> None:
    rounds_of_exporters(tmp_path, lake, 3)


@pytest.mark.slow
def test_two_exporters_at_once_twenty_times(tmp_path: Path, lake: Lake) -> None:
    rounds_of_exporters(tmp_path, lake, 20)


def test_a_commit_that_overtakes_another(
    tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a store has no claims: the second exporter commits just before the first one."""
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs))
    write_runs(runs, spec("run_b"))
    table = DeltaLakeTable if isinstance(lake, DeltaLake) else IcebergLakeTable
    original = table._write  # type: ignore[attr-defined]

    def overtaken(self: Any, *arguments: Any) -> None:
        monkeypatch.setattr(table, "_write", original)
        self.commit(replace(arguments[0], write_id="another"), self.read())
        original(self, *arguments)

    monkeypatch.setattr(table, "_write", overtaken)
    with pytest.raises(PublishConflictError):
        export(lake.config(runs), full_refresh=True)
    assert {run: len(files) for run, files in lake.files().items()} == {"run_a": 1, "run_b": 1}
    export(lake.config(runs))
    assert lake.versions == 2
    assert verify(str(lake.folder), str(runs)).ok


def test_a_lost_answer(tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    table = DeltaLakeTable if isinstance(lake, DeltaLake) else IcebergLakeTable
    original = table._write  # type: ignore[attr-defined]

    def cut_off(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        raise OSError("connection reset")

    monkeypatch.setattr(table, "_write", cut_off)
    assert export(lake.config(runs)).targets[0].status == "exported"
    monkeypatch.undo()
    assert export(lake.config(runs)).targets[0].status == "unchanged"
    assert lake.versions == 1


def test_a_commit_that_fails(tmp_path: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs))
    write_runs(runs, spec("run_b"))
    table = DeltaLakeTable if isinstance(lake, DeltaLake) else IcebergLakeTable

    def broken(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(table, "_write", broken)
    with pytest.raises(SinkError, match=r"committing to the .* table .*gold.*: disk full"):
        export(lake.config(runs))
    monkeypatch.undo()
    assert lake.files().keys() == {"run_a"}
    export(lake.config(runs))
    assert (lake.versions, lake.files().keys()) == (2, {"run_a", "run_b"})


# --------------------------------------------------------------------------- other tools


def test_compacted_files_are_written_anew(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    export(lake.config(runs))
    DeltaTable(lake.folder).optimize.compact()
    assert len(lake.commit().added) == 1
    found = verify(str(lake.folder))
    assert not found.ok
    assert "another tool has rewritten" in found.as_text()
    export(lake.config(runs))
    assert {run: len(files) for run, files in lake.files().items()} == {"run_a": 1, "run_b": 1}
    assert lake.versions == 3
    assert verify(str(lake.folder), str(runs)).ok


def test_appended_rows_stay(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs))
    row = DeltaTable(lake.folder).to_pyarrow_table().slice(0, 1)
    mine = row.set_column(row.column_names.index("run_id"), "run_id", pa.array(["mine"]))
    write_deltalake(lake.folder, mine, mode="append")
    write_runs(runs, spec("run_b"))
    export(lake.config(runs))
    assert lake.files().keys() == {"run_a", "run_b", "mine"}
    assert "does not name" in verify(str(lake.folder)).as_text()


def test_a_table_of_others_is_refused(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path / "gold")
    write_deltalake(lake.folder, pa.table({"x": [1]}))
    with pytest.raises(PublishConflictError, match="no export has written"):
        export(lake.config(write_runs(tmp_path / "runs", spec("run_a"))))
    assert lake.versions == 1
    assert [
        name for name in names(lake.folder) if name.startswith("part-") and len(name) < 50
    ] == []


def test_rules_of_a_table_are_refused(tmp_path: Path) -> None:
    """An export cannot evaluate a condition of the table, which its rows might not meet."""
    lake = DeltaLake(tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs))
    DeltaTable(lake.folder).alter.add_constraint({"positive": "value >= 0"})
    write_runs(runs, spec("run_b", values=(-1.0,)))
    with pytest.raises(SinkError, match=r"delta\.constraints\.positive"):
        export(lake.config(runs))
    assert lake.files().keys() == {"run_a"}
    DeltaTable(lake.folder).alter.drop_constraint("positive")
    export(lake.config(runs))
    assert lake.files().keys() == {"run_a", "run_b"}


def test_a_damaged_log(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs))
    (lake.folder / "_delta_log/00000000000000000000.json").write_text("{")
    with pytest.raises(SinkError, match="reading the log of the Delta table"):
        export(lake.config(runs))


def test_vacuum_keeps_what_is_exported(tmp_path: Path) -> None:
    lake = DeltaLake(tmp_path / "gold")
    runs = write_runs(tmp_path / "runs", spec("run_a"))
    export(lake.config(runs))
    write_runs(runs, spec("run_a", values=(5.0,)))
    export(lake.config(runs))
    table = DeltaTable(lake.folder)
    gone = table.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    assert [Path(one).name for one in gone] == [*lake.commit(1).removed]
    assert verify(str(lake.folder), str(runs)).ok
    assert export(lake.config(runs)).targets[0].status == "unchanged"
