"""List artifacts: a page in order, and how many match, each in bounded time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, tuple_

from pipeline.errors import RegistryTimeoutError
from pipeline.registry.database.connection import Database
from pipeline.registry.database.search_text import TRIGRAM
from pipeline.registry.database.tables import artifact
from pipeline.registry.queries.conditions import Conditions, conditions_of
from pipeline.registry.queries.loading import artifacts
from pipeline.registry.queries.query import ArtifactQuery, Cursor
from pipeline.registry.records.artifact import Artifact

COUNT_SECONDS = 0.25
"""How long counting all that match may take; after that a list says how many there are at least."""

SHORT_TEXT_COUNT_SECONDS = 0.03
"""The same where all texts have to be looked at, as for one of two letters."""

_KEPT_COUNTS = 256
_SORTED = {
    "created": artifact.c.created,
    "id": artifact.c.id,
    "title": artifact.c.title,
    "size": artifact.c.size,
    "modified": artifact.c.modified,
}


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
        total_is_exact: Whether `total` is all that match; else counting took too long, and it is
            how many there are at least.
    """

    artifacts: tuple[Artifact, ...]
    total: int
    next_cursor: str | None
    facets: Mapping[str, Mapping[str, int]] | None = None
    has_facets: bool = False
    total_is_exact: bool = True

    def as_json(self) -> dict[str, Any]:
        """Return it as FlowTime's clients know it, with the cursor and the facets."""
        shown: dict[str, Any] = {
            "artifacts": [one.as_json() for one in self.artifacts],
            "total": self.total,
            "totalIsExact": self.total_is_exact,
            "count": len(self.artifacts),
            "nextCursor": self.next_cursor,
        }
        return shown if not self.has_facets else {**shown, "facets": self.facets}


@dataclass
class CountCache:
    """What was found out, and holds as long as the registry is not changed."""

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


def page_of(
    database: Database,
    connection: Connection,
    query: ArtifactQuery,
    counts: CountCache,
) -> ArtifactPage:
    """Return a page of a list, without its facets.

    Args:
        database: The database.
        connection: A connection to it; how long it may take bounds the queries.
        query: What is asked.
        counts: Numbers of matches that are known.
    """
    conditions = conditions_of(connection, query)
    column = _SORTED[query.sort_by]
    wanted = select(artifact.c.key, column.label("value"), artifact.c.id.label("last"))
    wanted = wanted.where(*conditions.to_find)
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
    found = artifacts(connection, [row.key for row in shown])
    total, is_exact = _total(database, connection, query, conditions, counts)
    return ArtifactPage(
        artifacts=tuple(found),
        total=total if is_exact else max(total, query.skip + len(rows)),
        next_cursor=cursor,
        total_is_exact=is_exact,
    )


def _total(
    database: Database,
    connection: Connection,
    query: ArtifactQuery,
    conditions: Conditions,
    counts: CountCache,
) -> tuple[int, bool]:
    """Return how many artifacts match, or how many there are at least, and which of both it is."""
    key = ("total", database.revision(connection), *query.conditions)
    known = counts.get(key)
    if known is None:
        texts = [text for text in (query.search, query.full_text) if text]
        is_short = any(len(text) < TRIGRAM for text in texts)
        seconds = SHORT_TEXT_COUNT_SECONDS if is_short else COUNT_SECONDS
        try:
            with database.bounded(connection, seconds):
                known = _counted(connection, conditions)
        except RegistryTimeoutError:
            known = (0, False)
        counts.put(key, known)
    total, is_exact = known
    return int(total), bool(is_exact)


def _counted(connection: Connection, conditions: Conditions) -> tuple[int, bool]:
    is_exact = conditions.to_sample is None
    wanted = conditions.to_count if conditions.to_sample is None else conditions.to_sample
    counting = select(func.count()).select_from(artifact).where(*wanted)
    return int(connection.execute(counting).scalar_one()), is_exact


def _ordered(wanted: Select[Any], column: ColumnElement[Any], query: ArtifactQuery) -> Select[Any]:
    keys = [column] if query.sort_by == "id" else [column, artifact.c.id]
    return wanted.order_by(*(k.desc() if query.order == "desc" else k.asc() for k in keys))
