"""A registry that has followed changes is equal to one that is built at once."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.registry.records.artifact import mark_of
from pipeline.registry.registry import Registry, open_registry
from tests.exporting import spec, write_runs

MODEL = "sha256:" + 64 * "a"


def _write(root: Path, path: str, tags: str = "", **changes: Any) -> None:
    folder = root / path
    shutil.rmtree(folder, ignore_errors=True)
    extra = {"modelHash": changes.pop("model", MODEL)}
    write_runs(folder.parent, spec(folder.name, extra=extra, **changes))
    if tags:
        text = (folder / "spec.yaml").read_text()
        (folder / "spec.yaml").write_text(f"{text}metadata:\n  tags: [{tags}]\n")


def _another_id(root: Path, registry: Registry) -> None:
    _write(root, "one", run_id="same")
    _write(root, "two", run_id="same")
    registry.rebuild(str(root))
    _write(root, "one", run_id="other")


def _an_id_like_a_mark(root: Path, registry: Registry) -> None:
    _write(root, "one", run_id="same")
    _write(root, "evil", run_id=f"same~{mark_of(str(root / 'one'))}")
    registry.rebuild(str(root))
    _write(root, "two", run_id="same")


def _an_id_that_is_swapped(root: Path, registry: Registry) -> None:
    _write(root, "one", run_id="first")
    _write(root, "two", run_id="second")
    registry.rebuild(str(root))
    _write(root, "one", run_id="second")
    _write(root, "two", run_id="first")


def _a_model_of_a_run_with_user_data(root: Path, registry: Registry) -> None:
    _write(root, "one", title="First")
    _write(root, "two", title="Second")
    registry.rebuild(str(root))
    registry.change("two", title="Mine", add_tags=["keep"], remove_tags=["json"], archived=True)
    shutil.rmtree(root / "one")


def _tags_that_become_automatic(root: Path, registry: Registry) -> None:
    _write(root, "one", tags="red, blue")
    registry.rebuild(str(root))
    registry.change("one", add_tags=["green"], remove_tags=["blue"])
    _write(root, "one", tags="'red', 'green', 'a, b', archived, ' '")


def _a_run_that_breaks(root: Path, registry: Registry) -> None:
    _write(root, "one", run_id="same")
    registry.rebuild(str(root))
    (root / "one" / "run.json").write_text("{")


_CHANGES = (
    _another_id,
    _an_id_like_a_mark,
    _an_id_that_is_swapped,
    _a_model_of_a_run_with_user_data,
    _tags_that_become_automatic,
    _a_run_that_breaks,
)


@pytest.mark.parametrize("change", _CHANGES)
def test_changes_lead_to_what_a_new_registry_has(
    registry: Registry, tmp_path: Path, change: Callable[[Path, Registry], None]
) -> None:
    root = tmp_path / "runs"
    change(root, registry)
    registry.rebuild(str(root))
    with open_registry(tmp_path / "fresh.db") as fresh:
        fresh.import_user_data(json.dumps(registry.export_user_data()).encode())
        fresh.rebuild(str(root))
        found, expected = _everything(registry), _everything(fresh)
    assert found == expected
    assert len({one["id"] for one in found}) == len(found)
    for one in found:
        assert one["id"] in _ids(registry, full_text=one["id"], state=_state(one))
        assert registry.get(one["id"]).location == one["location"]
    facets = registry.list(include_archived=True, facets=True).facets
    assert facets is not None
    tags = Counter(tag for one in found if one["state"] == "complete" for tag in one["tags"])
    assert facets["tags"] == tags
    for tag, number in tags.items():
        assert registry.list(tags=tag, include_archived=True).total == number


def test_marks_that_are_equal_fail_no_rebuild(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.registry.records.run_records.mark_of", lambda text: 12 * "a")
    root = tmp_path / "runs"
    for name in ("one", "two", "three"):
        _write(root, name, run_id="same")
        registry.rebuild(str(root))
    ids = _ids(registry, type="run")
    assert len(set(ids)) == 3
    assert f"same~{12 * 'a'}" in ids


def _everything(registry: Registry) -> list[dict[str, Any]]:
    listed = registry.list(sort_by="id", limit=1000, include_archived=True).artifacts
    broken = registry.list(sort_by="id", limit=1000, state="broken").artifacts
    return [
        {**one.as_json(), "relationships": registry.relationships(one.id).as_json()}
        for one in (*listed, *broken)
    ]


def _state(one: dict[str, Any]) -> str:
    return "" if one["state"] == "complete" else str(one["state"])


def _ids(registry: Registry, **filters: object) -> list[str]:
    found = registry.list(**{"include_archived": True, "limit": 1000, **filters})
    return [one.id for one in found.artifacts]
