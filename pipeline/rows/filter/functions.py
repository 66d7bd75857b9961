"""Define the functions that a filter may call, with the meaning they have in DuckDB."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from pipeline.errors import ConfigError
from pipeline.rows.column import ColumnType

OperandKind = ColumnType | Literal["interval", "null"]
"""What an operand of a condition is."""

Parameter = OperandKind | Literal["literal text", "literal integer"]
"""What a function takes: a value of a kind, or a literal, which is handed over as it is."""

_MOST_DECIMALS = 30
_STRFTIME = re.compile(r"(?:[^%]|%[YmdHMSjybBaApIfz%])*")
_PARTS: Mapping[str, Callable[[pl.Expr], pl.Expr]] = {
    "year": lambda time: time.dt.year(),
    "quarter": lambda time: time.dt.quarter(),
    "month": lambda time: time.dt.month(),
    "week": lambda time: time.dt.week(),
    "day": lambda time: time.dt.day(),
    "dayofyear": lambda time: time.dt.ordinal_day(),
    "dayofweek": lambda time: time.dt.weekday() % 7,
    "isodow": lambda time: time.dt.weekday(),
    "hour": lambda time: time.dt.hour(),
    "minute": lambda time: time.dt.minute(),
    "second": lambda time: time.dt.second(),
}
_PART_ALIASES = {"dow": "dayofweek", "doy": "dayofyear"}
_STEPS = {
    "minute": "1m",
    "hour": "1h",
    "day": "1d",
    "week": "1w",
    "month": "1mo",
    "quarter": "1q",
    "year": "1y",
}


@dataclass(frozen=True, slots=True)
class Function:
    """A function of filters.

    Attributes:
        takes: Its parameters.
        gives: The kind of its value.
        build: Makes the expression of the arguments; literals are Python values.
        required: Parameters that cannot be left out; default all.
    """

    takes: tuple[Parameter, ...]
    gives: OperandKind
    build: Callable[..., pl.Expr]
    required: int | None = None


def regular_expression(pattern: str) -> str:
    """Return a pattern once it is known to be one.

    Raises:
        ConfigError: It is no regular expression.
    """
    try:
        pl.Series(["x"]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"{pattern[:80]!r} is not a regular expression") from error
    return pattern


def like_pattern(pattern: str, escape: str | None) -> str:
    r"""Return the regular expression of a LIKE pattern.

    >>> like_pattern("a_%", None), like_pattern("50!%", "!")
    ('(?s)\\Aa..*\\z', '(?s)\\A50%\\z')

    Raises:
        ConfigError: The pattern ends in its escape character.
    """
    expression = ""
    characters = iter(pattern)
    for one in characters:
        if one == escape:
            literal = next(characters, None)
            if literal is None:
                raise ConfigError(f"LIKE {pattern!r} ends in its escape character")
            expression += re.escape(literal)
        else:
            expression += {"%": ".*", "_": "."}.get(one) or re.escape(one)
    return rf"(?s)\A{expression}\z"


def date_part(part: str, time: pl.Expr) -> pl.Expr:
    """Return a part of a time as a whole number.

    Raises:
        ConfigError: There is no such part.
    """
    name = part.lower()
    known = _PARTS.get(_PART_ALIASES.get(name, name))
    if known is None:
        raise ConfigError(f"{part!r} is no part of a time; choose from {', '.join(_PARTS)}")
    return known(time).cast(pl.Int64)


def date_trunc(step: str, time: pl.Expr) -> pl.Expr:
    """Return the start of the step that a time lies in.

    Raises:
        ConfigError: There is no such step.
    """
    if step.lower() not in _STEPS:
        raise ConfigError(f"date_trunc to {step!r}: choose from {', '.join(_STEPS)}")
    return time.dt.truncate(_STEPS[step.lower()])


def _sign(number: pl.Expr) -> pl.Expr:
    """Return -1, 0 or 1; 0 for NaN, as DuckDB does."""
    return pl.when(number.is_nan()).then(0.0).otherwise(number.sign())


def modulo(left: pl.Expr, right: pl.Expr) -> pl.Expr:
    """Return the remainder with the sign of the dividend, as in SQL."""
    rest = left % right
    return pl.when((rest != 0) & ((left < 0) != (right < 0))).then(rest - right).otherwise(rest)


def _strftime(time: pl.Expr, layout: str) -> pl.Expr:
    if not _STRFTIME.fullmatch(layout):
        raise ConfigError(f"strftime: {layout!r} holds a code that is not supported")
    return time.dt.strftime(layout)


def _truncated(number: pl.Expr) -> pl.Expr:
    return pl.when(number < 0).then(number.ceil()).otherwise(number.floor())


def _rounded(number: pl.Expr, decimals: int = 0) -> pl.Expr:
    if not 0 <= decimals <= _MOST_DECIMALS:
        raise ConfigError(f"round to {decimals} decimals: choose 0 to {_MOST_DECIMALS}")
    return number.round(decimals, mode="half_away_from_zero")


def _substring(text: pl.Expr, start: int, length: int | None = None) -> pl.Expr:
    if start < 1 or (length is not None and length < 0):
        raise ConfigError("substr counts from 1, and takes no negative length")
    return text.str.slice(start - 1, length)


def _beginning(text: pl.Expr, length: int) -> pl.Expr:
    if length < 0:
        raise ConfigError("left takes no negative length")
    return text.str.head(length)


def _end(text: pl.Expr, length: int) -> pl.Expr:
    if length < 0:
        raise ConfigError("right takes no negative length")
    return text.str.tail(length)


def _of_number(build: Callable[[pl.Expr], pl.Expr], gives: OperandKind = "number") -> Function:
    return Function(("number",), gives, build)


def _of_text(build: Callable[[pl.Expr], pl.Expr], gives: OperandKind = "text") -> Function:
    return Function(("text",), gives, build)


def _about_text(build: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Function:
    return Function(("text", "text"), "boolean", build)


FUNCTIONS: Mapping[str, Function] = {
    "abs": _of_number(pl.Expr.abs),
    "ceil": _of_number(pl.Expr.ceil),
    "exp": _of_number(pl.Expr.exp),
    "floor": _of_number(pl.Expr.floor),
    "isfinite": _of_number(pl.Expr.is_finite, "boolean"),
    "isinf": _of_number(pl.Expr.is_infinite, "boolean"),
    "isnan": _of_number(pl.Expr.is_nan, "boolean"),
    "ln": _of_number(lambda number: number.log()),
    "log10": _of_number(lambda number: number.log10()),
    "log2": _of_number(lambda number: number.log(2)),
    "pow": Function(("number", "number"), "number", pl.Expr.pow),
    "round": Function(("number", "literal integer"), "number", _rounded, required=1),
    "sign": _of_number(_sign),
    "sqrt": _of_number(pl.Expr.sqrt),
    "trunc": _of_number(_truncated),
    "contains": _about_text(lambda text, part: text.str.contains(part, literal=True)),
    "ends_with": _about_text(lambda text, end: text.str.ends_with(end)),
    "left": Function(("text", "literal integer"), "text", _beginning),
    "length": _of_text(lambda text: text.str.len_chars().cast(pl.Int64), "integer"),
    "lower": _of_text(lambda text: text.str.to_lowercase()),
    "ltrim": _of_text(lambda text: text.str.strip_chars_start(" ")),
    "regexp_full_match": Function(
        ("text", "literal text"),
        "boolean",
        lambda text, pattern: text.str.contains(rf"\A(?:{regular_expression(pattern)})\z"),
    ),
    "regexp_matches": Function(
        ("text", "literal text"),
        "boolean",
        lambda text, pattern: text.str.contains(regular_expression(pattern)),
    ),
    "replace": Function(
        ("text", "text", "text"),
        "text",
        lambda text, old, new: text.str.replace_all(old, new, literal=True),
    ),
    "right": Function(("text", "literal integer"), "text", _end),
    "rtrim": _of_text(lambda text: text.str.strip_chars_end(" ")),
    "starts_with": _about_text(lambda text, start: text.str.starts_with(start)),
    "substr": Function(
        ("text", "literal integer", "literal integer"), "text", _substring, required=2
    ),
    "trim": _of_text(lambda text: text.str.strip_chars(" ")),
    "upper": _of_text(lambda text: text.str.to_uppercase()),
    "date_part": Function(("literal text", "timestamp"), "integer", date_part),
    "date_trunc": Function(("literal text", "timestamp"), "timestamp", date_trunc),
    "epoch": Function(("timestamp",), "number", lambda time: time.dt.epoch("us") / 1_000_000),
    "strftime": Function(("timestamp", "literal text"), "text", _strftime),
    **{
        name: Function(("timestamp",), "integer", lambda time, name=name: date_part(name, time))
        for name in _PARTS
    },
}
"""Every function by its name."""
