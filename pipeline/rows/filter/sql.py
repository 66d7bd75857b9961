"""Parse the SQL condition of a filter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from pipeline.errors import ConfigError
from pipeline.rows.catalogue import CATALOGUE
from pipeline.rows.column import ColumnType
from pipeline.rows.filter.calls import CALLS
from pipeline.rows.filter.logic import LOGIC
from pipeline.rows.filter.terms import DIALECT, TermCompiler
from pipeline.rows.filter.values import VALUES
from pipeline.rows.row_filter import RowFilter

_LONGEST = 10_000
_REFUSED = (exp.Query, exp.DDL, exp.DML, exp.Command, exp.Block, exp.AggFunc, exp.Window)
_COMPILERS = {**LOGIC, **VALUES, **CALLS}
_PATTERN_OPERATORS = (TokenType.TILDE, TokenType.RLIKE, TokenType.IRLIKE)


def parse_filter_sql(text: str, types: Mapping[str, ColumnType], now: datetime) -> RowFilter:
    """Parse a condition over columns of the given types.

    Args:
        text: What follows WHERE.
        types: The columns.
        now: The instant of functions such as `now()`, UTC.

    Raises:
        ConfigError: The text is no condition, names a column that is not there, or holds what
            filters do not support.
    """
    try:
        return _parse(text, types, now)
    except RecursionError as error:
        raise ConfigError(f"{_clipped(text)} is not a SQL condition: nested too deeply") from error


def _parse(text: str, types: Mapping[str, ColumnType], now: datetime) -> RowFilter:
    condition = _condition(text)
    compiler = TermCompiler(types, now, _COMPILERS)
    of_series: list[pl.Expr] = []
    of_rows: list[pl.Expr] = []
    columns: dict[str, None] = {}
    for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
        _refuse_tables(part)
        names = {column.name for column in part.find_all(exp.Column)}
        if names and all(_level(name) == "series" for name in names):
            of_series.append(compiler.condition(part))
        else:
            of_rows.append(compiler.condition(part))
            columns.update(dict.fromkeys(sorted(names)))
    parsed = RowFilter(text, _all(of_series), _all(of_rows), tuple(columns), tuple(compiler.clock))
    _try_out(parsed, types)
    return parsed


def _try_out(parsed: RowFilter, types: Mapping[str, ColumnType]) -> None:
    """Have Polars resolve the condition on no rows, so that what it refuses shows at once."""
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
        raise ConfigError(f"{_clipped(parsed.text)} cannot be evaluated") from error


def _condition(text: str) -> exp.Expr:
    if len(text) > _LONGEST:
        raise ConfigError(f"has {len(text)} characters; at most {_LONGEST}")
    try:
        _refuse_pattern_operators(text)
        condition = sqlglot.parse_one(text, dialect=DIALECT)
    except SqlglotError as error:
        raise ConfigError(_syntax(error, text)) from error
    if condition is None or any(condition.find(kind) for kind in _REFUSED):
        raise ConfigError(
            f"{_clipped(text)} is not a condition over columns; "
            "write what would follow WHERE, e.g. value > 0 AND measure <> 'errors'"
        )
    return condition.unnest()


def _refuse_pattern_operators(text: str) -> None:
    """Refuse `~`, which PostgreSQL and DuckDB understand differently."""
    for token in sqlglot.tokenize(text, dialect=DIALECT):
        if token.token_type in _PATTERN_OPERATORS:
            raise ConfigError(
                f"the operator {token.text} is not supported: write regexp_matches(measure, "
                "'a.*') to find a pattern in a text, or regexp_full_match for the whole of it"
            )


def _syntax(error: SqlglotError, text: str) -> str:
    details = getattr(error, "errors", None) or [{}]
    place = f" at character {details[0]['col']}" if "col" in details[0] else ""
    return f"{_clipped(text)} is not a SQL condition{place}"


def _refuse_tables(condition: exp.Expr) -> None:
    for column in condition.find_all(exp.Column):
        if column.table:
            raise ConfigError(f"{column.sql()!r}: write the column name alone")


def _level(name: str) -> str:
    return CATALOGUE[name].level if name in CATALOGUE else "export"


def _all(parts: list[pl.Expr]) -> pl.Expr | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return pl.all_horizontal(parts)


def _clipped(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:197] + "...")
