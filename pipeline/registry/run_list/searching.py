"""Search the list of runs, count what matches, and find the runs of a page.

Statements are plain texts: to put one together from objects takes longer than SQLite takes to
answer it.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pipeline.registry.records.artifact import STATES, ArtifactState
from pipeline.registry.run_list.run_list_query import RunListQuery, SqlCondition

_FEW = 2_000
_NEAR = 0.1
_AMONG = "key IN (SELECT value FROM json_each(:keys))"
# Sums need no sorting, as groups would.
_COUNTS = ", ".join(f"sum(state = '{one}')" for one in STATES)


@dataclass(frozen=True, slots=True)
class RunMatches:
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


def find_matches(connection: Connection, query: RunListQuery) -> RunMatches:
    """Return what matches a query in any state."""
    condition = query.condition()
    if query.words:
        rows = _first_matches(connection, query, condition)
        if len(rows) <= _FEW:
            return RunMatches(
                Counter(state for _, state in rows), array("q", (key for key, _ in rows))
            )
    (counts,) = _rows(connection, f"SELECT {_COUNTS}", [condition.text], condition.values)
    return RunMatches({one: n for one, n in zip(STATES, counts, strict=True) if n})


def _first_matches(
    connection: Connection, query: RunListQuery, condition: SqlCondition
) -> Sequence[Any]:
    """Return keys and states of runs that match: all of them, or too many."""
    terms, values = [condition.text], {**condition.values, "most": _FEW + 1}
    if query.phrases:
        found = connection.exec_driver_sql(
            "SELECT rowid FROM listed_run_text WHERE listed_run_text MATCH :phrases LIMIT :most",
            {"phrases": query.phrases, "most": _FEW + 1},
        )
        candidates = found.scalars().all()
        if len(candidates) <= _FEW:
            terms.append(_AMONG)
            values["keys"] = json.dumps(candidates)
    return _rows(connection, "SELECT key, state", terms, values, "LIMIT :most")


def keys_of_page(
    connection: Connection, query: RunListQuery, matches: RunMatches, skipped: int, size: int
) -> Sequence[int]:
    """Return the keys of the runs of a page, in order.

    Args:
        connection: A connection.
        query: The query.
        matches: What matches it.
        skipped: Runs before the page.
        size: Runs of a page.
    """
    condition = query.condition()
    terms, values = [condition.text], dict(condition.values)
    if matches.keys is not None:
        terms, values = [_AMONG], {"keys": json.dumps(matches.keys.tolist())}
    if query.state is not None:
        terms.append("state = :state")
        values["state"] = query.state
    # Where the page is not among the first of many, sorting what matches takes less time than to
    # look at all in the order of an index.
    is_all = not any(terms)
    is_near = matches.keys is None and skipped + size <= _NEAR * matches.total(query.state)
    order = query.order(by_index=is_all or is_near)
    values |= {"size": size, "skipped": skipped}
    rest = f"ORDER BY {order} LIMIT :size OFFSET :skipped"
    return [key for (key,) in _rows(connection, "SELECT key", terms, values, rest)]


def _rows(
    connection: Connection,
    wanted: str,
    terms: Sequence[str],
    values: Mapping[str, Any],
    rest: str = "",
) -> Sequence[Any]:
    where = " AND ".join(term for term in terms if term)
    statement = f"{wanted} FROM listed_run {f'WHERE {where}' if where else ''} {rest}"
    return connection.exec_driver_sql(statement, dict(values)).all()
