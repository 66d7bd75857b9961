"""Lists of artifacts: a page in order, how many match, and facets, each in bounded time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, or_, select, tuple_

from pipeline.registry import search_text
from pipeline.registry.artifact import Artifact, microseconds
from pipeline.registry.loading import artifacts
from pipeline.registry.query import ArtifactQuery, Cursor
from pipeline.registry.relationships import related_keys
from pipeline.registry.run_records import model_id
from pipeline.registry.tables import artifact, shape_term, user_data, user_tag

_SORTED = {
    "created": artifact.c.created,
    "id": artifact.c.id,
    "title": artifact.c.title,
    "size": artifact.c.size,
    "modified": artifact.c.modified,
}
_DENSE = 20
"""Where one of so many artifacts matches a text, looking at them in order finds a page sooner."""

_KEPT_COUNTS = 256


@dataclass(frozen=True)
class ArtifactPage:
    """A page of a list.

    Attributes:
        artifacts: The artifacts, in order.
        total: How many match in all.
        next_cursor: Leads to the next page; None on the last one.
        facets: Values of some fields with how often they occur, where they were asked for; None
            where counting takes too long.
        has_facets: Whether they were asked for.
    """

    artifacts: tuple[Artifact, ...]
    total: int
    next_cursor: str | None
    facets: Mapping[str, Mapping[str, int]] | None = None
    has_facets: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as FlowTime's clients know it, with the cursor and the facets."""
        shown: dict[str, Any] = {
            "artifacts": [one.as_json() for one in self.artifacts],
            "total": self.total,
            "count": len(self.artifacts),
            "nextCursor": self.next_cursor,
        }
        return shown if not self.has_facets else {**shown, "facets": self.facets}


@dataclass
class CountCache:
    """Numbers that are known as long as the registry is not changed."""

    _known: OrderedDict[tuple[Any, ...], Any] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: tuple[Any, ...]) -> Any:
        """Return what was put under a key, or None."""
        with self._lock:
            return self._known.get(key)

    def put(self, key: tuple[Any, ...], value: Any) -> None:
        """Keep a value, and forget the oldest where there are too many."""
        with self._lock:
            self._known[key] = value
            while len(self._known) > _KEPT_COUNTS:
                self._known.popitem(last=False)


def conditions_of(connection: Connection, query: ArtifactQuery) -> list[ColumnElement[bool]]:
    """Return the conditions of a query, its texts apart."""
    columns = artifact.c
    found: list[ColumnElement[bool]] = [columns.state == (query.state or "complete")]
    if not query.include_archived:
        found.append(columns.archived.is_(False))
    if query.types:
        found.append(columns.type.in_(query.types))
    if query.created_after is not None:
        found.append(columns.created >= microseconds(query.created_after))
    if query.created_before is not None:
        found.append(columns.created <= microseconds(query.created_before))
        found.append(columns.created != 0)
    if query.min_size is not None:
        found.append(columns.size >= query.min_size)
    if query.max_size is not None:
        found.append(columns.size <= query.max_size)
    for column, value in (
        (columns.template_id, query.template_id),
        (columns.model_id, _model_id(query.model_id)),
        (columns.source, query.source),
    ):
        if value:
            found.append(column == value)
    for kind, value in (
        ("component", query.component),
        ("measure", query.measure),
        ("class", query.class_name),
    ):
        if value:
            found.append(columns.shape.in_(_shapes(kind, [value])))
    if query.day:
        found.append(_on_day(query.day))
    if query.pinned is not None:
        found.append(columns.pinned.is_(query.pinned))
    if query.owner:
        owned = select(user_data.c.key).where(user_data.c.owner == query.owner)
        found.append(columns.key.in_(owned))
    if query.tags:
        found.append(_tagged(query.tags))
    if query.related_to:
        found.append(columns.key.in_(related_keys(connection, query.related_to)))
    return found


def all_conditions(connection: Connection, query: ArtifactQuery) -> list[ColumnElement[bool]]:
    """Return the conditions of a query, its texts among them."""
    return [*conditions_of(connection, query), *_exact(connection, query)]


def page_of(
    connection: Connection, query: ArtifactQuery, counts: CountCache, revision: int
) -> ArtifactPage:
    """Return a page of a list, without its facets.

    Args:
        connection: A connection; how long it may take bounds the queries.
        query: What is asked.
        counts: Numbers of matches that are known.
        revision: Which state of the registry they are known for.
    """
    conditions = conditions_of(connection, query)
    texts = _texts(connection, query, counts, revision)
    total = _total(connection, query, [*conditions, *texts.exact], counts, revision)
    column = _SORTED[query.sort_by]
    wanted = select(artifact.c.key, column.label("value"), artifact.c.id.label("last"))
    wanted = wanted.where(*conditions, *texts.for_page(total))
    if query.cursor is not None:
        place = tuple_(column, artifact.c.id)
        last = tuple_(query.cursor.value, query.cursor.id)
        wanted = wanted.where(place < last if query.order == "desc" else place > last)
    wanted = _ordered(wanted, column, query).offset(query.skip).limit(query.limit + 1)
    rows = connection.execute(wanted).all()
    shown, has_more = rows[: query.limit], len(rows) > query.limit
    cursor = None
    if has_more:
        cursor = Cursor(query.sort_by, query.order, shown[-1].value, shown[-1].last).as_text()
    return ArtifactPage(tuple(artifacts(connection, [row.key for row in shown])), total, cursor)


@dataclass(frozen=True)
class _TextConditions:
    """The texts of a query as conditions: one form to count by, one to find the first by."""

    exact: Sequence[ColumnElement[bool]]
    probing: Sequence[ColumnElement[bool]]
    artifacts: int

    def for_page(self, total: int) -> Sequence[ColumnElement[bool]]:
        is_dense = total * _DENSE > self.artifacts
        return self.probing if is_dense else self.exact


def _texts(
    connection: Connection, query: ArtifactQuery, counts: CountCache, revision: int
) -> _TextConditions:
    given = _given(query)
    exact = _exact(connection, query)
    if connection.dialect.name != "sqlite" or not given:
        return _TextConditions(exact, exact, 0)  # PostgreSQL's planner knows what is rare
    probing = [
        search_text.holds(connection, text, everywhere=everywhere) for text, everywhere in given
    ]
    known = counts.get(("all", revision))
    if known is None:
        known = connection.execute(select(func.count()).select_from(artifact)).scalar_one()
        counts.put(("all", revision), known)
    return _TextConditions(exact, probing, known)


def _given(query: ArtifactQuery) -> list[tuple[str, bool]]:
    """Return the texts that are looked for, each with whether it is looked for everywhere."""
    wanted = [(query.search, False), (query.full_text, True)]
    return [(text, everywhere) for text, everywhere in wanted if text]


def _exact(connection: Connection, query: ArtifactQuery) -> list[ColumnElement[bool]]:
    return [
        artifact.c.key.in_(search_text.keys_with(connection, text, everywhere=everywhere))
        for text, everywhere in _given(query)
    ]


def _total(
    connection: Connection,
    query: ArtifactQuery,
    conditions: Sequence[ColumnElement[bool]],
    counts: CountCache,
    revision: int,
) -> int:
    key = ("total", revision, *query.conditions)
    known = counts.get(key)
    if known is None:
        counting = select(func.count()).select_from(artifact).where(*conditions)
        known = connection.execute(counting).scalar_one()
        counts.put(key, known)
    return int(known)


def _ordered(wanted: Select[Any], column: ColumnElement[Any], query: ArtifactQuery) -> Select[Any]:
    keys = [column] if query.sort_by == "id" else [column, artifact.c.id]
    return wanted.order_by(*(k.desc() if query.order == "desc" else k.asc() for k in keys))


def _model_id(wanted: str) -> str:
    return wanted if not wanted or wanted.startswith("model_") else model_id(wanted)


def _shapes(kind: str, values: Sequence[str]) -> Select[Any]:
    return select(shape_term.c.shape).where(
        shape_term.c.kind == kind, shape_term.c.value.in_(values)
    )


def _tagged(tags: Sequence[str]) -> ColumnElement[bool]:
    by_user = select(user_tag.c.key).where(user_tag.c.tag.in_(tags), user_tag.c.removed.is_(False))
    automatic = artifact.c.shape.in_(_shapes("tag", tags))
    removed = select(user_tag.c.key).where(user_tag.c.tag.in_(tags), user_tag.c.removed.is_(True))
    # With several tags an artifact may have lost one and still have another: that is looked at.
    return or_(
        artifact.c.key.in_(by_user),
        and_(automatic, artifact.c.key.not_in(removed)),
        and_(artifact.c.key.in_(removed), _keeps_one(tags)),
    )


def _keeps_one(tags: Sequence[str]) -> ColumnElement[bool]:
    lost = select(user_tag.c.tag).where(
        user_tag.c.key == artifact.c.key, user_tag.c.removed.is_(True)
    )
    return (
        select(shape_term.c.shape)
        .where(
            shape_term.c.shape == artifact.c.shape,
            shape_term.c.kind == "tag",
            shape_term.c.value.in_(tags),
            shape_term.c.value.not_in(lost),
        )
        .correlate(artifact)
        .exists()
    )


def _on_day(text: str) -> ColumnElement[bool]:
    try:
        start = datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)
        end = start + timedelta(days=1)
    except (ValueError, OverflowError):
        return false()
    return and_(artifact.c.created >= microseconds(start), artifact.c.created < microseconds(end))
