"""Instants of artifacts: unknown ones, the first of 1970, and those before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.registry.queries import facets
from pipeline.registry.registry import Registry, open_registry
from pipeline.registry.run_list.run_list import ListedRuns
from tests.exporting import spec, write_runs

_CREATED = {
    "unknown": None,
    "year_1": "0001-01-01T00:00:00Z",
    "before": "1969-12-31T23:59:59Z",
    "epoch": "1970-01-01T00:00:00Z",
    "after": "1970-01-01T00:00:01Z",
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs", *(spec(name, created=text) for name, text in _CREATED.items())
    )


@pytest.mark.parametrize("few", [0, 20_000], ids=["counted", "read"])
def test_every_instant_has_its_place(
    registry: Registry, runs: Path, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facets, "_FEW", few)
    registry.rebuild(str(runs))
    page = registry.list(type="run", sort_order="asc", facets=True)
    assert [one.id for one in page.artifacts] == [*_CREATED]
    assert [one.as_json()["created"] for one in page.artifacts] == [*_CREATED.values()]
    assert page.facets is not None
    assert page.facets["day"] == {"1970-01-01": 2, "1969-12-31": 1, "0001-01-01": 1}
    for day, number in page.facets["day"].items():
        assert registry.list(type="run", day=day).total == number
    found: list[str] = []
    cursor = None
    while len(found) < len(_CREATED):
        part = registry.list(type="run", sort_order="asc", limit=1, cursor=cursor)
        found += [one.id for one in part.artifacts]
        cursor = part.next_cursor
    assert found == [*_CREATED]
    epoch = datetime(1970, 1, 1, tzinfo=UTC).isoformat()
    assert registry.list(type="run", created_before=epoch).total == 3
    assert registry.list(type="run", created_after=epoch).total == 2
    stats = registry.stats()["types"]["run"]
    assert (stats["oldest"], stats["newest"]) == ("0001-01-01T00:00:00Z", "1970-01-01T00:00:01Z")


def test_runs_of_the_second_schema_get_their_instants(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    with open_registry(file) as registry:
        registry.rebuild(str(runs))
        ListedRuns(registry.database, str(runs)).update({})
    with closing(sqlite3.connect(file)) as old:
        old.executescript(
            f"UPDATE artifact SET created = 0 WHERE created = {-(2**63)};"
            f"UPDATE artifact SET modified = 0 WHERE modified = {-(2**63)};"
            "UPDATE listed_run SET created = NULL WHERE created = 0;"
            "UPDATE alembic_version SET version_num = '0002';"
        )
    with open_registry(file) as registry:
        assert registry.rebuild(str(runs)).added == 2
        assert registry.get("unknown").created is None
        assert registry.get("epoch").as_json()["created"] == _CREATED["epoch"]
        listed = ListedRuns(registry.database, str(runs))
        listed.update({})
        assert {name: listed.find(name)[0].created is None for name in _CREATED} == {
            name: text is None for name, text in _CREATED.items()
        }
