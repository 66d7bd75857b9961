"""Bring the list of runs to what the registry knows of them.

Rows are compared in SQL, so that a list of 100,000 runs of which few have changed costs little.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    union,
    update,
)

from pipeline.registry.database.connection import Database
from pipeline.registry.database.statements import below, is_among, parts, upsert
from pipeline.registry.database.tables import (
    LISTED_RUN,
    LISTED_RUN_DETAIL,
    artifact,
    detail,
    state,
)
from pipeline.registry.records.artifact import (
    MARK_DIGITS,
    ROUTE_NAMES,
    UNKNOWN_INSTANT,
    always_has_mark,
    mark_of,
)
from pipeline.registry.register import compact
from pipeline.registry.run_list.damage import RunDamage, judge, judgements
from pipeline.registry.run_list.listed_run import SHOWN_FACTS

_LIST = LISTED_RUN.c
_MORE = LISTED_RUN_DETAIL.c
_BATCH = 1_000
_TYPES = ("run", "telemetry")
_STATE = "listed_runs"


@dataclass(frozen=True, slots=True)
class RunListState:
    """A list of runs as a whole.

    Attributes:
        revision: A number that grows whenever the list changes.
        total: How many runs there are, those that cannot be read included.
        readable: How many can be read.
    """

    revision: int
    total: int
    readable: int


def _readable() -> ColumnElement[int]:
    return func.count().filter(_LIST.is_readable.is_(True))


def revision_of(connection: Connection) -> int:
    """Return how often the list was changed."""
    return int(connection.execute(_REVISION).scalar_one())


_REVISION = select(state.c.value).where(state.c.name == _STATE)


def state_of(connection: Connection) -> RunListState:
    """Return the list as a whole."""
    counts = select(func.count(), _readable())
    total, readable = connection.execute(counts.select_from(LISTED_RUN)).one()
    return RunListState(revision_of(connection), total, readable)


def update_list(
    database: Database, root: str, damage: RunDamage, masked: Callable[[str], str]
) -> None:
    """List the runs that the registry has below a folder as it has them, and no others.

    Args:
        database: The registry's database.
        root: URL of the folder.
        damage: The runs that jobs have found damaged. A mark stays as long as the version is the
            same and the run is named here.
        masked: Hides places in the reasons why runs cannot be used.

    Raises:
        RegistryError: The database failed.
    """
    with database.reading(None) as connection:
        changes = _Changes.of(connection, root)
        is_current = not changes.are_any and not any(judgements(connection, damage))
    if is_current:
        return
    with database.writing() as connection:
        changes = _Changes.of(connection, root)  # others may have written meanwhile
        _forget(connection, changes.gone)
        for keys in parts(sorted(changes.stale), _BATCH):
            _write(connection, root, keys, masked)
        if changes.stale or changes.gone:
            _assign_ids(connection)
        judge(connection, damage)
        bump = update(state).where(state.c.name == _STATE)
        connection.execute(bump.values(value=state.c.value + 1))


@dataclass(frozen=True, slots=True)
class _Changes:
    """What a list lacks: keys of runs to write anew, and of runs to forget."""

    stale: Sequence[int]
    gone: Sequence[int]

    @property
    def are_any(self) -> bool:
        return bool(self.stale or self.gone)

    @classmethod
    def of(cls, connection: Connection, root: str) -> _Changes:
        is_run = and_(below(artifact.c.location, root), artifact.c.type.in_(_TYPES))
        is_other = or_(
            _MORE.key.is_(None),
            _MORE.listing != artifact.c.listing,
            _MORE.digest.is_distinct_from(artifact.c.digest),
            _MORE.path != _path_below(root),
        )
        same_key = artifact.c.key == _MORE.key
        stale = (
            select(artifact.c.key)
            .select_from(artifact.outerjoin(LISTED_RUN_DETAIL, same_key))
            .where(is_run, is_other)
        )
        gone = (
            select(_MORE.key)
            .select_from(LISTED_RUN_DETAIL.outerjoin(artifact, and_(same_key, is_run)))
            .where(artifact.c.key.is_(None))
        )
        return cls(
            stale=connection.execute(stale).scalars().all(),
            gone=connection.execute(gone).scalars().all(),
        )


def _path_below(root: str) -> ColumnElement[str]:
    folder = root.rstrip("/")
    rest = func.substr(artifact.c.location, len(folder) + 2)
    return case((artifact.c.location == folder, literal(".")), else_=rest)


# --------------------------------------------------------------------------- rows


@contextmanager
def _changing_texts(connection: Connection, keys: Sequence[int]) -> Iterator[None]:
    """Take some runs out of the index of texts, and index them as they are after the block."""
    values = {"keys": json.dumps([*keys])}
    connection.execute(_UNINDEX, values)
    yield
    connection.execute(_INDEX, values)


_CHOSEN = "FROM listed_run WHERE key IN (SELECT value FROM json_each(:keys)) ORDER BY key"
_UNINDEX = text(
    "INSERT INTO listed_run_text (listed_run_text, rowid, text) "
    f"SELECT 'delete', key, text {_CHOSEN}"
)
# In the order of the keys, in which FTS5 writes rows together.
_INDEX = text(f"INSERT INTO listed_run_text (rowid, text) SELECT key, text {_CHOSEN}")


def _forget(connection: Connection, keys: Sequence[int]) -> None:
    with _changing_texts(connection, keys):
        connection.execute(delete(LISTED_RUN).where(is_among(connection, _LIST.key, keys)))
    connection.execute(delete(LISTED_RUN_DETAIL).where(is_among(connection, _MORE.key, keys)))


def _write(
    connection: Connection, root: str, keys: Sequence[int], masked: Callable[[str], str]
) -> None:
    """Write the rows of some runs, each with its run id as its id."""
    wanted = (
        select(artifact, _path_below(root).label("path"), detail.c.reason, detail.c.metadata)
        .join(detail, detail.c.key == artifact.c.key)
        .where(is_among(connection, artifact.c.key, keys))
    )
    rows = [_row(row, masked) for row in connection.execute(wanted)]
    with _changing_texts(connection, keys):
        if rows:
            connection.execute(upsert(connection, LISTED_RUN), [one for one, _ in rows])
            connection.execute(upsert(connection, LISTED_RUN_DETAIL), [one for _, one in rows])


def _row(row: Any, masked: Callable[[str], str]) -> tuple[dict[str, Any], dict[str, Any]]:
    metadata = json.loads(row.metadata)
    facts = {name: metadata[name] for name in SHOWN_FACTS if metadata.get(name) is not None}
    is_readable = row.state == "complete"
    name = row.location.rstrip("/").rpartition("/")[2]
    run_id = row.name if is_readable else name
    reason = None if row.reason is None else masked(row.reason)
    texts = [run_id, name, row.path, reason, *facts.values()]
    listed = {
        "key": row.key,
        "id": run_id,
        "state": row.state,
        "is_readable": is_readable,
        "created": None if row.created == UNKNOWN_INSTANT else row.created,
        "source": facts.get("source"),
        "series": row.series,
        "rows": row.rows,
        "warnings": row.warnings,
        "text": "\n".join(one for one in texts if one).casefold(),
    }
    more = {
        "key": row.key,
        "run_id": run_id,
        "name": name,
        "path": row.path,
        "location": row.location,
        "reason": reason,
        "listing": row.listing,
        "digest": row.digest,
        "bytes": metadata.get("seriesBytes", 0),
        "bins": metadata.get("bins", 0),
        "bin_minutes": metadata.get("binMinutes", 0),
        "facts": compact(facts),
    }
    return listed, more


# --------------------------------------------------------------------------- ids


_LIKE_A_MARK = f"*~{MARK_DIGITS * '[0-9a-f]'}"
_ALWAYS_HAS_MARK = or_(
    _MORE.run_id.in_(ROUTE_NAMES), _MORE.run_id.op("GLOB", is_comparison=True)(_LIKE_A_MARK)
)
"""As `always_has_mark`, in SQL."""


def _assign_ids(connection: Connection) -> None:
    """Give each run its run id as its id, with a mark where its artifact has one.

    A directory that cannot be read never takes an id from a run that can.
    """
    joined = LISTED_RUN.join(LISTED_RUN_DETAIL, _MORE.key == _LIST.key)
    shared = (
        select(_MORE.run_id, _readable().label("readable"))
        .select_from(joined)
        .group_by(_MORE.run_id)
        .having(or_(func.count() > 1, _ALWAYS_HAS_MARK))
        .subquery()
    )
    columns = (_LIST.key, _LIST.id, _LIST.text, _LIST.is_readable, _MORE.run_id, _MORE.location)
    rows = select(*columns, shared.c.readable).select_from(
        joined.outerjoin(shared, shared.c.run_id == _MORE.run_id)
    )
    wanted = union(rows.where(shared.c.run_id.is_not(None)), rows.where(_LIST.id != _MORE.run_id))
    changed = [one for row in connection.execute(wanted) for one in _renamed(row)]
    for some in parts(changed, _BATCH):
        statement = update(LISTED_RUN).where(_LIST.key == bindparam("renamed"))
        values: dict[str, Any] = {"id": bindparam("new_id"), "text": bindparam("new_text")}
        with _changing_texts(connection, [one["renamed"] for one in some]):
            connection.execute(statement.values(values), some)


def _renamed(row: Any) -> Iterator[dict[str, Any]]:
    mark = f"~{mark_of(row.location)}"
    is_only = row.readable is None or (row.readable == 1 and row.is_readable)
    has_id_alone = is_only and not always_has_mark(row.run_id)
    name = row.run_id if has_id_alone else f"{row.run_id}{mark}"
    if name == row.id:
        return
    searched = row.text.removesuffix(f"\n{mark}")
    yield {
        "renamed": row.key,
        "new_id": name,
        "new_text": searched if has_id_alone else f"{searched}\n{mark}",
    }
