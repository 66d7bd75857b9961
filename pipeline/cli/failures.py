"""Handle every failure of the command line in one place."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from connectors.errors import printable
from pipeline.cli.signals import Terminated, discard_staged
from pipeline.errors import ConfigError, FlowtimeExportError
from pipeline.exit_codes import FAILED, INTERRUPTED, TERMINATED, USAGE
from pipeline.logs import LOGGER, Redaction

redaction = Redaction()
"""Learns the secrets of this process and masks them in logs and messages."""

_PLACES = ("run_url", "series", "file", "line", "url")
"""Attributes of errors that say where something is wrong."""
_ROOT = Path(__file__).parents[2]
_OWN_PACKAGES = frozenset({"connectors", "pipeline", "flowtime_export"})


@dataclass
class Invocation:
    """What a failure must know of the command line that it ends.

    Attributes:
        as_json: Whether results are printed as JSON, and so the failure.
        debug: Whether tracebacks are shown.
        in_lines: Whether each JSON object is printed on one line.
        name: Name of the config, once it has been read.
        report: What was found out before the failure, as JSON-compatible data.
    """

    as_json: bool = False
    debug: bool = False
    in_lines: bool = False
    name: str | None = None
    report: dict[str, Any] = field(default_factory=dict)


def current_invocation() -> Invocation:
    """Return the invocation of the command that is being run; a new one outside of any."""
    context = click.get_current_context(silent=True)
    return Invocation() if context is None else context.ensure_object(Invocation)


def failure_as_json(error: BaseException, invocation: Invocation) -> dict[str, Any]:
    """Return a failure as JSON-compatible data, without secrets."""
    code, kind, message = _described(error)
    where = {name: getattr(error, name, None) for name in _PLACES}
    known = {
        name: redaction.masked(value) if isinstance(value, str) else value
        for name, value in where.items()
        if value not in (None, "") and isinstance(error, FlowtimeExportError)
    }
    return {
        "name": invocation.name,
        "status": "failed",
        "exit_code": code,
        "error": {"type": kind, "message": redaction.masked(message), **known},
        **invocation.report,
    }


def report_failure(error: BaseException, invocation: Invocation) -> int:
    """Log a failure, print it where JSON was asked for, and return the exit code."""
    if isinstance(error, KeyboardInterrupt | click.Abort | Terminated):
        discard_staged()
    code, _, message = _described(error)
    if isinstance(error, click.ClickException):
        error.show()
    else:
        LOGGER.error(message, exc_info=error if invocation.debug else None)
    if invocation.as_json:
        indent = None if invocation.in_lines else 2
        text = json.dumps(failure_as_json(error, invocation), indent=indent, ensure_ascii=False)
        try:
            click.echo(text)
        except FlowtimeExportError:
            LOGGER.debug("the failure could not be printed on stdout")
    return code


def _described(error: BaseException) -> tuple[int, str, str]:
    """Exit code, type and message of a failure."""
    match error:
        case click.ClickException():
            return USAGE, "UsageError", error.format_message()
        case KeyboardInterrupt() | click.Abort():
            return INTERRUPTED, "Interrupted", "interrupted; nothing was published in part"
        case Terminated():
            return TERMINATED, "Terminated", "terminated; nothing was published in part"
        case FlowtimeExportError():
            code = USAGE if isinstance(error, ConfigError) else FAILED
            return code, type(error).__name__, str(error)
        case MemoryError():
            return (
                FAILED,
                "MemoryError",
                "not enough memory: set execution.memory_limit to what this machine can give, or "
                "fewer execution.workers",
            )
        case _:
            return FAILED, "InternalError", _unexpected(error)


def _unexpected(error: BaseException) -> str:
    said = printable(str(error))
    return (
        f"unexpected {type(error).__name__}{_place_of(error)}{': ' if said else ''}{said}; this is "
        "a fault of flowtime-export: run it again with --debug, and report what that shows"
    )


def _place_of(error: BaseException) -> str:
    """Return the innermost line of this project that an error went through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _OWN_PACKAGES:
            return f" at {path.relative_to(_ROOT)}:{frame.lineno}"
    return ""


def show_traceback(context: click.Context, _: click.Parameter, value: bool) -> None:
    """Take the option `--debug`, before or after the verb."""
    if value:
        context.ensure_object(Invocation).debug = True


debug_option = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    is_eager=True,
    envvar="FLOWTIME_EXPORT_DEBUG",
    callback=show_traceback,
    help="Show the traceback of an error.",
)
"""Belongs to the group and to every verb."""


def invocation_of(arguments: list[str]) -> Invocation:
    """Return what a command line asks for, before it is parsed: parsing may fail as well."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return Invocation(as_json="--json" in options)
