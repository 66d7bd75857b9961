"""Mark the runs of a list that jobs have found damaged, as long as their files are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from pipeline.registry.database.statements import is_among
from pipeline.registry.database.tables import LISTED_RUN, LISTED_RUN_DETAIL
from pipeline.registry.run_list.listed_run import fingerprint_of, version_of_run

RunDamage = Mapping[str, tuple[str, str]]
"""Version and reason of the runs that a job has found damaged, by their paths in the list."""

_LIST = LISTED_RUN.c
_MORE = LISTED_RUN_DETAIL.c


def judge(connection: Connection, damage: RunDamage) -> None:
    """Mark the runs that jobs have found damaged, and take back marks that do not hold."""
    found = [*judgements(connection, damage)]
    if not found:
        return
    of_list = update(LISTED_RUN).where(_LIST.key == bindparam("judged"))
    of_detail = update(LISTED_RUN_DETAIL).where(_MORE.key == bindparam("judged"))
    connection.execute(of_list.values(state=bindparam("found_state")), found)
    connection.execute(of_detail.values(reason=bindparam("found_reason")), found)


def judgements(connection: Connection, damage: RunDamage) -> Iterator[dict[str, Any]]:
    """Yield the state and reason of each run whose mark is not as it should be."""
    columns = (_LIST.key, _LIST.state, _MORE.reason, _MORE.path, _MORE.listing, _MORE.digest)
    readable = (
        select(*columns)
        .join(LISTED_RUN_DETAIL, _MORE.key == _LIST.key)
        .where(_LIST.is_readable.is_(True))
    )
    rows = {row.key: row for row in connection.execute(readable.where(_LIST.state == "broken"))}
    named = readable.where(is_among(connection, _MORE.path, damage))
    rows |= {row.key: row for row in connection.execute(named)}
    for key, row in rows.items():
        version, reason = damage.get(row.path, ("", ""))
        is_same = version == version_of_run(fingerprint_of(row.digest), row.listing)
        wanted = ("broken", reason) if reason and is_same else ("complete", None)
        if wanted != (row.state, row.reason):
            yield {"judged": key, "found_state": wanted[0], "found_reason": wanted[1]}
