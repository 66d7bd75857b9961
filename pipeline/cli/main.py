"""The command line: arguments to a verb, and its end to an exit code."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from pipeline.cli.failures import debug_option, invocation_of, redaction, report_failure
from pipeline.cli.lazy_group import LazyCommand, LazyGroup
from pipeline.cli.output.streams import prepare_standard_streams
from pipeline.cli.signals import LEAVE_SECONDS, interruptible, leave, leave_within
from pipeline.execution.library_settings import apply_library_settings
from pipeline.exit_codes import DONE
from pipeline.logs import configure
from pipeline.version import VERSION


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and end the process with the exit code of the contract.

    Args:
        argv: Arguments without the program's name; default those of the process.
    """
    prepare_standard_streams()
    apply_library_settings()
    # Runs and series stay in memory as many small objects without cycles: to look through them
    # for garbage again and again took a tenth of an export's processor time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    with interruptible():
        code = run_cli(argv)
    if code != DONE:
        leave(code)
    gc.freeze()  # Nor need the interpreter do so when it ends.
    leave_within(LEAVE_SECONDS, code)
    sys.exit(code)


def run_cli(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code, whatever fails.

    Args:
        argv: Arguments without the program's name; default those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    redaction.forget()
    invocation = invocation_of(arguments)
    try:
        result = cli.main(
            args=arguments, prog_name="flowtime-export", standalone_mode=False, obj=invocation
        )
    except SystemExit:
        raise
    except BaseException as error:
        return report_failure(error, invocation)
    return result if isinstance(result, int) else DONE


_EXPORT = "pipeline.cli.commands.exports"
_STORAGE = "pipeline.cli.commands.storages"
_CONFIG = "pipeline.cli.commands.configs"
_BACK = "pipeline.cli.commands.verify_import"

_VERBS = {
    "artifacts": LazyCommand(
        "pipeline.cli.commands.artifacts",
        "List, search, tag, archive and delete the artifacts of a registry.",
    ),
    "clean": LazyCommand(_STORAGE, "Remove what a crashed export left at or below TARGET."),
    "compare": LazyCommand(
        "pipeline.cli.commands.compare",
        "Compare OTHER with BASELINE: runs, exports, telemetry bundles or plain tables.",
    ),
    "doctor": LazyCommand(_STORAGE, "Check that every storage can be reached, listed and written."),
    "export": LazyCommand(_EXPORT, "Export one RUN directory without a config."),
    "import": LazyCommand(
        _BACK, "Turn exports back into run directories, or a plain table into a telemetry run."
    ),
    "init": LazyCommand(_CONFIG, "Write a commented config to begin with, to stdout or --out."),
    "plan": LazyCommand(_EXPORT, "Show what would be read and written; touches nothing."),
    "preview": LazyCommand(_EXPORT, "Show the first rows each sink would write."),
    "run": LazyCommand(_EXPORT, "Export the runs of CONFIG to all its sinks."),
    "runs": LazyCommand(
        _STORAGE, "List the runs below URL: id, created, bins, series, complete or why not."
    ),
    "schema": LazyCommand(_CONFIG, "Print the JSON Schema of the config, for editors."),
    "serve": LazyCommand(
        "pipeline.service.web.command", "Serve the runs below a URL, and their exports, over HTTP."
    ),
    "test-loop": LazyCommand(
        _BACK, "Export RUN in every format, import it again, and compare every value and byte."
    ),
    "validate": LazyCommand(_CONFIG, "Check CONFIG without touching any storage."),
    "verify": LazyCommand(
        _BACK, "Check the export at TARGET: a descriptor, a folder or a data file."
    ),
}


_LOG_FORMATS = click.Choice(["text", "json"])
_LOG_LEVELS = click.Choice(["debug", "info", "warning", "error"])


def _change_logs(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """Take an option of the logs after the verb as if it had come before it."""
    if value is not None:
        given = context.find_root().params
        given[option.name] = value
        configure(given["log_format"], given["log_level"], redaction)


_late_log_options = [
    click.Option([name], type=choice, expose_value=False, hidden=True, callback=_change_logs)
    for name, choice in (("--log-format", _LOG_FORMATS), ("--log-level", _LOG_LEVELS))
]


@click.group(
    cls=LazyGroup,
    lazy=_VERBS,
    shared=[debug_option, *_late_log_options],
    params=[debug_option],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION, prog_name="flowtime-export")
@click.option(
    "--log-format",
    type=_LOG_FORMATS,
    default="text",
    show_default=True,
    help="Format of the logs on stderr.",
)
@click.option(
    "--log-level",
    type=_LOG_LEVELS,
    default="warning",
    show_default=True,
    help="Least severe messages that are logged on stderr.",
)
def cli(log_format: str, log_level: str) -> None:
    """Turn FlowTime run directories into verified CSV, NDJSON and Parquet tables."""
    configure("json" if log_format == "json" else "text", log_level, redaction)
