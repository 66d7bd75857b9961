"""The verbs that look at places, and tidy them: doctor, runs and clean."""

from __future__ import annotations

from pathlib import Path

import click

from connectors.flowtime.discover.discovery import discover
from connectors.storage import connect
from pipeline.cli.commands.doctor import examine
from pipeline.cli.console import (
    config_argument,
    json_option,
    print_json,
    set_option,
    settings_of,
    storage_of,
    storage_option,
)
from pipeline.cli.exit_codes import DONE, FAILED
from pipeline.cli.output.render import runs_as_data, runs_as_lines
from pipeline.writing.removal import clean


@click.command("doctor")
@config_argument
@set_option
@json_option
def doctor_command(config: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Check that every storage can be reached, listed and written."""
    findings = examine(settings_of(config, overrides))
    if as_json:
        print_json([{"what": f.what, "url": f.url, "problem": f.problem} for f in findings])
    for finding in findings if not as_json else []:
        verdict = "ok  " if finding.problem is None else "FAIL"
        click.echo(f"{verdict} {finding.what}: {finding.url}")
        if finding.problem is not None:
            click.echo(f"     {finding.problem}")
    return FAILED if any(finding.problem for finding in findings) else DONE


@click.command("runs")
@click.argument("url")
@storage_option
@json_option
def runs_command(url: str, storage_options: tuple[str, ...], as_json: bool) -> int:
    """List the runs below URL: id, created, bins, series, complete or why not."""
    storage, path = connect(url, storage_of(url, storage_options))
    found = discover(storage, path)
    if as_json:
        print_json(runs_as_data(found))
        return DONE
    for line in runs_as_lines(found):
        click.echo(line)
    return DONE


@click.command("clean")
@click.argument("target")
@storage_option
@json_option
def clean_command(target: str, storage_options: tuple[str, ...], as_json: bool) -> int:
    """Remove what a crashed export of ours left at or below TARGET."""
    storage, path = connect(target, storage_of(target, storage_options))
    removed = clean(storage, path)
    if as_json:
        print_json({"removed": removed})
        return DONE
    for url in removed:
        click.echo(f"removed {url}")
    click.echo(f"{len(removed)} leftovers of crashed exports removed", err=True)
    return DONE
