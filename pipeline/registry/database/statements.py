"""Statements that both databases understand, each in its own dialect."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Literal, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    Select,
    String,
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
_Value = TypeVar("_Value", int, str)
_PARAMETERS = 400
# With placeholders by position drivers take rows as they are.
_BY_POSITION: Mapping[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": postgresql.psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}

Upsert = sqlite.Insert | postgresql.Insert


def insert_into(connection: Connection, table: Table) -> Upsert:
    """Return an INSERT that knows of conflicts, for the database of a connection."""
    return _inserting(connection.dialect.name, table)


def upsert(connection: Connection, table: Table) -> Upsert:
    """Return an INSERT that replaces the row of the same key."""
    return _replacing(connection.dialect.name, table)


def _inserting(dialect: str, table: Table) -> Upsert:
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def _replacing(dialect: str, table: Table) -> Upsert:
    statement = _inserting(dialect, table)
    keys = [column.name for column in table.primary_key]
    others: dict[str, Any] = {
        column.name: statement.excluded[column.name]
        for column in table.c
        if column.name not in keys
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def write_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[tuple[Any, ...]],
    *,
    on_conflict: Literal["replace", "keep"],
) -> None:
    """Insert many rows, without what SQLAlchemy does for each of them.

    Args:
        connection: A connection that may write.
        table: The table.
        rows: Values of all its columns, in their order, as the driver takes them.
        on_conflict: Which row of the same primary key stays: the new one (`replace`), or the
            old one (`keep`).
    """
    insert = _insert(connection.dialect.name, table, on_conflict)
    if connection.dialect.name == "sqlite":
        write_sqlite_rows(connection, insert, rows)
    elif rows:
        # A list of parameters is one `executemany` of the driver.
        connection.exec_driver_sql(insert, [*rows])


def write_sqlite_rows(connection: Connection, insert: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows into SQLite, with few statements.

    After each statement the driver waits for the interpreter's lock, which a thread that finds runs
    holds most of the time.

    Args:
        connection: A connection that may write.
        insert: An INSERT of one row, with `?` for each of its values.
        rows: The rows.
    """
    for some in parts(rows):
        if len(some) < _PARAMETERS:
            connection.exec_driver_sql(insert, [*some])
        else:
            connection.exec_driver_sql(_of_many(insert, len(some[0])), tuple(chain(*some)))


@lru_cache
def _of_many(insert: str, width: int) -> str:
    one = f"({', '.join(['?'] * width)})"
    return insert.replace(one, ", ".join([one] * _PARAMETERS))


@lru_cache
def _insert(database: str, table: Table, on_conflict: Literal["replace", "keep"]) -> str:
    if on_conflict == "replace":
        statement = _replacing(database, table)
    else:
        statement = _inserting(database, table).on_conflict_do_nothing()
    return str(statement.compile(dialect=_BY_POSITION[database]))


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
    connection: Connection, column: ColumnElement[_Value], values: Collection[_Value]
) -> ColumnElement[bool]:
    """Return the condition that a column is one of many values, given as one parameter.

    A parameter for each value takes longer to be read than the rows to be found.

    Args:
        connection: Says which database it is for.
        column: The column, of integers or texts.
        values: The values.
    """
    if connection.dialect.name == "sqlite":
        listed = func.json_each(json.dumps([*values])).table_valued("value")
        return column.in_(select(listed.c.value))
    element = BigInteger if isinstance(column.type, Integer) else String
    return column == any_(literal([*values], postgresql.ARRAY(element)))


def is_plain(text: str) -> bool:
    """Return whether both databases take a text: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
