"""Keep and query the list of the runs below one folder."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, case, column, func, or_, select, table, text

from connectors.flowtime.model.run import Run
from pipeline.registry.database.connection import Database
from pipeline.registry.database.statements import is_among, parts
from pipeline.registry.database.tables import LISTED_RUN, LISTED_RUN_DETAIL, document
from pipeline.registry.queries.listing import CountCache
from pipeline.registry.queries.query import is_plain
from pipeline.registry.records.artifact import STATES, ArtifactState, microseconds
from pipeline.registry.records.run_records import stored_run
from pipeline.registry.run_list.listed_run import (
    ListedRun,
    fingerprint_of,
    listed_runs,
    select_listed,
)
from pipeline.registry.run_list.run_list_query import RunListQuery
from pipeline.registry.run_list.updating import (
    RunDamage,
    RunListState,
    revision_of,
    state_of,
    update_list,
)

RUN_LIST_SECONDS = 5.0
"""How long a query of the list may take."""

_FEW = 2_000
_NEAR = 0.1
_PART = 1_000
_NEVER = -(2**63)
_LIST = LISTED_RUN.c
_MORE = LISTED_RUN_DETAIL.c
_FTS = table("listed_run_text", column("rowid"))


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


class RunList:
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
                keys = _keys(connection, query, matches, skipped, size)
            found = listed_runs(connection, select_listed().where(_LIST.key.in_(keys)))
            sources = self._sources(connection, revision)
        by_key = {one.artifact: one for one in found}
        return RunListPage(tuple(by_key[key] for key in keys), total, matches.states, sources)

    def find(self, name: str) -> list[ListedRun]:
        """Return the run of an id; else those that have it as run id or directory name, in order.

        Raises:
            RegistryError: The database failed.
        """
        if not is_plain(name):
            return []
        with self._reading() as connection:
            by_id = select_listed().where(_LIST.id == name).order_by(_LIST.key).limit(1)
            found = listed_runs(connection, by_id)
            if found:
                return found
            named = or_(_MORE.run_id == name, _MORE.name == name)
            return listed_runs(connection, _newest_first(select_listed().where(named)))

    def at(self, path: str) -> ListedRun | None:
        """Return the run in a directory, relative to the folder; None where there is none.

        Raises:
            RegistryError: The database failed.
        """
        if not is_plain(path):
            return None
        with self._reading() as connection:
            found = listed_runs(connection, select_listed().where(_MORE.path == path))
        return found[0] if found else None

    def newest(self, latest: datetime) -> ListedRun | None:
        """Return the readable run that was created last, if possible not after an instant.

        Raises:
            RegistryError: The database failed.
        """
        readable = select_listed().where(_LIST.is_readable.is_(True))
        is_past = or_(_LIST.created <= microseconds(latest), _LIST.created.is_(None))
        with self._reading() as connection:
            found = listed_runs(connection, _newest_first(readable.where(is_past)).limit(1))
            if not found:
                order = (_LIST.created.asc(), _LIST.id.desc(), _LIST.key.desc())
                found = listed_runs(connection, readable.order_by(*order).limit(1))
        return found[0] if found else None

    def incomplete(self, paths: Collection[str]) -> frozenset[str]:
        """Return those of some directories whose runs are still being written.

        Raises:
            RegistryError: The database failed.
        """
        joined = select(_MORE.path).join(LISTED_RUN, _LIST.key == _MORE.key)
        found: set[str] = set()
        with self._reading() as connection:
            for some in parts([*paths]):
                wanted = joined.where(_MORE.path.in_(some), _LIST.state == "incomplete")
                found.update(connection.execute(wanted).scalars())
        return frozenset(found)

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
                RunVersion(row.path, fingerprint_of(row.digest), row.created or _NEVER)
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

    def _matches(self, connection: Connection, revision: int, query: RunListQuery) -> _Matches:
        """Return the matches of a query in any state, as long as nothing changes from memory."""
        key = (revision, *query.filters)
        known: _Matches | None = self._known.get(key)
        if known is None:
            known = _found(connection, query)
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


@dataclass(frozen=True, slots=True)
class _Matches:
    """What matches a query in any state.

    Attributes:
        states: How many in each state.
        keys: Their keys, where these are few.
    """

    states: Mapping[ArtifactState, int]
    keys: array[int] | None = None

    def total(self, state: ArtifactState | None) -> int:
        """Return how many there are in a state, or in any."""
        return sum(self.states.values()) if state is None else self.states.get(state, 0)


def _found(connection: Connection, query: RunListQuery) -> _Matches:
    conditions = query.conditions()
    if query.words:
        few = _candidates(connection, query)
        among = [] if few is None else [is_among(connection, _LIST.key, few)]
        first = select(_LIST.key, _LIST.state).where(*among, *conditions).limit(_FEW + 1)
        rows = connection.execute(first).all()
        if len(rows) <= _FEW:
            return _Matches(Counter(row.state for row in rows), array("q", (r.key for r in rows)))
    # Sums need no sorting, as groups would.
    sums = [func.sum(case((_LIST.state == one, 1), else_=0)) for one in STATES]
    counts = connection.execute(select(*sums).select_from(LISTED_RUN).where(*conditions)).one()
    return _Matches({one: n for one, n in zip(STATES, counts, strict=True) if n})


def _candidates(connection: Connection, query: RunListQuery) -> Sequence[int] | None:
    """Return the keys of the runs that may hold the words, where an index finds few."""
    if not query.phrases:
        return None
    wanted = select(_FTS.c.rowid).where(text("listed_run_text MATCH :phrases"))
    found = connection.execute(wanted.limit(_FEW + 1), {"phrases": query.phrases}).scalars().all()
    return found if len(found) <= _FEW else None


def _keys(
    connection: Connection, query: RunListQuery, matches: _Matches, skipped: int, size: int
) -> Sequence[int]:
    """Return the keys of the runs of a page, in order."""
    wanted = select(_LIST.key)
    conditions = query.conditions()
    if matches.keys is not None:
        conditions = [is_among(connection, _LIST.key, matches.keys)]
    if query.state is not None:
        conditions.append(_LIST.state == query.state)
    total = matches.total(query.state)
    # Where the page is not among the first of many, sorting what matches takes less time than to
    # look at all in the order of an index.
    is_near = not conditions or (matches.keys is None and skipped + size <= _NEAR * total)
    wanted = wanted.where(*conditions).order_by(*query.order(by_index=is_near))
    return connection.execute(wanted.offset(skipped).limit(size)).scalars().all()


def _newest_first(wanted: Select[Any]) -> Select[Any]:
    return wanted.order_by(_LIST.created.desc(), _LIST.id, _LIST.key)
