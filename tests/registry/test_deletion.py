"""What is deleted is what was shown, and what is deleted is listed no more."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.errors import IntegrityError, UnknownArtifactError
from pipeline.exports.run import export
from pipeline.registry.registry import Registry, open_registry
from tests.exporting import config, spec, write_runs


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    found = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    export(config(found, {"path": "{run_url}/gold/export.csv"}))
    return found


@pytest.fixture
def known(runs: Path, tmp_path: Path) -> Registry:
    registry = open_registry(tmp_path / "registry.db")
    registry.rebuild(str(runs))
    return registry


def _exports(registry: Registry) -> list[Path]:
    return [Path(one.location) for one in registry.list(type="export").artifacts]


def test_exports_in_the_folder_of_a_run_go_with_it(known: Registry, runs: Path) -> None:
    known.delete(known.plan_deletion("run_a"))
    assert not (runs / "run_a").exists()
    assert _exports(known) == [runs / "run_b" / "gold" / "export.datapackage.json"]
    assert known.rebuild().removed == 0


def test_what_changed_after_it_was_shown_is_kept(known: Registry, runs: Path) -> None:
    planned = known.plan_deletion("run_a")
    (runs / "run_a" / "note.txt").write_text("written meanwhile")
    with pytest.raises(IntegrityError, match="nothing was deleted"):
        known.delete(planned)
    (runs / "run_a" / "note.txt").unlink()
    shutil.rmtree(runs / "run_a")
    write_runs(runs, spec("run_a", title="Another"))
    export(config(runs, {"path": "{run_url}/gold/export.csv"}))
    with pytest.raises(IntegrityError, match="nothing was deleted"):
        known.delete(planned)
    known.rebuild()
    with pytest.raises(IntegrityError, match="nothing was deleted"):
        known.delete(planned)
    assert (runs / "run_a" / "manifest.json").is_file()
    known.delete(known.plan_deletion("run_a"))
    with pytest.raises(UnknownArtifactError):
        known.delete(planned)


def test_nothing_behind_a_link_is_deleted(known: Registry, runs: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    (runs / "run_a" / "series" / "linked.csv").symlink_to(outside / "kept.txt")
    (runs / "run_a" / "model" / "linked").symlink_to(outside)
    (runs / "run_a" / "hard.txt").hardlink_to(outside / "kept.txt")
    known.rebuild()
    planned = known.plan_deletion("run_a")
    assert not [file.url for file in planned.files if "linked" in file.url]
    known.delete(planned)
    assert (outside / "kept.txt").read_text() == "kept"
    assert not (runs / "run_a" / "hard.txt").exists()
