"""The verbs that look at storages and clean them: doctor, runs and clean."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from connectors.errors import DeniedError
from connectors.flowtime.discover.discovery import discover
from connectors.storage import Storage, UnfinishedUpload, connect
from pipeline.cli.commands.doctor import examine
from pipeline.cli.console import (
    DurationType,
    config_argument,
    json_option,
    print_json,
    print_text,
    set_option,
    settings_of,
    storage_of,
    storage_option,
)
from pipeline.cli.output.render import runs_as_data, runs_as_lines
from pipeline.errors import ConfigError
from pipeline.exit_codes import DONE, FAILED
from pipeline.logs import LOGGER
from pipeline.wording import counted
from pipeline.writing.removal import abort_stale_uploads, clean


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
    if not found.runs and not found.refusals:
        LOGGER.warning("no run directories found under %s", storage.url(path))
    if as_json:
        print_json(runs_as_data(found))
        return DONE
    for line in runs_as_lines(found):
        print_text(line)
    return DONE


@click.command("clean")
@click.argument("target")
@click.option(
    "--abort-uploads",
    "age",
    metavar="AGE",
    type=DurationType(),
    help="Also abort S3 uploads to TARGET or below it that were begun longer ago than AGE, such as "
    "7d, and never completed; this includes the uploads of other programs.",
)
@storage_option
@json_option
def clean_command(
    target: str, age: float | None, storage_options: tuple[str, ...], as_json: bool
) -> int:
    """Remove what a crashed export left at or below TARGET.

    Parts of S3 uploads that others never completed are reported, and aborted with --abort-uploads.
    """
    storage, path = connect(target, storage_of(target, storage_options))
    if not path.strip("/"):
        raise ConfigError(
            f"{storage.url(path)} is all there is: name the folder of an export, or one above it"
        )
    cleaned = clean(storage, path)
    removed = cleaned.removed
    aborted = [] if age is None else abort_stale_uploads(storage, path, age)
    unfinished = _unfinished(storage, path)
    if as_json:
        print_json(
            {
                "removed": removed,
                "problems": cleaned.problems,
                "abortedUploads": [_upload_as_data(storage, one) for one in aborted],
                "unfinishedUploads": [_upload_as_data(storage, one) for one in unfinished],
            }
        )
        return FAILED if cleaned.problems else DONE
    for url in removed:
        print_text(f"removed {url}")
    for problem in cleaned.problems:
        LOGGER.error("not removed: %s", problem)
    for upload in aborted:
        print_text(f"aborted the upload to {storage.url(upload.path)}")
    click.echo(f"{counted(len(removed), 'leftover')} of crashed exports removed", err=True)
    if unfinished:
        oldest = _begun(min(unfinished, key=lambda one: one.begun))
        click.echo(
            f"{len(unfinished)} unfinished uploads, the oldest begun {oldest}: no claim "
            "names them; --abort-uploads 7d aborts those older than a week",
            err=True,
        )
    return FAILED if cleaned.problems else DONE


def _unfinished(storage: Storage, path: str) -> list[UnfinishedUpload]:
    try:
        return storage.unfinished_uploads(path)
    except DeniedError:
        return []  # Who may write is not always allowed to list uploads.


def _upload_as_data(storage: Storage, upload: UnfinishedUpload) -> dict[str, str]:
    return {"url": storage.url(upload.path), "begun": _begun(upload)}


def _begun(upload: UnfinishedUpload) -> str:
    return f"{datetime.fromtimestamp(upload.begun, UTC):%Y-%m-%dT%H:%M:%SZ}"
