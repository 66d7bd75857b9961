"""The index of texts: substrings of titles and metadata, of tags and file names, in any case.

In SQLite it is an FTS5 table of trigrams, in PostgreSQL a table with trigram indexes. Both find
any substring of three characters or more without reading the whole table.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    column,
    delete,
    or_,
    select,
    table,
    text,
)

from pipeline.registry.statements import parts, upsert
from pipeline.registry.tables import (
    POSTGRESQL_TEXT,
    artifact,
    detail,
    shape_term,
    user_data,
    user_tag,
)

TRIGRAM = 3
"""Characters that the index needs."""

_FTS = table("search_text", column("rowid"), column("main"), column("more"))


def write(connection: Connection, keys: Sequence[int], replaced: Collection[int]) -> None:
    """Index the texts of artifacts as they are in the other tables.

    Args:
        connection: A connection that may write.
        keys: The artifacts.
        replaced: Those of them that may be in the index already.
    """
    rows: list[Mapping[str, Any]] = []
    for some in parts(sorted(keys)):
        rows += _rows(connection, some)
    if connection.dialect.name != "sqlite":
        connection.execute(upsert(connection, POSTGRESQL_TEXT), rows)
        return
    # FTS5 writes rows together only where their numbers ascend.
    remove(connection, sorted(key for key in keys if key in replaced))
    adding = "INSERT INTO search_text (rowid, main, more) VALUES (:key, :main, :more)"
    connection.execute(text(adding), rows)


def remove(connection: Connection, keys: Sequence[int]) -> None:
    """Take artifacts out of the index."""
    for some in parts(keys):
        if connection.dialect.name == "sqlite":
            connection.execute(delete(_FTS).where(_FTS.c.rowid.in_(some)))
        else:
            connection.execute(delete(POSTGRESQL_TEXT).where(POSTGRESQL_TEXT.c.key.in_(some)))


def keys_with(connection: Connection, wanted: str, *, everywhere: bool) -> Select[Any]:
    """Return a query of the keys of artifacts whose texts hold a text, in any case.

    Args:
        connection: Says which database it is for.
        wanted: The text.
        everywhere: Look at ids, tags and file names as well as at titles and metadata.
    """
    if connection.dialect.name == "sqlite":
        return select(_FTS.c.rowid).where(_sqlite_condition(wanted, everywhere))
    columns = POSTGRESQL_TEXT.c
    found: ColumnElement[bool] = columns.main.ilike(_pattern(wanted), escape="\\")
    if everywhere:
        found = or_(found, columns.more.ilike(_pattern(wanted), escape="\\"))
    return select(columns.key).where(found)


def holds(connection: Connection, wanted: str, *, everywhere: bool) -> ColumnElement[bool]:
    """Return the condition that one artifact's texts hold a text: for looking at few rows."""
    found = keys_with(connection, wanted, everywhere=everywhere)
    key = next(iter(found.selected_columns))
    return found.where(key == artifact.c.key).correlate(artifact).exists()


def _sqlite_condition(wanted: str, everywhere: bool) -> ColumnElement[bool]:
    if len(wanted) >= TRIGRAM:
        phrase = '"' + wanted.replace('"', '""') + '"'
        match = phrase if everywhere else f"main : {phrase}"
        return text("search_text MATCH :phrase").bindparams(phrase=match)  # type: ignore[return-value]
    found = _FTS.c.main.like(_pattern(wanted), escape="\\")
    return or_(found, _FTS.c.more.like(_pattern(wanted), escape="\\")) if everywhere else found


def _pattern(wanted: str) -> str:
    escaped = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _rows(connection: Connection, keys: Sequence[int]) -> Iterator[dict[str, Any]]:
    wanted = (
        select(
            artifact.c.key,
            artifact.c.id,
            artifact.c.title,
            artifact.c.shape,
            artifact.c.folder,
            detail.c.description,
            detail.c.metadata,
            detail.c.files,
            user_data.c.note,
            user_data.c.owner,
        )
        .join(detail, detail.c.key == artifact.c.key)
        .outerjoin(user_data, user_data.c.key == artifact.c.key)
        .where(artifact.c.key.in_(keys))
        .order_by(artifact.c.key)
    )
    rows = connection.execute(wanted).all()
    tags = tags_of(connection, {row.key: row.shape for row in rows})
    for row in rows:
        values = [str(value) for value in json.loads(row.metadata).values()]
        more = [row.id, row.folder, *tags[row.key], *json.loads(row.files), row.note, row.owner]
        yield {
            "key": row.key,
            "main": _joined([row.title, row.description, *values]),
            "more": _joined(more),
        }


def _joined(texts: Sequence[str | None]) -> str:
    # No text holds the end of a line, so that nothing is found across two of them.
    return "\n".join(dict.fromkeys(one for one in texts if one))


def tags_of(connection: Connection, shapes: Mapping[int, int]) -> dict[int, list[str]]:
    """Return the tags of artifacts, sorted: the automatic ones and those of users.

    Args:
        connection: A connection.
        shapes: Keys of the artifacts, each with its shape.
    """
    automatic: dict[int, list[str]] = {}
    for some in parts([*set(shapes.values())]):
        wanted = select(shape_term.c.shape, shape_term.c.value).where(
            shape_term.c.shape.in_(some), shape_term.c.kind == "tag"
        )
        for shape, value in connection.execute(wanted):
            automatic.setdefault(shape, []).append(value)
    found = {key: set(automatic.get(shape, ())) for key, shape in shapes.items()}
    for keys in parts([*shapes]):
        of_users = select(user_tag).where(user_tag.c.key.in_(keys))
        for key, tag, is_removed in connection.execute(of_users):
            (found[key].discard if is_removed else found[key].add)(tag)
    return {key: sorted(tags) for key, tags in found.items()}
