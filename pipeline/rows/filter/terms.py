"""Define the parts of a condition, and check how they fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import polars as pl
from sqlglot import exp

from pipeline.errors import ConfigError
from pipeline.rows.column import ColumnType
from pipeline.rows.filter.functions import OperandKind

DIALECT = "duckdb"
NUMERIC = ("number", "integer")
KIND_NAMES: Mapping[OperandKind, str] = {
    "text": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "a condition",
    "timestamp": "a time",
    "interval": "an interval",
    "null": "NULL",
}
_LONGEST_QUOTE = 80


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a condition.

    Attributes:
        expr: Its value.
        kind: What the value is.
        node: The part as it was parsed, for messages.
        literal: The value of a literal.
        months: Months of an interval beside the days and seconds of its value.
    """

    expr: pl.Expr
    kind: OperandKind
    node: exp.Expr
    literal: str | int | float | None = None
    months: int = 0

    @property
    def described(self) -> str:
        """What it is, for messages: `'value' is a number`."""
        return f"{quoted(self.node)} is {KIND_NAMES[self.kind]}"

    def as_time(self) -> Term:
        """Return a literal text as the time it says; every other term as it is.

        Raises:
            ConfigError: The text is no time.
        """
        if not isinstance(self.literal, str):
            return self
        return Term(literal_time(instant(self.literal)), "timestamp", self.node)


class NodeCompiler(Protocol):
    """Compiles the nodes of one type."""

    def __call__(self, compiler: TermCompiler, node: exp.Expr, /) -> Term:
        """Compile a node.

        Raises:
            ConfigError: It holds what filters do not support.
        """


@dataclass(frozen=True, slots=True)
class TermCompiler:
    """Compiles the parts of one condition.

    Attributes:
        types: The columns that it may name.
        now: The instant that `now()` gives, UTC.
        compilers: By type of node; no other nodes are supported.
        clock: What of the condition depends on the clock, gathered while it is compiled.
    """

    types: Mapping[str, ColumnType]
    now: datetime
    compilers: Mapping[type[exp.Expr], NodeCompiler]
    clock: dict[str, None] = field(default_factory=dict)

    def condition(self, node: exp.Expr) -> pl.Expr:
        """Compile a part that is true or false.

        Raises:
            ConfigError: It is something else, or holds what filters do not support.
        """
        term = self.term(node)
        if term.kind != "boolean":
            raise ConfigError(
                f"{term.described}, not a condition; compare it with something, e.g. value > 0"
            )
        return term.expr

    def text(self, node: exp.Expr) -> Term:
        """Compile a part that is text.

        Raises:
            ConfigError: It is something else, or holds what filters do not support.
        """
        value = self.term(node)
        if value.kind != "text":
            raise ConfigError(f"{quoted(node.parent or node)}: {value.described}, expected text")
        return value

    def term(self, node: exp.Expr) -> Term:
        """Compile any part.

        Raises:
            ConfigError: It holds what filters do not support, or what does not fit together.
        """
        compiler = self.compilers.get(type(node))
        if compiler is None:
            raise ConfigError(f"{quoted(node)} is not supported in a filter")
        return compiler(self, node)


def quoted(node: exp.Expr) -> str:
    """Return a part of a condition for a message."""
    text = node.sql(dialect=DIALECT, normalize_functions=False)
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "...")


def expect(node: exp.Expr, *keys: str) -> None:
    """Refuse whatever a node holds beside these keys: it would be ignored silently.

    Raises:
        ConfigError: There is something else.
    """
    if any(value and key not in keys for key, value in node.args.items()):
        raise ConfigError(f"{quoted(node)} is not supported in a filter in this form")


def refuse(reason: str) -> NodeCompiler:
    """Return a compiler that refuses a type of node for a reason."""

    def refused(_: TermCompiler, node: exp.Expr) -> Term:
        raise ConfigError(f"{quoted(node)}: {reason}")

    return refused


def comparable(node: exp.Expr, left: Term, right: Term) -> tuple[Term, Term]:
    """Return two operands that can be compared; text beside a time becomes a time.

    Raises:
        ConfigError: They cannot be compared.
    """
    if left.kind == "timestamp":
        right = right.as_time()
    if right.kind == "timestamp":
        left = left.as_time()
    for one in (left, right):
        if one.kind == "null":
            raise ConfigError(
                f"{quoted(node)}: nothing compares with NULL; write IS NULL or IS NOT NULL"
            )
        if one.months:
            raise ConfigError(f"{quoted(node)}: months differ in length; compare with days")
    if left.kind != right.kind and not {left.kind, right.kind} <= set(NUMERIC):
        raise ConfigError(f"{quoted(node)}: {left.described} and {right.described}")
    return left, right


def common_kind(node: exp.Expr, values: Sequence[Term]) -> OperandKind:
    """Return the kind that alternatives share.

    Raises:
        ConfigError: They are of different kinds.
    """
    kinds = {value.kind for value in values} - {"null"}
    if kinds and kinds <= set(NUMERIC):
        return "integer" if kinds == {"integer"} else "number"
    if len(kinds) != 1:
        described = " and ".join(value.described for value in values[:3])
        raise ConfigError(f"{quoted(node)}: {described}; all of them should be of one kind")
    if any(value.months for value in values):
        raise ConfigError(f"{quoted(node)}: intervals of months are added to times only")
    return kinds.pop()


def instant(text: str) -> datetime:
    """Return the UTC instant of an ISO 8601 text, without its zone.

    Raises:
        ConfigError: It is none.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ConfigError(
            f"{text[:80]!r} is not an ISO 8601 time, e.g. 2025-01-01T06:00:00Z"
        ) from error
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def literal_time(moment: datetime) -> pl.Expr:
    """Return an instant without its zone as an expression."""
    return pl.lit(moment, dtype=pl.Datetime("us"))


BinaryExpression = Callable[[pl.Expr, pl.Expr], pl.Expr]
