"""The index of texts: substrings of titles and metadata, of tags and file names, in any case.

In SQLite it is an FTS5 table of trigrams, in PostgreSQL a table with trigram indexes. Both find
any substring of three characters or more without reading the whole table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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

from pipeline.registry.database.statements import (
    is_among,
    parts,
    select_described,
    write_rows,
    write_sqlite_rows,
)
from pipeline.registry.database.tables import (
    POSTGRESQL_TEXT,
    artifact,
    detail,
    shape_term,
    user_data,
    user_tag,
)

TRIGRAM = 3
"""Characters that the index needs."""

_HASH = "sha256:"
_HASH_DIGITS = 16
_LONG_HASH = re.compile(rf"({_HASH})?([0-9a-f]{{{_HASH_DIGITS}}})[0-9a-f]{{1,48}}")
_CONTENT = table("search_text_content", column("id"), column("c0"), column("c1"))
_FTS = table("search_text", column("rowid"), column("main"), column("more"))
_ADDING = "INSERT INTO search_text (rowid, main, more) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class SearchedText:
    """What is searched of one artifact.

    Attributes:
        key: The artifact.
        main: Title, description and values of the metadata.
        more: Id, folder, tags, names of files, and what users say.
    """

    key: int
    main: str
    more: str

    @classmethod
    def of(cls, key: int, main: Iterable[str | None], more: Iterable[str | None]) -> SearchedText:
        """Return the text of an artifact, every part of it once."""
        first = dict.fromkeys(_shortened(one) for one in main if one)
        rest = dict.fromkeys(one for one in more if one and one not in first)
        # No part holds the end of a line, so that nothing is found across two of them.
        return cls(key, "\n".join(first), "\n".join(rest))


def rewrite(connection: Connection, keys: Collection[int]) -> None:
    """Index the texts of artifacts anew, as they are in the other tables."""
    texts: list[SearchedText] = []
    for some in parts(sorted(keys)):
        texts += _texts(connection, some)
    write(connection, texts, set(keys))


def write(connection: Connection, texts: Sequence[SearchedText], replaced: Container[int]) -> None:
    """Index the texts of artifacts.

    Args:
        connection: A connection that may write.
        texts: The texts, by ascending keys.
        replaced: Keys of those that may be in the index already.
    """
    rows = [(one.key, one.main, one.more) for one in texts]
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        write_rows(connection, POSTGRESQL_TEXT, rows, on_conflict="replace")
        return
    # FTS5 writes rows together only where their numbers ascend.
    remove(connection, [one.key for one in texts if one.key in replaced])
    write_sqlite_rows(connection, _ADDING, rows)


def remove(connection: Connection, keys: Sequence[int]) -> None:
    """Take artifacts out of the index."""
    if connection.dialect.name == "sqlite":
        connection.execute(delete(_FTS).where(is_among(connection, _FTS.c.rowid, keys)))
    else:
        column = POSTGRESQL_TEXT.c.key
        connection.execute(delete(POSTGRESQL_TEXT).where(is_among(connection, column, keys)))


def keys_with(connection: Connection, wanted: str, *, everywhere: bool) -> Select[Any]:
    """Return a query of the keys of artifacts whose texts hold a text, in any case.

    Args:
        connection: Says which database it is for.
        wanted: The text.
        everywhere: Look at ids, tags and file names as well as at titles and metadata.
    """
    wanted = _searched(wanted)
    if connection.dialect.name == "sqlite":
        return select(_FTS.c.rowid).where(_sqlite_condition(wanted, everywhere))
    columns = POSTGRESQL_TEXT.c
    found: ColumnElement[bool] = columns.main.ilike(pattern_of(wanted), escape="\\")
    if everywhere:
        found = or_(found, columns.more.ilike(pattern_of(wanted), escape="\\"))
    return select(columns.key).where(found)


def holds(connection: Connection, wanted: str, *, everywhere: bool) -> ColumnElement[bool]:
    """Return the condition that one artifact's texts hold a text: for looking at few rows."""
    if connection.dialect.name == "sqlite" and wanted.isascii():
        # The texts themselves, which FTS5 keeps in this table: a look at one is cheap.
        rows = _CONTENT.c
        found = select(rows.id).where(_like((rows.c0, rows.c1), wanted, everywhere))
        key: ColumnElement[int] = rows.id
    else:
        found = keys_with(connection, wanted, everywhere=everywhere)
        key = next(iter(found.selected_columns))
    return found.where(key == artifact.c.key).correlate(artifact).exists()


def _searched(wanted: str) -> str:
    """Return the part of a text that the index knows, where it is a hash."""
    found = _LONG_HASH.fullmatch(wanted.lower())
    return wanted if found is None else f"{found[1] or ''}{found[2]}"


def _sqlite_condition(wanted: str, everywhere: bool) -> ColumnElement[bool]:
    if len(wanted) >= TRIGRAM:
        phrase = phrase_of(wanted)
        match = phrase if everywhere else f"main : {phrase}"
        return text("search_text MATCH :phrase").bindparams(phrase=match)  # type: ignore[return-value]
    return _like((_FTS.c.main, _FTS.c.more), wanted, everywhere)


def _like(
    columns: tuple[ColumnElement[str], ColumnElement[str]], wanted: str, everywhere: bool
) -> ColumnElement[bool]:
    looked_at = columns if everywhere else columns[:1]
    return or_(*(one.like(pattern_of(wanted), escape="\\") for one in looked_at))


def phrase_of(wanted: str) -> str:
    """Return what an index of trigrams is asked for to find a text."""
    return '"' + wanted.replace('"', '""') + '"'


def pattern_of(wanted: str) -> str:
    """Return the pattern of LIKE for what contains a text, with a backslash as its escape."""
    escaped = wanted.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _texts(connection: Connection, keys: Sequence[int]) -> Iterator[SearchedText]:
    wanted = select_described(
        keys,
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
    rows = connection.execute(wanted.order_by(artifact.c.key)).all()
    tags = tags_of(connection, {row.key: row.shape for row in rows})
    for row in rows:
        values = (str(value) for value in json.loads(row.metadata).values())
        names = (row.id, row.folder, *tags[row.key], *json.loads(row.files), row.note, row.owner)
        yield SearchedText.of(row.key, (row.title, row.description, *values), names)


def _shortened(text: str) -> str:
    """Return a text without the tail of a hash: the trigrams of hashes would fill the index."""
    return text[: len(_HASH) + _HASH_DIGITS] if text.startswith(_HASH) else text


def tags_of(connection: Connection, shapes: Mapping[int, int]) -> dict[int, list[str]]:
    """Return the tags of artifacts, sorted: the automatic ones and those of users.

    Args:
        connection: A connection.
        shapes: Keys of the artifacts, each with its shape.
    """
    automatic = automatic_tags_of(connection, {*shapes.values()})
    found = {key: set(automatic.get(shape, ())) for key, shape in shapes.items()}
    for keys in parts([*shapes]):
        of_users = select(user_tag).where(user_tag.c.key.in_(keys))
        for key, tag, is_removed in connection.execute(of_users):
            (found[key].discard if is_removed else found[key].add)(tag)
    return {key: sorted(tags) for key, tags in found.items()}


def automatic_tags_of(connection: Connection, shapes: Collection[int]) -> dict[int, set[str]]:
    """Return the automatic tags of shapes; those without any are left out."""
    found: dict[int, set[str]] = {}
    for some in parts([*shapes]):
        wanted = select(shape_term.c.shape, shape_term.c.value).where(
            shape_term.c.shape.in_(some), shape_term.c.kind == "tag"
        )
        for shape, value in connection.execute(wanted):
            found.setdefault(shape, set()).add(value)
    return found
