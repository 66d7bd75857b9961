"""The list of runs gives what a plain model in Python gives, whatever the runs and questions."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.registry.records.artifact import (
    STATES,
    ArtifactRecord,
    ArtifactState,
    mark_of,
)
from pipeline.registry.register import remove
from pipeline.registry.registry import Registry, open_registry
from pipeline.registry.run_list.damage import RunDamage
from pipeline.registry.run_list.listed_run import ListedRun
from pipeline.registry.run_list.run_list import ListedRuns
from pipeline.registry.run_list.run_list_query import RunListQuery, RunSort
from tests.exporting import spec, write_runs

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
LETTERS = 'abAB1_%/"~.ß\u017f\u212a\u0130\u03c3\u03c2\u4e2d\u0301'
ROOTS = itertools.count()


@dataclass(frozen=True)
class Made:
    """A run of the model."""

    path: str
    run_id: str
    state: ArtifactState
    reason: str | None
    created: datetime | None
    source: str | None
    title: str | None
    series: int
    bins: int
    warnings: int
    version: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_readable(self) -> bool:
        return self.state == "complete"

    @property
    def own_id(self) -> str:
        return self.run_id if self.is_readable else self.name

    @property
    def fingerprint(self) -> str:
        return f"{self.version:064x}"

    def record(self, root: str) -> ArtifactRecord:
        place = f"{root}/{self.path}"
        facts = {"source": self.source, "modelTitle": self.title}
        if not self.is_readable:
            return ArtifactRecord(
                type="run",
                name=self.name,
                mark=mark_of(place),
                location=place,
                title=self.name,
                state=self.state,
                reason=self.reason,
                listing=f"{self.state}-{mark_of(self.reason or '')}",
            )
        return ArtifactRecord(
            type="run",
            name=self.run_id,
            mark=mark_of(place),
            location=place,
            title=self.title or "",
            created=self.created,
            source=self.source,
            digest=f"sha256:{self.fingerprint}",
            listing=f"listing {self.version}",
            series=self.series,
            rows=self.series * self.bins,
            warnings=self.warnings,
            metadata={k: v for k, v in facts.items() if v is not None}
            | {"bins": self.bins, "binMinutes": 5, "seriesBytes": 10 * self.series},
        )


@dataclass(frozen=True)
class Shown:
    """A run of the model as its list shows it."""

    made: Made
    key: str
    state: ArtifactState
    reason: str | None

    @property
    def text(self) -> str:
        made = self.made
        texts = [made.own_id, made.name, made.path, made.reason]
        if made.is_readable:
            texts = [made.own_id, made.name, made.path, made.source, made.title]
        marked = self.key.removeprefix(made.own_id)
        return "\n".join(text for text in [*texts, marked] if text).casefold()

    @property
    def created(self) -> datetime:
        moment = self.made.created if self.made.is_readable else None
        return moment or datetime.min.replace(tzinfo=UTC)


def shown(runs: Sequence[Made], root: str, damage: RunDamage) -> list[Shown]:
    """The list of the model, the newest first."""
    readable = Counter(one.own_id for one in runs if one.is_readable)
    others = Counter(one.own_id for one in runs if not one.is_readable)
    found = []
    for one in runs:
        name = one.own_id
        if one.is_readable:
            is_plain = readable[name] == 1
        else:
            is_plain = readable[name] == 0 and others[name] == 1
        key = name if is_plain else f"{name}~{mark_of(f'{root}/{one.path}')}"
        state, reason = one.state, one.reason if not one.is_readable else None
        version, why = damage.get(one.path, ("", ""))
        if one.is_readable and version == f"{one.fingerprint} listing {one.version}":
            state, reason = "broken", why
        found.append(Shown(one, key, state, reason))
    by_key = sorted(found, key=lambda one: one.key)
    return sorted(by_key, key=lambda one: one.created, reverse=True)


def matching(listed: Sequence[Shown], query: RunListQuery) -> list[Shown]:
    """What matches in any state, in order."""
    found = [
        one
        for one in listed
        if all(word in one.text for word in query.search.casefold().split())
        and (query.source is None or (one.made.is_readable and one.made.source == query.source))
        and (
            query.has_warnings is None
            or (one.made.is_readable and one.made.warnings > 0) == query.has_warnings
        )
        and _is_within(one, query)
    ]
    by_key = sorted(found, key=lambda one: one.key)
    orders: dict[str, Callable[[Shown], Any]] = {
        "created": lambda one: one.created,
        "id": lambda one: one.key,
        "series": lambda one: one.made.series if one.made.is_readable else 0,
        "rows": lambda one: one.made.series * one.made.bins if one.made.is_readable else 0,
    }
    order = orders[query.sort.removeprefix("-")]
    return sorted(by_key, key=order, reverse=query.sort.startswith("-"))


def _is_within(one: Shown, query: RunListQuery) -> bool:
    if query.created_from is None and query.created_to is None:
        return True
    if not one.made.is_readable or one.made.created is None:
        return False
    start, end = query.created_from, query.created_to
    return (start is None or one.created >= start) and (end is None or one.created < end)


names = st.text(LETTERS.replace("/", "").replace("\u0301", ""), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..") and name.isprintable()
)
titles = st.text(LETTERS, max_size=8)
moments = st.integers(-3, 3).map(lambda days: NOON + timedelta(days=days))
runs = st.builds(
    Made,
    path=st.one_of(names, st.tuples(names, names).map("/".join)),
    run_id=names,
    state=st.sampled_from(("complete", "complete", "complete", *STATES)),
    reason=titles,
    created=st.none() | moments,
    source=st.none() | st.sampled_from(["engine", "sim", "Straße"]),
    title=st.none() | titles,
    series=st.integers(0, 3),
    bins=st.integers(1, 3),
    warnings=st.integers(0, 2),
    version=st.integers(0, 3),
)
lists = st.lists(runs, max_size=12, unique_by=lambda one: one.path)
words = st.lists(st.text(LETTERS, min_size=1, max_size=4), max_size=2).map(" ".join)
queries = st.builds(
    RunListQuery,
    search=words,
    sort=st.sampled_from(get_args(RunSort)),
    state=st.none() | st.sampled_from(STATES),
    source=st.none() | st.sampled_from(["engine", "sim", "Straße", ""]),
    created_from=st.none() | moments,
    created_to=st.none() | moments,
    has_warnings=st.none() | st.booleans(),
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with open_registry(tmp_path_factory.mktemp("list") / "registry.db") as opened:
        yield opened


def entered(registry: Registry, root: str, before: Sequence[Made], now: Sequence[Made]) -> None:
    """Have the registry know the runs of now instead of those of before."""
    gone = {one.path for one in before} - {one.path for one in now}
    with registry.database.writing() as connection:
        remove(connection, [one.record(root).key for one in before if one.path in gone])
    registry.add([one.record(root) for one in now])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first=lists,
    second=lists,
    damaged=st.dictionaries(names, st.integers(0, 3), max_size=4),
    asked=st.lists(queries, min_size=1, max_size=5),
    size=st.integers(1, 4),
)
def test_it_is_the_model(
    registry: Registry,
    first: list[Made],
    second: list[Made],
    damaged: dict[str, int],
    asked: list[RunListQuery],
    size: int,
) -> None:
    root = f"/runs/{next(ROOTS)}"
    runs = ListedRuns(registry.database, root)
    damage = {path: (f"{v:064x} listing {v}", "torn") for path, v in damaged.items()}
    damage |= {one.path: (f"{one.fingerprint} listing {one.version}", "torn") for one in first[:2]}
    before: Sequence[Made] = ()
    for made, harm in ((first, {}), (second, damage), (second, {})):
        entered(registry, root, before, made)
        before = made
        whole = runs.update(harm)
        listed = shown(made, root, harm)
        assert whole.total == len(made)
        assert whole.readable == sum(one.is_readable for one in made)
        assert runs.update(harm) == whole  # nothing has changed since
        for query in asked:
            _check_pages(runs, listed, query, size)
        _check_lookups(runs, listed)


def _check_pages(runs: ListedRuns, listed: list[Shown], query: RunListQuery, size: int) -> None:
    found = matching(listed, query)
    states = Counter(one.state for one in found)
    in_state = [one for one in found if query.state in (None, one.state)]
    sources = {one.made.source for one in listed if one.made.is_readable and one.made.source}
    for number in range(1, len(in_state) // size + 2):
        page = runs.page(query, number, size)
        wanted = in_state[(number - 1) * size : number * size]
        assert [_seen(one) for one in page.runs] == [_wanted(one) for one in wanted]
        assert (page.total, dict(page.states)) == (len(in_state), dict(states))
        assert page.sources == tuple(sorted(sources))


def _seen(one: ListedRun) -> tuple[Any, ...]:
    size = (one.series, one.rows, one.bytes, one.bins, one.warnings)
    return (
        one.key,
        one.run_id,
        one.name,
        one.path,
        one.state,
        one.reason or None,
        one.created,
        size,
    )


def _wanted(one: Shown) -> tuple[Any, ...]:
    made, is_readable = one.made, one.made.is_readable
    size = (made.series, made.series * made.bins, 10 * made.series, made.bins, made.warnings)
    created = made.created if is_readable else None
    names = (one.key, made.own_id, made.name, made.path)
    return (*names, one.state, one.reason or None, created, size if is_readable else (0,) * 5)


def _check_lookups(runs: ListedRuns, listed: list[Shown]) -> None:
    for one in listed:
        assert [found.path for found in runs.find(one.key)] == [one.made.path]
        at = runs.at(one.made.path)
        assert at is not None
        assert at.key == one.key
    keys = {one.key for one in listed}
    for name in {name for one in listed for name in (one.made.own_id, one.made.name)} - keys:
        having = [one.key for one in listed if name in (one.made.own_id, one.made.name)]
        assert [found.key for found in runs.find(name)] == having
    readable = [one for one in listed if one.made.is_readable]
    past = [one for one in readable if one.created <= NOON]
    newest = past[0] if past else readable[-1] if readable else None
    found = runs.newest(NOON)
    assert (found and found.key) == (newest and newest.key)
    paths = [one.made.path for one in listed]
    incomplete = {one.made.path for one in listed if one.state == "incomplete"}
    assert runs.incomplete([*paths, "elsewhere"]) == incomplete
    versions = {one.path: one.fingerprint for some in runs.readable() for one in some}
    assert versions == {one.made.path: one.made.fingerprint for one in readable}


@pytest.mark.parametrize("name", ["nothing", "", "\x00", "\ud800", "%", "a/../b"])
def test_unknown_names_find_nothing(registry: Registry, name: str) -> None:
    runs = ListedRuns(registry.database, "/nowhere")
    runs.update({})
    assert runs.find(name) == []
    assert runs.at(name) is None
    assert runs.page(RunListQuery(search=name or "\x00"), 1, 10).runs == ()
    assert runs.page(RunListQuery(source=name), 1, 10).runs == ()


def test_many_matches_are_ordered_and_counted_as_few(tmp_path: Path) -> None:
    """Many matches take another way to be found than few."""
    made = [
        Made(f"run_{n:05}", f"id {n % 7} {n:05}", "complete", None, NOON + timedelta(n % 11),
             "engine", f"title {n % 13}", n % 5, n % 3 + 1, n % 2, 0)
        for n in range(2_600)
    ]  # fmt: skip
    with open_registry(tmp_path / "registry.db") as registry:
        entered(registry, "/many", (), made)
        runs = ListedRuns(registry.database, "/many")
        runs.update({})
        listed = shown(made, "/many", {})
        for sort, search in itertools.product(get_args(RunSort), ("title", "title id", "t d", "1")):
            query = RunListQuery(search=search, sort=sort)
            found = matching(listed, query)
            for number in (1, 3, 52):
                page = runs.page(query, number, 50)
                wanted = [one.key for one in found[(number - 1) * 50 : number * 50]]
                assert [one.key for one in page.runs] == wanted, (sort, search, number)
                assert page.total == len(found)


def test_another_folder_has_another_list(registry: Registry) -> None:
    made = [
        Made("a/run_1", "x", "complete", None, NOON, "engine", None, 1, 1, 0, 0),
        Made("b/run_1", "x", "complete", None, NOON, "engine", None, 1, 1, 0, 0),
    ]
    entered(registry, "/both", (), made)
    both = ListedRuns(registry.database, "/both")
    assert both.update({}).total == 2
    keys = {f"x~{mark_of('/both/a/run_1')}", f"x~{mark_of('/both/b/run_1')}"}
    assert {one.key for one in both.find("run_1")} == keys
    alone = ListedRuns(registry.database, "/both/a/")
    assert alone.update({}).total == 1
    (one,) = alone.find("x")
    assert (one.key, one.path) == ("x", "run_1")
    itself = ListedRuns(registry.database, "/both/a/run_1")
    itself.update({})
    assert [one.path for one in itself.find("x")] == ["."]


def test_a_registry_of_the_first_schema_gets_its_list(tmp_path: Path) -> None:
    folder = write_runs(tmp_path / "runs", spec("run_a"), spec("run_b"))
    file = tmp_path / "registry.db"
    with open_registry(file) as registry:
        registry.rebuild(str(folder))
        registry.tag("run_a", "kept")
    with closing(sqlite3.connect(file)) as old:
        old.executescript(
            "DROP TABLE listed_run_text; DROP TABLE listed_run; DROP TABLE listed_run_detail;"
            "DELETE FROM state WHERE name = 'listed_runs'; DELETE FROM document;"
            "UPDATE detail SET metadata = json_remove(metadata, '$.seriesBytes');"
            "UPDATE alembic_version SET version_num = '0001';"
        )
    with open_registry(file) as registry:
        runs = ListedRuns(registry.database, str(folder))
        assert registry.rebuild(str(folder)).added == 2
        assert runs.update({}).readable == 2
        page = runs.page(RunListQuery(sort="id"), 1, 10)
        for one in page.runs:
            size = sum(path.stat().st_size for path in (folder / one.path).glob("series/*.csv"))
            assert one.bytes == size
            whole = runs.whole(one, f"{folder}/{one.path}")
            assert whole is not None
            assert sum(whole.series.sizes()) == size
        assert "kept" in registry.get("run_a").tags
        assert registry.rebuild(str(folder)).added == 0


def test_no_run_takes_the_id_that_another_has_by_its_mark(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    evil = f"same~{mark_of(str(folder / 'one'))}"
    write_runs(folder, spec("one", run_id="same"), spec("evil", run_id=evil))
    with open_registry(tmp_path / "registry.db") as registry:
        runs = ListedRuns(registry.database, str(folder))
        registry.rebuild(str(folder))
        runs.update({})
        assert runs.find("same")[0].name == "one"
        write_runs(folder, spec("two", run_id="same"))
        registry.rebuild(str(folder))
        runs.update({})
        listed = runs.page(RunListQuery(sort="id"), 1, 10).runs
        assert len({one.key for one in listed}) == 3
        assert {one.key for one in listed} == {
            one.id for one in registry.list(type="run").artifacts
        }
        assert [one.name for one in runs.find(evil)] == ["one"]
