"""Count what a whole registry knows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from pipeline.registry.database.connection import Database
from pipeline.registry.database.tables import artifact, root
from pipeline.registry.records.artifact import (
    UNKNOWN_INSTANT,
    Visibility,
    instant_of,
    shown_instant,
)

STATS_SECONDS = 10.0
"""How long counting the whole registry may take."""


def stats_of(database: Database, connection: Connection) -> dict[str, Any]:
    """Return counts and sizes as JSON-compatible data."""
    columns = artifact.c
    types = connection.execute(
        select(
            columns.type,
            func.count(),
            func.sum(columns.size),
            func.min(columns.created).filter(columns.created != UNKNOWN_INSTANT),
            func.max(columns.created),
        )
        .where(columns.visibility >= Visibility.LISTED.value)
        .group_by(columns.type)
        .order_by(columns.type)
    ).all()
    return {
        "total": sum(row[1] for row in types),
        "archived": _count(connection, columns.visibility == Visibility.ARCHIVED.value),
        "notComplete": _count(connection, columns.visibility == Visibility.NOT_USABLE.value),
        "totalSize": int(sum(row[2] for row in types)),
        "types": {
            row[0]: {
                "count": row[1],
                "totalSize": int(row[2]),
                "oldest": shown_instant(None if row[3] is None else instant_of(row[3])),
                "newest": shown_instant(instant_of(row[4])),
            }
            for row in types
        },
        "roots": list(connection.execute(select(root.c.url).order_by(root.c.url)).scalars()),
        "revision": database.revision(connection),
    }


def _count(connection: Connection, condition: Any) -> int:
    counting = select(func.count()).select_from(artifact).where(condition)
    return int(connection.execute(counting).scalar_one())
