"""Keep facets that take long to count, and count them again in the background."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from pipeline.errors import RegistryError, RegistryTimeoutError
from pipeline.logs import LOGGER
from pipeline.registry.database.connection import Database
from pipeline.registry.queries.conditions import conditions_of
from pipeline.registry.queries.facets import Facets, facets_of
from pipeline.registry.queries.query import ArtifactQuery

FACET_SECONDS = 0.2
"""How long a list waits for its facets; after that it comes without them."""

THREAD_SECONDS = 10.0
"""How long counting on a thread may take."""

_SOON = 0.025
"""Seconds in which facets are counted anew for each list that has changed."""

_FRESH = 2.0
_OLDEST = 30.0
_KEPT = 256


@dataclass(frozen=True, slots=True)
class _Counted:
    facets: Facets
    revision: int
    at: float
    seconds: float


class FacetCache:
    """Facets of queries, as they are or as they were a moment ago.

    What is counted soon is counted whenever the registry has changed. What takes longer may be as
    old as half a minute while it is counted again on a thread.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[Any, ...], _Counted] = OrderedDict()
        self._lock = threading.Lock()
        self._counting: tuple[Any, ...] | None = None

    def forget(self) -> None:
        """Forget all facets: people expect to see what they have just changed."""
        with self._lock:
            self._known.clear()

    def facets(self, query: ArtifactQuery, total: int | None) -> Facets | None:
        """Return the facets of what a query finds; None where counting takes too long.

        Args:
            query: The query.
            total: How many artifacts it finds, where that is known exactly.

        Raises:
            RegistryError: The database failed.
        """
        if total is None and (query.search or query.full_text):
            return None  # so many hold the text that they were not even counted
        with self._lock:
            known = self._known.get(query.conditions)
            is_coming = self._counting == query.conditions
        if known is None:
            return None if is_coming else self._counted_in_time(query, total)
        age = time.monotonic() - known.at
        if known.seconds < _SOON or age > _OLDEST:
            return known.facets if self._holds(known) else self._counted_in_time(query, total)
        if age > _FRESH:
            self._count_later(query, total)
        return known.facets

    def _holds(self, known: _Counted) -> bool:
        """Return whether the registry is as it was, or too busy to say what has changed."""
        try:
            with self._database.reading(FACET_SECONDS) as connection:
                return self._database.revision(connection) == known.revision
        except RegistryTimeoutError:
            return True

    def _counted_in_time(self, query: ArtifactQuery, total: int | None) -> Facets | None:
        try:
            return self._counted(query, total, FACET_SECONDS)
        except RegistryTimeoutError:
            self._count_later(query, total)
            return None

    def _counted(self, query: ArtifactQuery, total: int | None, seconds: float) -> Facets:
        began = time.monotonic()
        with self._database.reading(seconds) as connection:
            revision = self._database.revision(connection)
            conditions = conditions_of(connection, query)
            found = facets_of(connection, conditions.to_count, total)
        now = time.monotonic()
        with self._lock:
            self._known[query.conditions] = _Counted(found, revision, now, now - began)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found

    def _count_later(self, query: ArtifactQuery, total: int | None) -> None:
        """Count facets on a thread, one query at a time."""
        with self._lock:
            if self._counting is not None:
                return
            self._counting = query.conditions

        def count() -> None:
            try:
                self._counted(query, total, THREAD_SECONDS)
            except RegistryError as error:
                LOGGER.debug("facets could not be counted again: %s", error)
            finally:
                self._counting = None

        threading.Thread(target=count, name="flowtime-facets", daemon=True).start()
