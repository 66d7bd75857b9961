"""Keep and query the list of the runs below one folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, or_, select

from connectors.flowtime.model.run import Run
from pipeline.registry.database.connection import Database
from pipeline.registry.database.statements import is_among, is_plain
from pipeline.registry.database.tables import LISTED_RUN, LISTED_RUN_DETAIL, document
from pipeline.registry.queries.listing import CountCache
from pipeline.registry.records.artifact import UNKNOWN_INSTANT, ArtifactState, microseconds
from pipeline.registry.records.run_records import stored_run
from pipeline.registry.run_list.damage import RunDamage
from pipeline.registry.run_list.listed_run import (
    ListedRun,
    fingerprint_of,
    listed_by_keys,
    runs_found_by,
    select_listed,
)
from pipeline.registry.run_list.run_list_query import RunListQuery
from pipeline.registry.run_list.searching import RunMatches, find_matches, keys_of_page
from pipeline.registry.run_list.updating import (
    RunListState,
    revision_of,
    state_of,
    update_list,
)

RUN_LIST_SECONDS = 5.0
"""How long a query of the list may take."""

_PART = 1_000
_LIST = LISTED_RUN.c
_MORE = LISTED_RUN_DETAIL.c


@dataclass(frozen=True, slots=True)
class RunListPage:
    """A page of a list of runs.

    Attributes:
        runs: The runs of the page, in order.
        total: How many match on all pages.
        states: How many match in each state, whatever state is asked for.
        sources: The sources that runs have, whether they match or not, sorted.
    """

    runs: tuple[ListedRun, ...]
    total: int
    states: Mapping[ArtifactState, int]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunVersion:
    """A run that can be read, as far as it takes to find out whether it has changed.

    Attributes:
        path: The directory, relative to the folder of the runs.
        fingerprint: sha256 hex of what describes it.
        created: Microseconds since 1970; less than any time where that is unknown.
    """

    path: str
    fingerprint: str
    created: int


class ListedRuns:
    """The list of the runs below a folder. What is asked of it takes bounded time.

    Args:
        database: The registry's database, in SQLite.
        root: URL of the folder.
        masked: Hides places in the reasons why runs cannot be used.
    """

    def __init__(
        self, database: Database, root: str, masked: Callable[[str], str] = lambda text: text
    ) -> None:
        self._database = database
        self._root = root
        self._masked = masked
        self._known = CountCache()

    def update(self, damage: RunDamage) -> RunListState:
        """List what the registry has below the folder, and return the list as a whole.

        Args:
            damage: The runs that jobs have found damaged.

        Raises:
            RegistryError: The database failed.
        """
        update_list(self._database, self._root, damage, self._masked)
        return self.state()

    def state(self) -> RunListState:
        """Return the list as a whole.

        Raises:
            RegistryError: The database failed.
        """
        with self._reading() as connection:
            return state_of(connection)

    def page(self, query: RunListQuery, number: int, size: int) -> RunListPage:
        """Return a page of the runs that match.

        Args:
            query: Which runs, and their order.
            number: The page, from 1.
            size: Runs of a page.

        Raises:
            RegistryTimeoutError: It takes too long.
            RegistryError: The database failed.
        """
        with self._reading() as connection:
            revision = revision_of(connection)
            matches = self._matches(connection, revision, query)
            total = matches.total(query.state)
            skipped = (number - 1) * size
            keys: Sequence[int] = ()
            if skipped < total:
                keys = keys_of_page(connection, query, matches, skipped, size)
            found = listed_by_keys(connection, keys)
            sources = self._sources(connection, revision)
        return RunListPage(tuple(found), total, matches.states, sources)

    def find(self, name: str) -> list[ListedRun]:
        """Return the run of an id; else those that have it as run id or directory name, in order.

        Raises:
            RegistryError: The database failed.
        """
        if not is_plain(name):
            return []
        with self._reading() as connection:
            by_id = select_listed().where(_LIST.id == name).order_by(_LIST.key).limit(1)
            found = runs_found_by(connection, by_id)
            if found:
                return found
            named = or_(_MORE.run_id == name, _MORE.name == name)
            return runs_found_by(connection, _newest_first(select_listed().where(named)))

    def at(self, path: str) -> ListedRun | None:
        """Return the run in a directory, relative to the folder; None where there is none.

        Raises:
            RegistryError: The database failed.
        """
        if not is_plain(path):
            return None
        with self._reading() as connection:
            found = runs_found_by(connection, select_listed().where(_MORE.path == path))
        return found[0] if found else None

    def newest(self, latest: datetime) -> ListedRun | None:
        """Return the readable run that was created last, if possible not after an instant.

        Raises:
            RegistryError: The database failed.
        """
        readable = select_listed().where(_LIST.is_readable.is_(True))
        is_past = or_(_LIST.created <= microseconds(latest), _LIST.created.is_(None))
        with self._reading() as connection:
            found = runs_found_by(connection, _newest_first(readable.where(is_past)).limit(1))
            if not found:
                order = (_LIST.created.asc(), _LIST.id.desc(), _LIST.key.desc())
                found = runs_found_by(connection, readable.order_by(*order).limit(1))
        return found[0] if found else None

    def incomplete(self, paths: Collection[str]) -> frozenset[str]:
        """Return those of some directories whose runs are still being written.

        Raises:
            RegistryError: The database failed.
        """
        joined = select(_MORE.path).join(LISTED_RUN, _LIST.key == _MORE.key)
        with self._reading() as connection:
            is_named = is_among(connection, _MORE.path, paths)
            wanted = joined.where(is_named, _LIST.state == "incomplete")
            return frozenset(connection.execute(wanted).scalars())

    def readable(self) -> Iterator[Sequence[RunVersion]]:
        """Yield the runs that can be read, some at a time, in no particular order.

        Each part is read for itself, so that no transaction lasts while a caller works.

        Raises:
            RegistryError: The database failed.
        """
        columns = (_LIST.key, _LIST.created, _MORE.path, _MORE.digest)
        joined = select(*columns).join(LISTED_RUN_DETAIL, _MORE.key == _LIST.key)
        last = -1
        while True:
            wanted = joined.where(_LIST.is_readable.is_(True), _LIST.key > last)
            with self._reading() as connection:
                rows = connection.execute(wanted.order_by(_LIST.key).limit(_PART)).all()
            if not rows:
                return
            last = rows[-1].key
            yield [
                RunVersion(
                    row.path,
                    fingerprint_of(row.digest),
                    UNKNOWN_INSTANT if row.created is None else row.created,
                )
                for row in rows
            ]

    def whole(self, run: ListedRun, path: str) -> Run | None:
        """Return all that is known of a run; None where it has to be read for that.

        Args:
            run: The run.
            path: The directory, as its storage names it.

        Raises:
            RegistryError: The database failed.
        """
        with self._reading() as connection:
            body = connection.execute(
                select(document.c.body).where(document.c.key == run.artifact)
            ).scalar()
        return None if body is None else stored_run(body, path)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._database.reading(RUN_LIST_SECONDS) as connection:
            yield connection

    def _matches(self, connection: Connection, revision: int, query: RunListQuery) -> RunMatches:
        """Return the matches of a query in any state; from memory while the list is unchanged."""
        key = (revision, *query.filters)
        known: RunMatches | None = self._known.get(key)
        if known is None:
            known = find_matches(connection, query)
            self._known.put(key, known)
        return known

    def _sources(self, connection: Connection, revision: int) -> tuple[str, ...]:
        key = ("sources", revision)
        known: tuple[str, ...] | None = self._known.get(key)
        if known is None:
            found = connection.execute(select(_LIST.source).where(_LIST.source != "").distinct())
            known = tuple(sorted(found.scalars()))
            self._known.put(key, known)
        return known


def _newest_first(wanted: Select[Any]) -> Select[Any]:
    return wanted.order_by(_LIST.created.desc(), _LIST.id, _LIST.key)
