"""Compile columns, literals, times and arithmetic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, timedelta
from functools import reduce

import polars as pl
from sqlglot import exp

from pipeline.errors import ConfigError
from pipeline.rows.filter.functions import OperandKind, modulo
from pipeline.rows.filter.terms import (
    DIALECT,
    NUMERIC,
    BinaryExpression,
    NodeCompiler,
    Term,
    TermCompiler,
    common_kind,
    comparable,
    expect,
    literal_time,
    quoted,
    refuse,
)
from pipeline.wording import suggestion

_INT64 = 2**63
_LONGEST_INTERVAL = 10_000 * 366 * 86_400
_ARITHMETIC: Mapping[type[exp.Expr], BinaryExpression] = {
    exp.Add: pl.Expr.add,
    exp.Sub: pl.Expr.sub,
    exp.Mul: pl.Expr.mul,
    exp.Div: pl.Expr.truediv,
    exp.Mod: modulo,
}
_CLOCK: Mapping[type[exp.Expr], str] = {
    exp.CurrentTimestamp: "now()",
    exp.Localtimestamp: "localtimestamp",
    exp.CurrentDate: "current_date",
}
_UNITS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_INTERVAL_PART = re.compile(r"\s*([+-]?[0-9]{1,9})\s*([A-Za-z]+)\s*")
_CASTS: Mapping[exp.DType, OperandKind] = {
    **dict.fromkeys((exp.DType.DOUBLE, exp.DType.FLOAT, exp.DType.DECIMAL), "number"),
    **dict.fromkeys(
        (exp.DType.BIGINT, exp.DType.INT, exp.DType.SMALLINT, exp.DType.TINYINT), "integer"
    ),
    **dict.fromkeys((exp.DType.TEXT, exp.DType.VARCHAR), "text"),
    exp.DType.BOOLEAN: "boolean",
    **dict.fromkeys(
        (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ, exp.DType.TIMESTAMPTZ, exp.DType.DATE),
        "timestamp",
    ),
}
_LOSSLESS = {
    ("integer", "number"),
    ("number", "number"),
    ("integer", "integer"),
    ("text", "text"),
    ("integer", "text"),
    ("boolean", "boolean"),
    ("timestamp", "timestamp"),
}
"""Casts that every value survives, from kind to kind."""


def _column(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this")
    name = node.name
    if name not in compiler.types:
        hint = suggestion(name, compiler.types)
        if node.this.args.get("quoted"):
            hint += "; text is written in single quotes"
        raise ConfigError(f"there is no column {name!r}; {hint}")
    if name == "exported_at":
        compiler.clock[name] = None
    return Term(pl.col(name), compiler.types[name], node)


def _literal(_: TermCompiler, node: exp.Expr) -> Term:
    if node.is_string:
        return Term(pl.lit(node.this), "text", node, node.this)
    try:
        number = int(node.this)
    except ValueError:
        return _decimal(node)
    if number >= _INT64:
        raise ConfigError(f"{quoted(node)} is too large for a whole number; write it as 1e19")
    return Term(pl.lit(number, dtype=pl.Int64), "integer", node, number)


def _decimal(node: exp.Expr) -> Term:
    try:
        number = float(node.this)
    except ValueError as error:
        raise ConfigError(f"{quoted(node)} is not a number") from error
    if number in (float("inf"), float("-inf")):
        raise ConfigError(
            f"{quoted(node)} is too large for a number; infinity is CAST('inf' AS DOUBLE)"
        )
    return Term(pl.lit(number), "number", node, number)


def _boolean(_: TermCompiler, node: exp.Expr) -> Term:
    return Term(pl.lit(bool(node.this)), "boolean", node)


def _null(_: TermCompiler, node: exp.Expr) -> Term:
    return Term(pl.lit(None), "null", node)


def _clock(compiler: TermCompiler, node: exp.Expr) -> Term:
    return clock_time(compiler, node, _CLOCK[type(node)])


def clock_time(compiler: TermCompiler, node: exp.Expr, name: str) -> Term:
    """Compile the current time, or the current day, and note that it is asked for.

    Args:
        compiler: The compiler of the condition.
        node: What asks for it.
        name: Its name for messages.
    """
    compiler.clock[name] = None
    moment = compiler.now.astimezone(UTC).replace(tzinfo=None)
    if isinstance(node, exp.CurrentDate):
        moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return Term(literal_time(moment), "timestamp", node)


def _interval(_: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "unit")
    amount = node.this.unnest() if node.this is not None else None
    if not isinstance(amount, exp.Literal):
        raise ConfigError(f"{quoted(node)}: write an interval as INTERVAL '7 days'")
    unit = node.args.get("unit")
    text = str(amount.this) if unit is None else f"{amount.this} {unit.name}"
    seconds, months = _parse_interval(text, node)
    return Term(pl.lit(timedelta(seconds=seconds)), "interval", node, months=months)


def _arithmetic(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "expression", "typed", "safe")
    left, right = compiler.term(node.this), compiler.term(node.expression)
    if {left.kind, right.kind} & {"timestamp", "interval"}:
        return _of_times(node, left, right)
    for one in (left, right):
        if one.kind not in NUMERIC:
            raise ConfigError(f"{quoted(node)}: {one.described}, so it cannot be calculated with")
    whole = left.kind == right.kind == "integer" and not isinstance(node, exp.Div)
    # Wide enough that nothing overflows.
    wide = pl.Int128() if whole else pl.Float64()
    build = _ARITHMETIC[type(node)]
    value = build(left.expr.cast(wide), right.expr.cast(wide))
    return Term(value, "integer" if whole else "number", node)


def _of_times(node: exp.Expr, left: Term, right: Term) -> Term:
    if isinstance(node, exp.Sub):
        right = right.as_time()
    kinds = (left.kind, right.kind)
    sign = -1 if isinstance(node, exp.Sub) else 1
    if isinstance(node, exp.Add | exp.Sub):
        if kinds == ("timestamp", "interval"):
            return _moved(node, left, right, sign)
        if kinds == ("interval", "timestamp") and sign > 0:
            return _moved(node, right, left, sign)
        if kinds == ("timestamp", "timestamp") and sign < 0:
            return Term(left.expr - right.expr, "interval", node)
        if kinds == ("interval", "interval"):
            span = left.expr + right.expr if sign > 0 else left.expr - right.expr
            return Term(span, "interval", node, months=left.months + sign * right.months)
    raise ConfigError(
        f"{quoted(node)}: with times and intervals write time_bin - INTERVAL '7 days', or the "
        "difference of two times"
    )


def _negative(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this")
    value = compiler.term(node.this)
    if value.kind not in (*NUMERIC, "interval"):
        raise ConfigError(f"{quoted(node)}: {value.described}, which has no negative")
    opposite = -value.literal if isinstance(value.literal, int | float) else None
    return Term(-value.expr, value.kind, node, opposite, -value.months)


def _joined(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "expression", "safe")
    left, right = compiler.text(node.this), compiler.text(node.expression)
    return Term(left.expr + right.expr, "text", node)


def _first_known(compiler: TermCompiler, node: exp.Expr) -> Term:
    values = [compiler.term(one) for one in (node.this, *node.expressions)]
    kind = common_kind(node, values)
    return Term(pl.coalesce([value.expr for value in values]), kind, node)


def _unless_equal(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "expression")
    left, right = comparable(node, compiler.term(node.this), compiler.term(node.expression))
    return Term(pl.when(left.expr != right.expr).then(left.expr), left.kind, node)


def _extreme(compiler: TermCompiler, node: exp.Expr) -> Term:
    values = [compiler.term(one) for one in (node.this, *node.expressions)]
    kind = common_kind(node, values)
    better = pl.Expr.ge if isinstance(node, exp.Greatest) else pl.Expr.le

    def pick(one: pl.Expr, other: pl.Expr) -> pl.Expr:
        # A null counts as nothing, NaN as the greatest number.
        keeps = other.is_null() | better(one, other)
        return pl.when(keeps.fill_null(value=False)).then(one).otherwise(other)

    return Term(reduce(pick, [value.expr for value in values]), kind, node)


def _cast(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "to", "safe")
    value = compiler.term(node.this)
    target = node.args["to"]
    kind = _CASTS.get(target.this)
    if kind == "timestamp":
        value = value.as_time()
    if kind is None or (value.kind, kind) not in _LOSSLESS:
        return _parsed(node, value, kind)
    if kind == "timestamp":
        is_day = target.this == exp.DType.DATE
        return Term(value.expr.dt.truncate("1d") if is_day else value.expr, kind, node)
    dtype = {"number": pl.Float64(), "integer": pl.Int64(), "text": pl.String()}.get(kind)
    return Term(value.expr if dtype is None else value.expr.cast(dtype), kind, node)


def _parsed(node: exp.Expr, value: Term, kind: OperandKind | None) -> Term:
    """Compile a cast of text, which may not hold what it is cast to."""
    if kind in NUMERIC and value.kind == "text":
        if isinstance(value.literal, str):
            return _number_in(node, value.literal)
        if kind == "number" and isinstance(node, exp.TryCast):
            return Term(value.expr.cast(pl.Float64, strict=False), kind, node)
        raise ConfigError(f"{quoted(node)}: {value.described}; write TRY_CAST(... AS DOUBLE)")
    if kind == "integer" and value.kind == "number":
        raise ConfigError(f"{quoted(node)}: write floor, round or trunc instead")
    what = node.args["to"].sql(dialect=DIALECT)
    hint = "; write strftime(time_bin, '%Y-%m-%d')" if value.kind == "timestamp" else ""
    raise ConfigError(f"{quoted(node)}: {value.described} and is not cast to {what}{hint}")


def _number_in(node: exp.Expr, text: str) -> Term:
    try:
        number = float(text)
    except ValueError as error:
        raise ConfigError(f"{quoted(node)}: {text[:80]!r} is not a number") from error
    return Term(pl.lit(number), "number", node, number)


def _moved(node: exp.Expr, time: Term, span: Term, sign: int) -> Term:
    """Return a time moved by an interval: by its months, then by the rest, as DuckDB does."""
    moved = time.expr.dt.offset_by(f"{sign * span.months}mo") if span.months else time.expr
    return Term(moved + span.expr if sign > 0 else moved - span.expr, "timestamp", node)


def _parse_interval(text: str, node: exp.Expr) -> tuple[int, int]:
    """Return seconds and months of an interval such as `1 day 6 hours`."""
    seconds = months = end = 0
    for part in _INTERVAL_PART.finditer(text):
        unit = part[2].lower().removesuffix("s")
        if part.start() != end or unit not in _UNITS.keys() | _MONTHS.keys():
            break
        end = part.end()
        seconds += int(part[1]) * _UNITS.get(unit, 0)
        months += int(part[1]) * _MONTHS.get(unit, 0)
    if (
        not text.strip()
        or end != len(text)
        or max(abs(seconds), abs(months) * 31 * 86_400) > _LONGEST_INTERVAL
    ):
        raise ConfigError(
            f"{quoted(node)}: write an interval as INTERVAL '7 days'; units are "
            f"{', '.join([*_UNITS, *_MONTHS])}"
        )
    return seconds, months


VALUES: Mapping[type[exp.Expr], NodeCompiler] = {
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(_CLOCK, _clock),
    exp.AtTimeZone: refuse("time zones are not supported: all times are UTC"),
    exp.Boolean: _boolean,
    exp.Cast: _cast,
    exp.Coalesce: _first_known,
    exp.Column: _column,
    exp.CurrentTime: refuse("a time of day is not supported: write hour(time_bin)"),
    exp.DPipe: _joined,
    exp.DateAdd: refuse("write time_bin + INTERVAL '7 days'"),
    exp.DateSub: refuse("write time_bin - INTERVAL '7 days'"),
    exp.Greatest: _extreme,
    exp.IntDiv: refuse("// is not supported: write floor(a / b)"),
    exp.Interval: _interval,
    exp.Least: _extreme,
    exp.Literal: _literal,
    exp.Neg: _negative,
    exp.Null: _null,
    exp.Nullif: _unless_equal,
    exp.Placeholder: refuse("there are no parameters: write the value"),
    exp.TryCast: _cast,
}
"""Compilers of values, by type of node."""
