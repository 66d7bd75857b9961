"""Statements that both databases understand, each in its own dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    any_,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.registry.database.tables import artifact, detail, user_data

_T = TypeVar("_T")
_PARAMETERS = 400

Upsert = sqlite.Insert | postgresql.Insert


def insert_into(connection: Connection, table: Table) -> Upsert:
    """Return an INSERT that knows of conflicts, for the database of a connection."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def upsert(connection: Connection, table: Table) -> Upsert:
    """Return an INSERT that replaces the row of the same key."""
    statement = insert_into(connection, table)
    keys = [column.name for column in table.primary_key]
    others: dict[str, Any] = {
        column.name: statement.excluded[column.name]
        for column in table.c
        if column.name not in keys
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def parts(values: Sequence[_T], size: int = _PARAMETERS) -> Iterator[Sequence[_T]]:
    """Yield values a few at a time, as a statement takes only so many parameters.

    >>> list(parts([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    for first in range(0, len(values), size):
        yield values[first : first + size]


def below(column: Column[str], url: str) -> ColumnElement[bool]:
    """Return the condition that a URL is a folder's, or below it."""
    folder = url.rstrip("/")
    # "0" is the character after "/".
    return or_(column == folder, and_(column > f"{folder}/", column < f"{folder}0"))


def select_described(keys: Sequence[int], *columns: Any) -> Select[Any]:
    """Return a query of artifacts with their details, and with user data where there is any.

    Args:
        keys: The artifacts; those without details are left out.
        columns: What is selected of `artifact`, `detail` and `user_data`.
    """
    return (
        select(*columns)
        .select_from(artifact)
        .join(detail, detail.c.key == artifact.c.key)
        .outerjoin(user_data, user_data.c.key == artifact.c.key)
        .where(artifact.c.key.in_(keys))
    )


def is_among(
    connection: Connection, column: Column[int], keys: Sequence[int]
) -> ColumnElement[bool]:
    """Return the condition that a column is one of many numbers, given as one parameter.

    A parameter for each number takes longer to be read than the rows to be found.

    Args:
        connection: Says which database it is for.
        column: The column.
        keys: The numbers.
    """
    if connection.dialect.name == "sqlite":
        listed = func.json_each(json.dumps([*keys])).table_valued("value")
        return column.in_(select(listed.c.value))
    return column == any_(literal([*keys], postgresql.ARRAY(BigInteger)))
