"""A rebuild whose folders other processes read: the same registry, and the same errors."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.storage.disk.local import LocalStorage
from pipeline.errors import RegistryError, StorageError
from pipeline.execution import rebuilding
from pipeline.execution.rebuilding import reading_workers
from pipeline.exports.run import export
from pipeline.registry import rebuild
from pipeline.registry.artifact_reading import PartRead, ReadingPart
from pipeline.registry.registry import Registry, open_registry
from tests.exporting import config, spec, write_runs
from tests.reliability.killing import children_of, wait_until_gone

_RUNS = 7


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs, one of them broken, an export in one of them, and a link."""
    root = write_runs(tmp_path / "runs", *(spec(f"run_{n}") for n in range(_RUNS)))
    (root / "run_3" / "run.json").write_text("{")
    export(config(str(root / "run_1"), {"path": "{run_url}/gold/rows.csv"}))
    (root / "linked").symlink_to(root / "run_2")
    return root


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rebuild, rebuilding):
        monkeypatch.setattr(module, "FEWEST_FOLDERS", 2)
    monkeypatch.setattr(rebuild, "_FOLDERS_AT_ONCE", 3)


def here(parts: Sequence[ReadingPart]) -> Iterator[PartRead]:
    return (part.read() for part in parts)


def entered(registry: Registry) -> list[dict[str, Any]]:
    page = registry.list(limit=100, include_archived=True)
    return sorted((one.as_json() for one in page.artifacts), key=lambda one: str(one["id"]))


def test_a_divided_rebuild_enters_the_same(registry: Registry, runs: Path, tmp_path: Path) -> None:
    with open_registry(tmp_path / "whole" / "r.db") as whole:
        expected = whole.rebuild(str(runs))
        report = registry.rebuild(str(runs), elsewhere=here)
        assert entered(registry) == entered(whole)
    assert (report.added, report.problems) == (expected.added, expected.problems)
    assert report.added == _RUNS + 2  # the export and the link, too
    again = registry.rebuild(str(runs), elsewhere=here)
    assert (again.added, again.unchanged, again.removed) == (0, report.added, 0)


def test_what_is_new_or_gone_is_found_in_parts(registry: Registry, runs: Path) -> None:
    registry.rebuild(str(runs / "run_0"))
    known = registry.rebuild(str(runs), elsewhere=here)
    assert (known.added, known.unchanged) == (_RUNS + 1, 1)
    (runs / "run_4").rename(runs / "run_9")
    changed = registry.rebuild(str(runs), elsewhere=here)
    assert (changed.added, changed.removed) == (1, 1)


def test_workers_read_for_a_rebuild(registry: Registry, runs: Path) -> None:
    with reading_workers([str(runs)], None) as elsewhere:
        assert elsewhere is not None
        assert registry.rebuild(str(runs), elsewhere=elsewhere).added == _RUNS + 2


def test_small_folders_are_read_here(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "FEWEST_FOLDERS", 100)
    with reading_workers([str(runs)], None) as elsewhere:
        assert elsewhere is None


def test_a_folder_that_cannot_be_listed_is_left_to_the_rebuild(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: LocalStorage, path: str) -> list[str]:
        raise StorageError("not allowed")

    monkeypatch.setattr(LocalStorage, "folders", denied)
    with reading_workers([str(runs)], None) as elsewhere:
        assert elsewhere is None


def test_a_folder_that_fails_forgets_nothing(registry: Registry, runs: Path) -> None:
    def failing(parts: Sequence[ReadingPart]) -> Iterator[PartRead]:
        yield parts[0].read()
        raise StorageError("the disk is gone")

    registry.rebuild(str(runs / "run_0"))
    with pytest.raises(StorageError, match="the disk is gone"):
        registry.rebuild(str(runs), elsewhere=failing)
    assert registry.get("run_0").id == "run_0"
    assert registry.rebuild(str(runs), elsewhere=here).removed == 0


def test_killed_workers_are_an_error_and_what_was_entered_is_kept(
    registry: Registry, runs: Path
) -> None:
    registry.rebuild(str(runs / "run_0"))
    with reading_workers([str(runs)], None) as elsewhere:
        workers = children_of(os.getpid())
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        wait_until_gone(workers)
        with pytest.raises(RegistryError, match="run the rebuild again"):
            registry.rebuild(str(runs), elsewhere=elsewhere)
    assert registry.get("run_0").id == "run_0"
    assert registry.rebuild(str(runs)).removed == 0
