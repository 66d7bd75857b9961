"""Load artifacts from the rows of several tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from pipeline.registry.database import search_text
from pipeline.registry.database.statements import parts, select_described
from pipeline.registry.database.tables import artifact, detail, user_data
from pipeline.registry.records.artifact import Artifact, instant_of


def artifacts(connection: Connection, keys: Sequence[int]) -> list[Artifact]:
    """Return the artifacts of some keys, in that order; those that are not there are left out."""
    found: dict[int, Artifact] = {}
    for some in parts(keys):
        wanted = select_described(
            some,
            artifact,
            detail.c.description,
            detail.c.reason,
            detail.c.metadata,
            detail.c.files,
            user_data.c.note,
            user_data.c.owner,
        )
        rows = connection.execute(wanted).all()
        tags = search_text.tags_of(connection, {row.key: row.shape for row in rows})
        found.update((row.key, _artifact(row, tags[row.key])) for row in rows)
    return [found[key] for key in keys if key in found]


def _artifact(row: Any, tags: Sequence[str]) -> Artifact:
    return Artifact(
        key=row.key,
        id=row.id,
        type=row.type,
        state=row.state,
        reason=row.reason,
        title=row.title,
        description=row.description,
        created=instant_of(row.created),
        modified=instant_of(row.modified),
        size=row.size,
        source=row.source,
        location=row.location,
        digest=row.digest,
        listing=row.listing,
        tags=tuple(tags),
        metadata=json.loads(row.metadata),
        files=tuple(json.loads(row.files)),
        archived=bool(row.archived),
        pinned=bool(row.pinned),
        owner=row.owner,
        note=row.note,
    )
