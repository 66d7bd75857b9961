"""Compile logic and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from sqlglot import exp

from pipeline.errors import ConfigError
from pipeline.rows.filter.functions import like_pattern, regular_expression
from pipeline.rows.filter.terms import (
    BinaryExpression,
    NodeCompiler,
    Term,
    TermCompiler,
    common_kind,
    comparable,
    expect,
    quoted,
    refuse,
)

_COMPARISONS: Mapping[type[exp.Expr], BinaryExpression] = {
    exp.EQ: pl.Expr.eq,
    exp.NEQ: pl.Expr.ne,
    exp.LT: pl.Expr.lt,
    exp.LTE: pl.Expr.le,
    exp.GT: pl.Expr.gt,
    exp.GTE: pl.Expr.ge,
    exp.NullSafeEQ: pl.Expr.eq_missing,
    exp.NullSafeNEQ: pl.Expr.ne_missing,
}


def _and(compiler: TermCompiler, node: exp.Expr) -> Term:
    return Term(pl.all_horizontal(_operands(compiler, node)), "boolean", node)


def _or(compiler: TermCompiler, node: exp.Expr) -> Term:
    return Term(pl.any_horizontal(_operands(compiler, node)), "boolean", node)


def _operands(compiler: TermCompiler, node: exp.Expr) -> list[pl.Expr]:
    assert isinstance(node, exp.Connector)
    return [compiler.condition(part) for part in node.flatten()]


def _not(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this")
    return Term(compiler.condition(node.this).not_(), "boolean", node)


def _is(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "expression")
    left = compiler.term(node.this)
    wanted = node.expression
    if isinstance(wanted, exp.Null):
        return Term(left.expr.is_null(), "boolean", node)
    if not isinstance(wanted, exp.Boolean):
        raise ConfigError(f"{quoted(node)}: IS goes with NULL, TRUE, FALSE or NOT of these")
    if left.kind != "boolean":
        truth = "TRUE" if wanted.this else "FALSE"
        raise ConfigError(f"{quoted(node)}: {left.described}, so it is never {truth}; compare it")
    return Term(left.expr.eq_missing(pl.lit(bool(wanted.this))), "boolean", node)


def _case(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "ifs", "default")
    subject = node.args.get("this")
    branches: list[tuple[pl.Expr, Term]] = []
    for branch in node.args["ifs"]:
        when = branch.this if subject is None else exp.EQ(this=subject, expression=branch.this)
        branches.append((compiler.condition(when), compiler.term(branch.args["true"])))
    default = node.args.get("default")
    return _chosen(node, branches, None if default is None else compiler.term(default))


def _if(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "true", "false")
    branch = (compiler.condition(node.this), compiler.term(node.args["true"]))
    other = node.args.get("false")
    return _chosen(node, [branch], None if other is None else compiler.term(other))


def _chosen(node: exp.Expr, branches: Sequence[tuple[pl.Expr, Term]], default: Term | None) -> Term:
    values = [value for _, value in branches] + ([default] if default is not None else [])
    kind = common_kind(node, values)
    other = pl.lit(None) if default is None else default.expr
    for when, value in reversed(branches):
        other = pl.when(when).then(value.expr).otherwise(other)
    return Term(other, kind, node)


def _comparison(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "expression")
    left, right = comparable(node, compiler.term(node.this), compiler.term(node.expression))
    return Term(_COMPARISONS[type(node)](left.expr, right.expr), "boolean", node)


def _between(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "low", "high")
    subject = compiler.term(node.this)
    one, low = comparable(node, subject, compiler.term(node.args["low"]))
    other, high = comparable(node, subject, compiler.term(node.args["high"]))
    within = (one.expr >= low.expr) & (other.expr <= high.expr)
    return Term(within, "boolean", node)


def _in(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "expressions")
    subject = compiler.term(node.this)
    pairs = [comparable(node, subject, compiler.term(one)) for one in node.expressions]
    if not pairs:
        raise ConfigError(f"{quoted(node)}: write the values in brackets, IN ('a', 'b')")
    return Term(pl.any_horizontal([a.expr == b.expr for a, b in pairs]), "boolean", node)


def _like(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "expression", "negate")
    return _matching(compiler, node, None)


def _escape(compiler: TermCompiler, node: exp.Expr) -> Term:
    expect(node, "this", "expression")
    escape = node.expression
    if not isinstance(escape, exp.Literal) or len(escape.this) != 1:
        raise ConfigError(f"{quoted(node)}: ESCAPE takes one character")
    if not isinstance(node.this, exp.Like | exp.ILike):
        raise ConfigError(f"{quoted(node)}: ESCAPE belongs to LIKE")
    return _matching(compiler, node.this, escape.this)


def _matching(compiler: TermCompiler, node: exp.Expr, escape: str | None) -> Term:
    subject = compiler.text(node.this)
    pattern = node.expression
    if isinstance(pattern, exp.Any | exp.All):
        raise ConfigError(f"{quoted(node)}: write one LIKE for each pattern, joined by OR")
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        raise ConfigError(f"{quoted(node)}: the pattern of LIKE is a text, e.g. 'a%'")
    expression = like_pattern(pattern.this, escape)
    if isinstance(node, exp.ILike):
        expression = f"(?i){expression}"
    found = subject.expr.str.contains(regular_expression(expression))
    return Term(found.not_() if node.args.get("negate") else found, "boolean", node)


LOGIC: Mapping[type[exp.Expr], NodeCompiler] = {
    **dict.fromkeys(_COMPARISONS, _comparison),
    exp.And: _and,
    exp.Any: refuse("ANY is not supported: write IN ('a', 'b')"),
    exp.Between: _between,
    exp.Case: _case,
    exp.Escape: _escape,
    exp.Glob: refuse("GLOB is not supported: write LIKE 'a%'"),
    exp.ILike: _like,
    exp.If: _if,
    exp.In: _in,
    exp.Is: _is,
    exp.Like: _like,
    exp.Not: _not,
    exp.Or: _or,
    exp.Paren: lambda compiler, node: compiler.term(node.this),
    exp.SimilarTo: refuse(
        "SIMILAR TO is not supported: write LIKE 'a%', or regexp_full_match(measure, 'a.*')"
    ),
}
"""Compilers of what is true or false, by type of node."""
