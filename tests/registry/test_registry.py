"""Runs and exports are registered, found again, tagged, related and forgotten."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pipeline.errors import ConfigError, RegistryError, StorageError, UnknownArtifactError
from pipeline.exports.run import export
from pipeline.registry import rebuild
from pipeline.registry.database import migrate, tables
from pipeline.registry.queries.query import ArtifactQuery
from pipeline.registry.records.artifact import ROUTE_NAMES
from pipeline.registry.registry import Registry, open_registry
from tests.exporting import config, spec, write_runs

MODEL = "sha256:" + 64 * "a"
SHARED_MODEL = "model_" + 16 * "a"


def _run(name: str, *ids: str, **changes: Any) -> Any:
    extra = {"modelHash": MODEL, "scenarioHash": "sha256:" + 64 * "b", **changes.pop("extra", {})}
    return spec(name, *ids, extra=extra, **changes)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(
        tmp_path / "runs",
        _run("run_a", created="2025-01-01T00:00:00Z", title="Checkout by the hour"),
        _run("run_b", "served@B@DEFAULT", created="2025-01-02T00:00:00Z", title="Orders"),
        spec("run_c", "queue@C@Gold", created="2025-01-03T00:00:00Z", title="100% of_all"),
    )


def _ids(registry: Registry, **filters: object) -> list[str]:
    return [one.id for one in registry.list(**{"type": "run", **filters}).artifacts]


def everything(registry: Registry) -> list[dict[str, Any]]:
    """All artifacts with their relationships, but for times that depend on when it was built."""
    found = registry.list(sort_by="id", limit=1000, include_archived=True)
    return [
        {**one.as_json(), "relationships": registry.relationships(one.id).as_json()}
        for one in found.artifacts
    ]


def test_schema_is_what_the_migrations_make(registry: Registry) -> None:
    with registry.database.reading() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_object": lambda o, name, *_: (
                    name in tables.metadata.tables
                    or (
                        getattr(o, "table", None) is not None
                        and o.table.name in tables.metadata.tables
                    )
                )
            },
        )
        assert compare_metadata(context, tables.metadata) == []
    scripts = ScriptDirectory("pipeline/registry/database/migrations")
    assert scripts.get_current_head() == migrate.HEAD


def test_rebuild_finds_runs_models_and_exports(registry: Registry, runs: Path) -> None:
    export(config(runs, {"path": "{run_url}/gold/export.csv"}, source={"include": ["run_a"]}))
    report = registry.rebuild(str(runs))
    assert (report.added, report.removed, report.problems) == (4, 0, [])
    assert _ids(registry, type="run") == ["run_c", "run_b", "run_a"]
    page = registry.list(type="export")
    assert page.artifacts[0].metadata["formats"] == ["csv"]
    assert sorted(_ids(registry, type="model")) == ["model_61d260b3706fb52e", SHARED_MODEL]
    run = registry.get("run_a").as_json()
    assert run["title"] == "Checkout by the hour"
    assert run["created"] == "2025-01-01T00:00:00Z"
    assert run["files"] == ["manifest.json", "run.json", "spec.yaml"]
    assert run["totalSize"] == sum(
        path.stat().st_size
        for path in (runs / "run_a").rglob("*")
        if path.is_file() and "gold" not in path.parts
    )
    assert {"run", "csv", "json", "configured"} <= set(run["tags"])
    related = registry.relationships("run_a")
    assert [(r.id, r.relation) for r in related.derived_from] == [(SHARED_MODEL, "model")]
    assert [(r.id, r.relation) for r in related.derivatives] == [(page.artifacts[0].id, "exportOf")]
    assert [(r.id, r.relation) for r in related.related] == [("run_b", "sameScenario")]
    again = registry.rebuild()
    assert (again.added, again.unchanged, again.removed) == (0, 4, 0)


def test_filters(registry: Registry, runs: Path) -> None:
    registry.rebuild(str(runs))
    both = {"type": "run"}
    for filters, expected in (
        ({"search": "checkOUT"}, ["run_a"]),
        ({"search": "00% of_"}, ["run_c"]),
        ({"search": "0%"}, ["run_c"]),
        ({"search": "%"}, ["run_c"]),
        ({"search": 'a"b'}, []),
        ({"search": "run.json"}, []),
        ({"full_text": "run.json"}, ["run_c", "run_b", "run_a"]),
        ({"tags": "configured,nothing"}, ["run_c", "run_b", "run_a"]),
        ({"created_after": "2025-01-02"}, ["run_c", "run_b"]),
        ({"created_before": "2025-01-02"}, ["run_b", "run_a"]),
        ({"created_before": "not a time"}, ["run_c", "run_b", "run_a"]),
        ({"day": "2025-01-02"}, ["run_b"]),
        ({"day": "never"}, []),
        ({"model_id": MODEL}, ["run_b", "run_a"]),
        ({"model_id": "model_aaaaaaaaaaaaaaaa"}, ["run_b", "run_a"]),
        ({"component": "C"}, ["run_c"]),
        ({"measure": "served"}, ["run_b", "run_a"]),
        ({"related_to": "run_a"}, ["run_b"]),
        ({"related_to": "nothing"}, []),
        ({"sort_by": "title", "sort_order": "asc"}, ["run_c", "run_a", "run_b"]),
        ({"sort_by": "id", "sort_order": "asc"}, ["run_a", "run_b", "run_c"]),
        ({"skip": 1, "limit": 1}, ["run_b"]),
        ({"min_size": 10**9}, []),
        ({"max_size": 10**9}, ["run_c", "run_b", "run_a"]),
    ):
        assert _ids(registry, **both, **filters) == expected, filters
        count = len(expected) if "limit" not in filters else 3
        assert registry.list(**both, **filters).total == count, filters


def test_long_filters_are_whole(registry: Registry, tmp_path: Path) -> None:
    name, template = "r" * 200, "t" * 390
    root = write_runs(
        tmp_path / "runs",
        _run("run_a", run_id=name),
        _run("two/run_a", run_id=name, has_metadata=False, extra={"templateId": f"{template}2"}),
        _run("run_b", has_metadata=False, extra={"templateId": f"{template}1"}),
        spec("run_c", extra={"modelHash": "sha256:" + 64 * "c"}),
    )
    registry.rebuild(str(root))
    tags = [f"{number}{99 * 'x'}" for number in range(5)]
    registry.tag("run_c", tags[4])
    assert _ids(registry, tags=",".join(tags)) == ["run_c"]
    assert _ids(registry, tags=tags) == ["run_c"]
    assert _ids(registry, template_id=f"{template}1") == ["run_b"]
    assert "run_b" in _ids(registry, related_to=registry.list(search=name).artifacts[0].id)
    assert _ids(registry, search=f"{template}1") == ["run_b"]
    assert _ids(registry, search=30_000 * "r") == []


def test_filters_have_the_names_of_http_and_no_others(registry: Registry, runs: Path) -> None:
    registry.rebuild(str(runs))
    registry.change("run_a", pinned=True)
    assert registry.rebuild(runs).unchanged == 3  # a path is as good as its text
    assert _ids(registry, class_="Gold") == _ids(registry, **{"class": "Gold"}) == ["run_c"]
    assert _ids(registry, pinned=True) == ["run_a"]
    assert _ids(registry, pinned=False) == ["run_c", "run_b"]
    assert _ids(registry, pinned="perhaps") == ["run_c", "run_b", "run_a"]
    with pytest.raises(ConfigError, match="no filter 'typ': choose from type, search, full_text"):
        registry.list(typ="run")
    for name in ("minFileSize", "MINFILESIZE", "minSize", "MinSize"):
        query = ArtifactQuery.parse({name: "7", "SORTBY": "Title", "FacETS": "TRUE"})
        assert (query.min_size, query.sort_by, query.with_facets) == (7, "title", True), name


@pytest.mark.parametrize("sort_by", ["created", "id", "title", "size", "modified"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_cursors_lead_through_all_of_a_list(
    registry: Registry, tmp_path: Path, sort_by: str, order: str
) -> None:
    write_runs(tmp_path / "runs", *(spec(f"run_{n}", title=f"T{n % 3}") for n in range(7)))
    registry.rebuild(str(tmp_path / "runs"))
    whole = _ids(registry, sort_by=sort_by, sort_order=order)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = registry.list(type="run", sort_by=sort_by, sort_order=order, limit=2, cursor=cursor)
        found += [one.id for one in page.artifacts]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == whole
    assert len(set(whole)) == 7


@pytest.mark.parametrize("cursor", ["x", "e30", "WzFd", "W10=", "\x00", "🙂"])
def test_a_cursor_that_is_none_is_refused(registry: Registry, cursor: str) -> None:
    with pytest.raises(ConfigError, match="cursor"):
        registry.list(cursor=cursor)


def test_facets(registry: Registry, runs: Path) -> None:
    registry.rebuild(str(runs))
    registry.tag("run_a", "mine")
    registry.untag("run_b", "csv")
    facets = registry.list(facets=True, type="run").facets
    assert facets is not None
    assert facets["type"] == {"run": 3}
    assert facets["measure"] == {"served": 2, "arrivals": 1, "queue": 1}
    assert facets["day"] == {"2025-01-03": 1, "2025-01-02": 1, "2025-01-01": 1}
    assert (facets["tags"]["mine"], facets["tags"]["csv"]) == (1, 2)
    assert facets["template"] == {"adhoc-model": 3}


def test_ids_that_two_runs_share_get_a_mark(registry: Registry, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    write_runs(root / "one", spec("run_x", run_id="same"))
    registry.rebuild(str(root))
    assert _ids(registry) == ["same"]
    registry.tag("same", "first")
    write_runs(root / "two", spec("run_x", run_id="same"), spec("run_y", run_id="other"))
    registry.rebuild(str(root))
    ids = sorted(_ids(registry))
    assert ids[0] == "other"
    assert [one.partition("~")[0] for one in ids[1:]] == ["same", "same"]
    assert _ids(registry, tags="first")[0].startswith("same~")
    with pytest.raises(UnknownArtifactError, match="several are called so: same~"):
        registry.get("same")
    shutil.rmtree(root / "two" / "run_x")
    registry.rebuild(str(root))
    assert sorted(_ids(registry)) == ["other", "same"]


def test_a_broken_run_never_takes_an_id(registry: Registry, tmp_path: Path) -> None:
    root = write_runs(tmp_path / "runs", spec("run_x", run_id="run_y"), spec("run_y"))
    (root / "run_y" / "run.json").write_text("{")
    registry.rebuild(str(root))
    assert _ids(registry) == ["run_y"]
    assert registry.list(state="broken").artifacts[0].id.startswith("run_y~")
    assert registry.rebuild(str(root)).added == 0


def test_the_name_of_a_route_always_gets_a_mark(registry: Registry, tmp_path: Path) -> None:
    root = write_runs(tmp_path / "runs", *(spec(name) for name in sorted(ROUTE_NAMES)))
    registry.rebuild(str(root))
    ids = sorted(_ids(registry))
    assert [one.partition("~")[0] for one in ids] == sorted(ROUTE_NAMES)
    assert all("~" in one and registry.get(one).id == one for one in ids)
    with pytest.raises(UnknownArtifactError, match="called so: stats~"):
        registry.get("stats")
    write_runs(tmp_path / "runs" / "more", spec("stats"))
    registry.rebuild(str(root))
    shutil.rmtree(root / "more")
    registry.rebuild(str(root))
    assert sorted(_ids(registry)) == ids


def test_ids_of_others_are_not_taken(registry: Registry, tmp_path: Path) -> None:
    root = write_runs(
        tmp_path / "runs", _run("run_a"), spec("evil", run_id="model_aaaaaaaaaaaaaaaa")
    )
    registry.rebuild(str(root))
    ids = sorted(_ids(registry, type="", limit=10))
    assert len(set(ids)) == 4
    assert sum(one.startswith("model_aaaaaaaaaaaaaaaa") for one in ids) == 2


def test_user_data_outlives_a_rebuild(registry: Registry, runs: Path) -> None:
    registry.rebuild(str(runs))
    registry.tag("run_a", "keep", "two")
    registry.untag("run_a", "configured")
    registry.change("run_a", title="My title", note="A note\nof lines", owner="Ada", pinned=True)
    registry.archive("run_b")
    (runs / "run_a" / "run.json").write_text((runs / "run_a" / "run.json").read_text() + "\n")
    assert registry.rebuild(str(runs)).added == 1
    run = registry.get("run_a")
    assert {"keep", "two"} <= set(run.tags)
    assert "configured" not in run.tags
    assert (run.title, run.note, run.owner, run.pinned) == (
        "My title",
        "A note\nof lines",
        "Ada",
        True,
    )
    assert _ids(registry, search="my title") == ["run_a"]
    assert _ids(registry, full_text="a note") == ["run_a"]
    assert "run_b" not in _ids(registry)
    assert "archived" in registry.get("run_b").tags
    assert _ids(registry, tags="archived", include_archived=True) == ["run_b"]
    registry.archive("run_b", archived=False)
    assert "archived" not in registry.get("run_b").tags
    assert registry.change("run_a", title="").title == "Checkout by the hour"


def test_user_data_goes_through_a_file(registry: Registry, runs: Path, tmp_path: Path) -> None:
    registry.rebuild(str(runs))
    registry.tag("run_a", "keep")
    registry.change("model_aaaaaaaaaaaaaaaa", note="of the model")
    saved = json.dumps(registry.export_user_data()).encode()
    with open_registry(tmp_path / "other.db") as other:
        assert other.import_user_data(saved) == 2
        other.rebuild(str(runs))
        assert "keep" in other.get("run_a").tags
        assert other.get("model_aaaaaaaaaaaaaaaa").note == "of the model"
    with pytest.raises(ConfigError, match="should be"):
        registry.import_user_data(b"[]")
    with pytest.raises(ConfigError, match=r"artifacts\[0\]\.tags"):
        registry.import_user_data(
            b'{"schemaVersion":1,"artifacts":[{"type":"run","id":"a","location":"/a","tags":[""]}]}'
        )


def test_deleted_and_rebuilt_it_is_equal(runs: Path, tmp_path: Path) -> None:
    export(config(runs, {"path": tmp_path / "lake" / "gold.parquet"}))
    file = tmp_path / "registry.db"
    with open_registry(file) as registry:
        registry.rebuild(str(runs), str(tmp_path / "lake"))
        registry.tag("run_a", "keep")
        registry.archive("run_b")
        before = everything(registry)
    for left in tmp_path.glob("registry.db*"):
        left.unlink()
    with open_registry(file) as registry:
        registry.rebuild(str(runs), str(tmp_path / "lake"))
        assert everything(registry) == before
        assert "keep" in registry.get("run_a").tags
        assert registry.get("run_b").archived


def test_moved_runs_keep_what_was_said_of_them(registry: Registry, tmp_path: Path) -> None:
    write_runs(tmp_path / "old", spec("run_a"))
    registry.rebuild(str(tmp_path / "old"))
    registry.tag("run_a", "keep")
    (tmp_path / "new").mkdir()
    shutil.move(tmp_path / "old" / "run_a", tmp_path / "new" / "run_a")
    registry.rebuild(str(tmp_path / "old"), str(tmp_path / "new"))
    assert "keep" in registry.get("run_a").tags


def test_edges_to_what_is_gone_are_shown_as_such(
    registry: Registry, runs: Path, tmp_path: Path
) -> None:
    export(config(runs, {"path": tmp_path / "lake" / "gold.csv"}))
    registry.rebuild(str(runs), str(tmp_path / "lake"))
    shutil.rmtree(runs / "run_b")
    assert registry.rebuild(str(runs)).removed == 1
    made = registry.list(type="export").artifacts[0]
    derived = registry.relationships(made.id).derived_from
    assert {one.id: one.is_missing for one in derived} == {
        "run_a": False,
        "run_b": True,
        "run_c": False,
    }


def test_what_is_related_is_listed_wherever_it_was_moved(
    registry: Registry, runs: Path, tmp_path: Path
) -> None:
    export(config(runs, {"path": tmp_path / "lake" / "gold.csv"}))
    shutil.copytree(runs / "run_c", runs / "copy")
    (runs / "run_a").rename(runs / "moved")
    shutil.rmtree(runs / "run_b")
    registry.rebuild(str(runs), str(tmp_path / "lake"))
    for one in registry.list().artifacts:
        found = registry.relationships(one.id)
        shown = (*found.derived_from, *found.derivatives, *found.related)
        expected = sorted(other.id for other in shown if not other.is_missing)
        assert sorted(_ids(registry, type="", related_to=one.id)) == expected, one.id
    made = registry.list(type="export").artifacts[0].id
    assert [one.id for one in registry.relationships(made).derived_from].count("run_a") == 1
    assert "run_a" in _ids(registry, related_to=made)


def test_models_go_with_their_last_run(registry: Registry, runs: Path) -> None:
    first = registry.rebuild(str(runs))
    assert (first.models_added, first.models_removed) == (2, 0)
    shutil.rmtree(runs / "run_a")
    second = registry.rebuild(str(runs))
    assert (second.models_added, second.models_removed) == (0, 0)
    assert registry.get(SHARED_MODEL).location == str(runs / "run_b")
    shutil.rmtree(runs / "run_b")
    third = registry.rebuild(str(runs))
    assert (third.models_added, third.models_removed) == (0, 1)
    assert SHARED_MODEL not in _ids(registry, type="model")


def test_hostile_texts_are_registered(registry: Registry, tmp_path: Path) -> None:
    root = write_runs(
        tmp_path / "runs",
        spec("run_a", title="a\u202eb \"quoted\" 'and' \\ % _ 🙂"),
    )
    (root / "run_a" / "spec.yaml").write_text(
        '# \x1b[2Jfirst\nmetadata:\n  title: "x\\0y"\n  tags: [a, b, {c: d}, [e]]\n'
        "grid: {bins: 4}\nnodes: []\n"
    )
    registry.rebuild(str(root))
    run = registry.get("run_a")
    assert run.title == "x y"
    assert {"a", "b"} <= set(run.tags)
    assert registry.list(type="run", search="\x00").total == 1  # passed over
    with pytest.raises(ConfigError):
        registry.tag("run_a", "a\nb")
    with pytest.raises(ConfigError):
        registry.tag("run_a", "\ud800")
    with pytest.raises(UnknownArtifactError):
        registry.get("\x00\ud800")


def test_nothing_is_forgotten_where_listing_fails(registry: Registry, runs: Path) -> None:
    registry.rebuild(str(runs))
    shutil.rmtree(runs)
    with pytest.raises(StorageError):
        registry.rebuild(str(runs))
    assert registry.list(type="run").total == 3
    assert len(registry.rebuild().problems) == 1


def test_whatever_fails_while_records_are_written_ends_a_rebuild(
    registry: Registry, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rebuild, "register", fail)
    with pytest.raises(ZeroDivisionError):
        registry.rebuild(str(runs))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://x/y",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite://host/x.db",
        "sqlite:///x.db?timeout=abc",
        "sqlite:///a\0b",
        "registry",
        "postgresql+psycopg2://x/y",
        None,
    ],
)
def test_urls_that_are_none_are_refused(url: Any) -> None:
    with pytest.raises(ConfigError, match="sqlite:///FILE"):
        Registry(url)


def test_passwords_are_not_shown() -> None:
    with pytest.raises(StorageError) as caught:
        Registry("postgresql+psycopg://me:hunter22@127.0.0.1:1/db")
    assert "hunter22" not in str(caught.value)


def test_a_file_may_have_any_name(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "a?b#c%41 d.db"
    with open_registry(file) as registry:
        assert registry.rebuild(str(runs)).added == 3
    assert file.is_file()


def test_a_schema_that_is_not_known_is_refused(registry_url: str) -> None:
    with open_registry(registry_url) as registry, registry.database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(RegistryError, match=r"its schema is 0999.*install the version"):
        open_registry(registry_url)


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE pets (name)")
    with pytest.raises(RegistryError, match="something else, with a table pets"):
        open_registry(file)
    with closing(sqlite3.connect(file)) as other:
        found = other.execute("SELECT name FROM sqlite_master").fetchall()
    assert found == [("pets",)]


def test_a_full_disk_is_said_and_takes_nothing_away(runs: Path, tmp_path: Path) -> None:
    with open_registry(tmp_path / "registry.db") as registry:
        registry.rebuild(str(runs))
        registry.tag("run_a", "before")
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            with pytest.raises(RegistryError, match="room on its disk"):
                registry.tag("run_a", "during")
            assert "before" in registry.get("run_a").tags
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert "after" in registry.tag("run_a", "after").tags


def test_a_journal_that_cannot_be_read_is_not_passed_over(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    with open_registry(file) as registry:
        registry.rebuild(str(runs))
        registry.tag("run_a", "keep")
    for left in tmp_path.glob("registry.db*"):
        left.unlink()
    journal = tmp_path / "registry-user-data.jsonl"
    journal.rename(tmp_path / "aside")
    journal.mkdir()
    for _ in range(2):
        with pytest.raises(RegistryError, match="cannot be read"):
            open_registry(file)
    journal.rmdir()
    (tmp_path / "aside").rename(journal)
    with open_registry(file) as registry:
        registry.rebuild(str(runs))
        assert "keep" in registry.get("run_a").tags
