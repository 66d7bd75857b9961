"""The verbs that read exports back: verify, import and test-loop."""

from __future__ import annotations

import click

from connectors.storage import protocol_of
from pipeline.cli.commands.foreign_table_options import (
    foreign_options,
    showing_problems,
    table_options,
)
from pipeline.cli.console import (
    json_option,
    print_report,
    registry_option,
    registry_session,
    storage_of,
    storage_option,
)
from pipeline.exit_codes import DONE, FAILED
from pipeline.imports import ImportOptions, import_export
from pipeline.imports.roundtrip import roundtrip
from pipeline.readback.unpacking import MAX_EXPANSION
from pipeline.sinks.formats import ALL_FORMATS
from pipeline.verification import verify

_max_expansion = click.option(
    "--max-expansion",
    type=click.IntRange(min=1),
    default=MAX_EXPANSION,
    show_default=True,
    help="How many times its size a compressed file may unpack to.",
)
_out_storage = click.option(
    "--out-storage-option",
    "out_storage_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Likewise for --out, where it is in another storage.",
)


@click.command("verify")
@click.argument("target")
@click.option("--against", metavar="RUN_URL", help="Compare every value with these runs.")
@_max_expansion
@storage_option
@json_option
def verify_command(
    target: str,
    against: str | None,
    max_expansion: int,
    storage_options: tuple[str, ...],
    as_json: bool,
) -> int:
    """Check the export at TARGET: a descriptor, a folder or a data file."""
    report = verify(
        target,
        against,
        storage_of(target, storage_options),
        against_options=None if against is None else storage_of(against, storage_options),
        max_expansion=max_expansion,
    )
    print_report(report, as_json=as_json)
    return report.exit_code


@click.command("import")
@click.argument("files", nargs=-1, required=True)
@click.option("--out", required=True, metavar="DIR", help="Folder for the run directories.")
@click.option(
    "--if-exists",
    type=click.Choice(["error", "skip", "replace"]),
    default="error",
    show_default=True,
    help="Where a run directory exists already; skip keeps the same run and refuses another.",
)
@click.option("--partial", is_flag=True, help="Restore runs of which only some series are there.")
@click.option("--values-only", is_flag=True, help="Accept right values in other bytes.")
@click.option("--as-telemetry", is_flag=True, help="Take an export for a plain table.")
@click.option("--dry-run", is_flag=True, help="Read and check everything, write nothing.")
@table_options
@click.option(
    "--format", "format_", type=click.Choice(ALL_FORMATS), help="By default that of the names."
)
@click.option("--separator", help="Of CSV; found in the header by default.")
@click.option("--restamp", is_flag=True, help="Times only number the bins, as in FlowTime's CSV.")
@click.option("--class-name", help="Class of rows that name none; default DEFAULT.")
@click.option("--run-id", help="Id of the telemetry run.")
@_max_expansion
@registry_option()
@storage_option
@_out_storage
@json_option
def import_command(
    files: tuple[str, ...],
    out: str,
    if_exists: str,
    partial: bool,
    values_only: bool,
    as_telemetry: bool,
    dry_run: bool,
    columns: tuple[str, ...],
    format_: str | None,
    restamp: bool,
    max_expansion: int,
    registry: str | None,
    storage_options: tuple[str, ...],
    out_storage_options: tuple[str, ...],
    as_json: bool,
    **foreign: str | None,
) -> int:
    """Turn exports back into run directories, or a plain table into a telemetry run."""
    options = ImportOptions(
        if_exists=if_exists,  # type: ignore[arg-type]
        partial=partial,
        values_only=values_only,
        as_telemetry=as_telemetry,
        dry_run=dry_run,
        max_expansion=max_expansion,
        foreign=foreign_options(columns, format=format_, restamp=restamp, **foreign),
    )
    storage = storage_of(files[0], storage_options)
    is_alike = protocol_of(out) == protocol_of(files[0])
    same = out_storage_options or (storage_options if is_alike else ())
    with showing_problems(as_json=as_json):
        report = import_export(
            files,
            out,
            options,
            storage=storage,
            out_storage=storage_of(out, same),
            registry=registry_session(registry),
        )
    print_report(report, as_json=as_json)
    return DONE


@click.command("test-loop")
@click.argument("run")
@storage_option
@json_option
def test_loop_command(run: str, storage_options: tuple[str, ...], as_json: bool) -> int:
    """Export RUN in every format, import it again, and compare every value and byte."""
    report = roundtrip(run, storage=storage_of(run, storage_options))
    print_report(report, as_json=as_json)
    return DONE if report.ok else FAILED
