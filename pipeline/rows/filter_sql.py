"""Compile a SQL condition to a row filter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import reduce
from operator import and_

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from pipeline.errors import ConfigError
from pipeline.rows.catalogue import CATALOGUE
from pipeline.rows.column import ColumnType
from pipeline.rows.row_filter import RowFilter
from pipeline.wording import suggestion

_DIALECT = "duckdb"
_LONGEST = 10_000
_REFUSED = (exp.Query, exp.DDL, exp.DML, exp.Command, exp.Block, exp.AggFunc, exp.Window)


def parse_condition(text: str, types: Mapping[str, ColumnType]) -> RowFilter:
    """Read a condition over columns of the given types.

    Raises:
        ConfigError: The text is no condition, or names a column that is not there.
    """
    condition = _condition(text)
    _check_names(condition, types)
    _type_instants(condition, types)
    of_series: list[pl.Expr] = []
    of_rows: list[pl.Expr] = []
    columns: dict[str, None] = {}
    for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
        names = {column.name for column in part.find_all(exp.Column)}
        if names and all(_level(name) == "series" for name in names):
            of_series.append(_expression(part, text))
        else:
            of_rows.append(_expression(part, text))
            columns.update(dict.fromkeys(sorted(names)))
    parsed = RowFilter(text, _all(of_series), _all(of_rows), tuple(columns))
    _try_out(parsed, types)
    return parsed


def _try_out(parsed: RowFilter, types: Mapping[str, ColumnType]) -> None:
    """Let Polars resolve the condition on no rows, so that type errors show at once."""
    dtypes: dict[ColumnType, pl.DataType] = {
        "text": pl.String(),
        "number": pl.Float64(),
        "integer": pl.Int64(),
        "boolean": pl.Boolean(),
        "timestamp": pl.Datetime("us"),
    }
    empty = pl.LazyFrame(schema={name: dtypes[kind] for name, kind in types.items()})
    try:
        for part in (parsed.of_series, parsed.of_rows):
            if part is not None:
                empty.filter(part).collect()
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"transform.filter: {parsed.text!r}: {reason}") from error


def _condition(text: str) -> exp.Expr:
    if len(text) > _LONGEST:
        raise ConfigError(f"transform.filter has {len(text)} characters; at most {_LONGEST}")
    try:
        condition = sqlglot.parse_one(text, dialect=_DIALECT)
    except (SqlglotError, RecursionError) as error:
        raise ConfigError(f"transform.filter: {_syntax(error, text)}") from error
    if condition is None or any(condition.find(kind) for kind in _REFUSED):
        raise ConfigError(
            f"transform.filter: {text!r} is not a condition over columns; "
            "write what would stand after WHERE, e.g. value > 0 AND measure <> 'errors'"
        )
    return condition.unnest()


def _syntax(error: Exception, text: str) -> str:
    details = getattr(error, "errors", None) or [{}]
    place = f" at character {details[0]['col']}" if "col" in details[0] else ""
    return f"{text!r} is not a SQL condition{place}"


def _check_names(condition: exp.Expr, types: Mapping[str, ColumnType]) -> None:
    for column in condition.find_all(exp.Column):
        if column.table:
            raise ConfigError(f"transform.filter: {column.sql()!r}: write the column name alone")
        if column.name not in types:
            raise ConfigError(
                f"transform.filter: there is no column {column.name!r}; "
                f"{suggestion(column.name, types)}"
            )


def _type_instants(condition: exp.Expr, types: Mapping[str, ColumnType]) -> None:
    """Turn text that is compared with an instant into one: '2025-01-01' says a time there."""
    kinds = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
    for comparison in list(condition.find_all(*kinds)):
        columns = [n for n in comparison.iter_expressions() if isinstance(n, exp.Column)]
        if any(types.get(column.name) == "timestamp" for column in columns):
            for literal in list(comparison.find_all(exp.Literal)):
                if literal.is_string and not isinstance(literal.parent, exp.Cast):
                    literal.replace(_instant(literal.this))


def _instant(text: str) -> exp.Expr:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"transform.filter: {text!r} is not an ISO 8601 time, e.g. 2025-01-01T06:00:00Z"
        ) from error
    if instant.tzinfo is not None:
        instant = instant.astimezone(UTC).replace(tzinfo=None)
    return exp.cast(exp.Literal.string(instant.isoformat(sep=" ")), "TIMESTAMP")


def _expression(part: exp.Expr, text: str) -> pl.Expr:
    try:
        return pl.sql_expr(part.sql(dialect=_DIALECT))
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"transform.filter: {text!r}: {reason}") from error


def _level(name: str) -> str:
    return CATALOGUE[name].level if name in CATALOGUE else "export"


def _all(parts: list[pl.Expr]) -> pl.Expr | None:
    return reduce(and_, parts) if parts else None
