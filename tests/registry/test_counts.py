"""Numbers of what matches: exact where counting is quick, else how many there are at least."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select

from benchmarks.registry_load import records
from pipeline.registry.database.statements import is_among
from pipeline.registry.database.tables import artifact
from pipeline.registry.queries import conditions, facet_cache
from pipeline.registry.queries.facet_cache import FacetCache
from pipeline.registry.queries.query import ArtifactQuery
from pipeline.registry.registry import Registry

RUNS = 30


@pytest.fixture
def filled(registry: Registry) -> Registry:
    registry.add([*records(RUNS)])
    return registry


@pytest.mark.parametrize(
    "more", [{}, {"type": "run"}, {"min_size": 10_010}, {"full_text": "checkout"}], ids=str
)
def test_a_text_that_many_hold_is_counted_in_part(
    filled: Registry, monkeypatch: pytest.MonkeyPatch, more: dict[str, object]
) -> None:
    exact = filled.list(search="hour by hour", limit=4, **more)
    assert exact.total_is_exact
    assert exact.total >= 20
    filled.archive("run_20250101T000000Z_00000001")  # another state of the registry
    expected = exact.total - ("min_size" not in more)
    monkeypatch.setattr(conditions, "MOST_COUNTED", 10)
    page = filled.list(search="hour by hour", limit=4, facets=True, **more)
    assert not page.total_is_exact
    assert 5 <= page.total <= expected
    assert page.facets is None
    seen = [one.id for one in page.artifacts]
    while page.next_cursor is not None:
        page = filled.list(search="hour by hour", limit=4, cursor=page.next_cursor, **more)
        seen += [one.id for one in page.artifacts]
    assert len(seen) == len(set(seen)) == expected


def test_the_last_page_is_no_less_than_the_total(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "MOST_COUNTED", 3)
    page = filled.list(search="checkout", skip=20, limit=10)
    assert page.total == RUNS + 1  # a model is described by its runs
    assert not page.total_is_exact


def test_a_rare_text_is_counted_exactly(filled: Registry) -> None:
    page = filled.list(search="at load 7", facets=True)
    assert (page.total, page.total_is_exact) == (1, True)
    assert page.facets is not None
    assert page.facets["type"] == {"run": 1}


def wait_for(cache: FacetCache, query: ArtifactQuery, number: int) -> None:
    until = time.monotonic() + 10
    while (found := cache.facets(query, None)) is None or found["type"]["run"] != number:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_facets_that_take_long_are_counted_in_the_background(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, query = FacetCache(filled.database), ArtifactQuery()
    monkeypatch.setattr(facet_cache, "_SOON", -1.0)  # as if they took long
    monkeypatch.setattr(facet_cache, "_FRESH", -1.0)
    assert cache.facets(query, None)["type"]["run"] == RUNS  # type: ignore[index]
    filled.add([*records(1, first=RUNS + 1)])
    assert cache.facets(query, None)["type"]["run"] == RUNS  # type: ignore[index]
    wait_for(cache, query, RUNS + 1)


def test_facets_that_a_list_cannot_wait_for_are_there_the_next_time(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, query = FacetCache(filled.database), ArtifactQuery()
    counted = facet_cache.facets_of
    limits: list[float] = []

    def slow(connection: object, wanted: object, total: int | None) -> object:
        if not limits:
            limits.append(0.0)
            raise facet_cache.RegistryTimeoutError("too slow")
        return counted(connection, wanted, total)  # type: ignore[arg-type]

    monkeypatch.setattr(facet_cache, "facets_of", slow)
    assert cache.facets(query, None) is None
    wait_for(cache, query, RUNS)
    assert len(limits) == 1  # no list waited a second time


def test_people_see_at_once_what_they_have_changed(
    filled: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facet_cache, "_SOON", -1.0)
    assert "gold" not in filled.list(facets=True).facets["tags"]  # type: ignore[index]
    filled.tag("run_20250101T000000Z_00000002", "gold")
    assert filled.list(facets=True).facets["tags"]["gold"] == 1  # type: ignore[index]


def test_ids_by_the_thousand_are_one_parameter(filled: Registry) -> None:
    run = filled.list(type="run", limit=1).artifacts[0]
    related = filled.list(related_to=run.id)
    assert related.total >= 3
    assert related.total_is_exact
    with filled.database.reading() as connection:
        among = is_among(connection, artifact.c.key, [run.key, *range(70_000)])
        assert len(among.compile(connection.engine).params) == 1
        assert connection.execute(select(artifact.c.id).where(among)).scalars().all() == [run.id]
