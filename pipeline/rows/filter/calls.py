"""Compile calls of functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from sqlglot import exp

from pipeline.errors import ConfigError
from pipeline.rows.filter.functions import FUNCTIONS, Function
from pipeline.rows.filter.terms import KIND_NAMES, NodeCompiler, Term, TermCompiler, expect, quoted
from pipeline.rows.filter.values import clock_time
from pipeline.wording import suggestion

_CLOCK_FUNCTIONS = ("now", "get_current_timestamp", "transaction_timestamp")
_SPELLINGS: Mapping[type[exp.Expr], tuple[str, tuple[str, ...]]] = {
    exp.Abs: ("abs", ("this",)),
    exp.Ceil: ("ceil", ("this",)),
    exp.Contains: ("contains", ("this", "expression")),
    exp.Day: ("day", ("this",)),
    exp.DayOfWeek: ("dayofweek", ("this",)),
    exp.DayOfWeekIso: ("isodow", ("this",)),
    exp.DayOfYear: ("dayofyear", ("this",)),
    exp.EndsWith: ("ends_with", ("this", "expression")),
    exp.Exp: ("exp", ("this",)),
    exp.Extract: ("date_part", ("this", "expression")),
    exp.Floor: ("floor", ("this",)),
    exp.Hour: ("hour", ("this",)),
    exp.IsInf: ("isinf", ("this",)),
    exp.IsNan: ("isnan", ("this",)),
    exp.Left: ("left", ("this", "expression")),
    exp.Length: ("length", ("this",)),
    exp.Ln: ("ln", ("this",)),
    exp.Lower: ("lower", ("this",)),
    exp.Minute: ("minute", ("this",)),
    exp.Month: ("month", ("this",)),
    exp.Pow: ("pow", ("this", "expression")),
    exp.Quarter: ("quarter", ("this",)),
    exp.RegexpFullMatch: ("regexp_full_match", ("this", "expression")),
    exp.RegexpLike: ("regexp_matches", ("this", "expression")),
    exp.Replace: ("replace", ("this", "expression", "replacement")),
    exp.Right: ("right", ("this", "expression")),
    exp.Round: ("round", ("this", "decimals")),
    exp.Second: ("second", ("this",)),
    exp.Sign: ("sign", ("this",)),
    exp.Sqrt: ("sqrt", ("this",)),
    exp.StartsWith: ("starts_with", ("this", "expression")),
    exp.Substring: ("substr", ("this", "start", "length")),
    exp.TimeToStr: ("strftime", ("this", "format")),
    exp.TimeToUnix: ("epoch", ("this",)),
    exp.TimestampTrunc: ("date_trunc", ("unit", "this")),
    exp.DateTrunc: ("date_trunc", ("unit", "this")),
    exp.Trunc: ("trunc", ("this",)),
    exp.Upper: ("upper", ("this",)),
    exp.Week: ("week", ("this",)),
    exp.Year: ("year", ("this",)),
}
"""Functions that the parser has a node for: their names here, and where their arguments are."""

_HARMLESS = ("safe", "typed", "dialect", "zone")
"""Notes of the parser beside the arguments."""


def _anonymous(compiler: TermCompiler, node: exp.Expr) -> Term:
    name = str(node.this).lower()
    if name in _CLOCK_FUNCTIONS and not node.expressions:
        return clock_time(compiler, node, f"{name}()")
    return _called(compiler, node, name, list(node.expressions))


def _trim(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "position")
    name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position")), "trim")
    return _called(compiler, node, name, [node.this])


def _log(compiler: TermCompiler, node: exp.Expr) -> Term:
    base = node.this
    if isinstance(base, exp.Literal) and base.this in ("2", "10") and node.expression:
        return _called(compiler, node, f"log{base.this}", [node.expression])
    raise ConfigError(f"{quoted(node)}: write ln, log2 or log10")


def _call(compiler: TermCompiler, node: exp.Expr) -> Term:
    name, keys = _SPELLINGS[type(node)]
    expect(node, *keys, *_HARMLESS)
    arguments = [node.args[key] for key in keys if node.args.get(key) is not None]
    return _called(compiler, node, name, arguments)


def _called(
    compiler: TermCompiler, node: exp.Expr, name: str, arguments: Sequence[exp.Expr]
) -> Term:
    function = FUNCTIONS.get(name)
    if function is None:
        raise ConfigError(
            f"{quoted(node)}: filters have no function {name[:80]!r}; {suggestion(name, FUNCTIONS)}"
        )
    least = len(function.takes) if function.required is None else function.required
    if not least <= len(arguments) <= len(function.takes):
        raise ConfigError(f"{quoted(node)}: {name} takes {_counts(function, least)}")
    given = [
        _argument(compiler, node, one, wanted)
        for one, wanted in zip(arguments, function.takes, strict=False)
    ]
    try:
        return Term(function.build(*given), function.gives, node)
    except ConfigError as error:
        raise ConfigError(f"{quoted(node)}: {error}") from error


def _argument(compiler: TermCompiler, node: exp.Expr, argument: exp.Expr, wanted: str) -> object:
    if wanted.startswith("literal"):
        literal = (
            argument.name if isinstance(argument, exp.Var) else compiler.term(argument).literal
        )
        if isinstance(literal, str if wanted == "literal text" else int):
            return literal
        what = "a text in quotes" if wanted == "literal text" else "a whole number"
        raise ConfigError(f"{quoted(node)}: expected {what}, found {quoted(argument)}")
    value = compiler.term(argument)
    if wanted == "timestamp":
        value = value.as_time()
    if wanted == "number" and value.kind == "integer":
        return value.expr.cast(pl.Float64)
    if value.kind != wanted:
        raise ConfigError(f"{quoted(node)}: {value.described}, expected {KIND_NAMES[wanted]}")  # type: ignore[index]
    return value.expr


def _counts(function: Function, least: int) -> str:
    most = len(function.takes)
    many = str(most) if least == most else f"{least} to {most}"
    return f"{many} argument{'' if most == 1 else 's'}"


CALLS: Mapping[type[exp.Expr], NodeCompiler] = {
    **dict.fromkeys(_SPELLINGS, _call),
    exp.Anonymous: _anonymous,
    exp.Log: _log,
    exp.Trim: _trim,
}
"""Compilers of function calls, by type of node."""
