"""Exporters, a rebuild and people at one registry at the same time: nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.exports.run import export
from pipeline.registry import session
from pipeline.registry.registry import Registry, open_registry
from tests.exporting import config, spec, write_runs


def test_exporters_a_rebuild_and_people_at_once(
    registry_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An exporter would not wait for the others to make the tables on a busy machine.
    monkeypatch.setattr(session, "_ASKING_SECONDS", 60.0)
    folders = [tmp_path / f"runs{n}" for n in range(2)]
    for number, folder in enumerate(folders):
        write_runs(folder, *(spec(f"run_{number}_{k}") for k in range(12)))

    def exporting(folder: Path) -> Callable[[], object]:
        sink = {"path": tmp_path / "lake" / f"{folder.name}.csv"}
        settings = config(folder, sink, registry={"url": registry_url, "timeout": "60s"})
        return lambda: export(settings).export_notes or None

    def rebuilding() -> None:
        with Registry(registry_url) as registry:
            registry.rebuild(*map(str, folders))

    def tagging() -> None:
        with Registry(registry_url) as registry:
            registry.rebuild(str(folders[0]))
            for k in range(12):
                registry.tag(f"run_0_{k}", f"tag-{k}")
                registry.list(search="run", facets=True)

    work = [*map(exporting, folders), rebuilding, rebuilding, tagging, tagging]
    with ThreadPoolExecutor(len(work)) as pool:
        assert [one.result() for one in [pool.submit(one) for one in work]] == [None] * len(work)
    with open_registry(registry_url) as registry:
        assert registry.list(type="run").total == 24
        assert registry.list(type="export").total == 2
        for k in range(12):
            assert f"tag-{k}" in registry.get(f"run_0_{k}").tags
