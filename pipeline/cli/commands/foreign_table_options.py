"""Define the options that say how a plain table is read."""

from __future__ import annotations

from collections.abc import Sequence

import click
from pydantic import ValidationError

from pipeline.cli.failures import current_invocation
from pipeline.errors import ConfigError
from pipeline.imports.telemetry import ForeignDataError, ForeignOptions


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


def show_problems(error: ForeignDataError, *, as_json: bool) -> None:
    """Print what is wrong with a table; as JSON it becomes part of the failure's object."""
    if as_json:
        current_invocation().report = error.report.as_json()
    else:
        click.echo(error.report.as_text())
