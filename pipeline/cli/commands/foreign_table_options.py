"""Define the options that say how a plain table is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from pipeline.cli.console import print_text
from pipeline.cli.failures import current_invocation
from pipeline.errors import ConfigError
from pipeline.imports.telemetry import ForeignDataError, ForeignOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--column",
        "columns",
        multiple=True,
        metavar="NAME=COLUMN",
        help="What a plain table calls time_bin, component_id, measure, class or value.",
    ),
    click.option(
        "--bin-size", metavar="WIDTH", help="Of a plain table, e.g. 5m; inferred by default."
    ),
    click.option(
        "--time-origin",
        metavar="INSTANT",
        help="Of a plain table: start of bin 0; default the earliest time.",
    ),
    click.option(
        "--time-unit",
        type=click.Choice(["text", "s", "ms", "us", "bin"]),
        help="Of a plain table's times: ISO 8601, numbers since 1970, or numbers of bins.",
    ),
    click.option("--time-zone", help="Of a plain table's times that name none; default UTC."),
    click.option(
        "--gaps",
        type=click.Choice(["error", "nan"]),
        help="Bins of a plain table without a row: an error (default), or NaN.",
    ),
    click.option(
        "--duplicates",
        type=click.Choice(["error", "last"]),
        help="Bins of a plain table with two rows: an error (default), or the last row counts.",
    ),
)


def table_options(command: _Command) -> _Command:
    """Add the options that say how a plain table is read."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def foreign_options(columns: Sequence[str], **options: object) -> ForeignOptions:
    """Return the options of a plain table.

    Args:
        columns: `NAME=COLUMN` each.
        options: Others by their names; None is left at its default.

    Raises:
        ConfigError: An option is wrong.
    """
    try:
        return ForeignOptions.of(columns=_mapping(columns), **options)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = "-".join(str(part) for part in fault["loc"]).replace("_", "-")
        message = fault["msg"].removeprefix("Value error, ")
        message = message.replace("columns: ", "--column: ", 1)
        raise ConfigError(f"--{name}: {message}" if name else message) from None


def _mapping(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise ConfigError(f"--column {pair!r}: expected NAME=COLUMN, e.g. time_bin=timestamp")
        found[name] = column
    return found


@contextmanager
def showing_problems(*, as_json: bool) -> Iterator[None]:
    """Print what is wrong with a plain table; as JSON it becomes part of the failure's object."""
    try:
        yield
    except ForeignDataError as error:
        if as_json:
            current_invocation().report = error.report.as_json()
        else:
            print_text(error.report.as_text())
        raise
