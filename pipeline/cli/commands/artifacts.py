"""The verbs of the registry: `artifacts list`, `show`, `tag`, `rebuild` and others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from connectors.flowtime.model.instant import parse_instant
from pipeline.cli.console import (
    json_option,
    print_json,
    registry_option,
    storage_of,
    storage_option,
)
from pipeline.cli.failures import redaction
from pipeline.cli.output.artifact_tables import (
    artifact_lines,
    page_lines,
    relationship_lines,
    stats_lines,
)
from pipeline.config.values import passwords_in
from pipeline.errors import ConfigError, UnknownArtifactError
from pipeline.execution.rebuilding import reading_workers
from pipeline.exit_codes import DONE, FAILED
from pipeline.registry.queries.query import MAX_LIMIT, SORT_KEYS
from pipeline.registry.records.artifact import STATES, TYPES
from pipeline.registry.records.descriptor_records import DESCRIBED_TYPES
from pipeline.registry.registry import Registry, open_registry
from pipeline.wording import counted, human_size

_Command = TypeVar("_Command", bound=Callable[..., Any])

_tags = click.argument("tags", nargs=-1, required=True)
_ids = click.argument("artifact_ids", metavar="ID...", nargs=-1, required=True)
_id = click.argument("artifact_id", metavar="ID")


def _answered(command: _Command) -> _Command:
    """Add the options of a verb that asks a registry: its URL, and JSON as the answer."""
    return registry_option(required=True)(json_option(command))


class _Moment(click.ParamType[str]):
    """An instant or a day, handed on as it was written."""

    name = "instant"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> str:
        if parse_instant(str(value)) is None:
            self.fail(f"{value!r} is no instant such as 2025-01-31T08:00:00Z", param, ctx)
        return str(value)


@click.group("artifacts")
def artifacts_command() -> None:
    """List, search, tag, archive and delete the artifacts of a registry."""


def _filters(command: _Command) -> _Command:
    """Add the filters of a list, by the names that HTTP has."""
    texts = {
        "search": "Artifacts whose title or metadata contain this text, in any case.",
        "full-text": "Likewise, and in ids, tags and names of files.",
        "tags": "Artifacts with one of these tags, separated by commas.",
        "related-to": "Artifacts related to the one with this id.",
        "template-id": "Artifacts of this template.",
        "model-id": "Artifacts of this model, by its id or hash.",
        "source": "Artifacts from this source, e.g. engine.",
        "component": "Artifacts with series of this component.",
        "measure": "Artifacts with series of this measure.",
        "class": "Artifacts with series of this class.",
        "owner": "Artifacts of this owner.",
        "day": "Artifacts created on this UTC day, e.g. 2025-01-31.",
        "cursor": "Continue after a page: its nextCursor.",
    }
    for name, text in reversed(texts.items()):
        command = click.option(f"--{name}", help=text)(command)
    for name, text in (("created-before", "Latest"), ("created-after", "Earliest")):
        text = f"{text} instant of creation, itself included."
        command = click.option(f"--{name}", type=_Moment(), help=text)(command)
    for name, text in (("max-size", "Largest"), ("min-size", "Smallest")):
        text = f"{text} size, itself included."
        size = click.IntRange(min=0)
        command = click.option(f"--{name}", type=size, metavar="BYTES", help=text)(command)
    return command


@artifacts_command.command("list")
@click.option(
    "--type", type=click.Choice(TYPES, case_sensitive=False), help="Artifacts of this type."
)
@_filters
@click.option("--state", type=click.Choice(STATES), help="Artifacts in this state.")
@click.option(
    "--pinned/--not-pinned", default=None, help="Only pinned artifacts, or only the others."
)
@click.option("--include-archived", is_flag=True, help="Include archived artifacts.")
@click.option(
    "--sort-by",
    type=click.Choice(SORT_KEYS),
    default="created",
    show_default=True,
    help="What the list is sorted by.",
)
@click.option(
    "--sort-order",
    type=click.Choice(["asc", "desc"]),
    default="desc",
    show_default=True,
    help="Ascending or descending.",
)
@click.option(
    "--skip", type=click.IntRange(min=0), default=0, help="Artifacts to pass over at the start."
)
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_LIMIT),
    default=50,
    show_default=True,
    help="Most artifacts to list.",
)
@click.option(
    "--facets", is_flag=True, help="Also count the values of type, source, tags and other fields."
)
@_answered
def list_command(registry: str, as_json: bool, **filters: object) -> int:
    """List artifacts, the newest first."""
    with _opened(registry) as known:
        page = known.list(**{name: value for name, value in filters.items() if value is not None})
    return _shown(page.as_json(), page_lines(page), as_json)


@artifacts_command.command("show")
@_id
@_answered
def show_command(artifact_id: str, registry: str, as_json: bool) -> int:
    """Show one artifact."""
    with _opened(registry) as known:
        found, detail = known.get(artifact_id), known.detail(artifact_id)
    return _shown(detail, artifact_lines(found), as_json)


@artifacts_command.command("tag")
@_id
@_tags
@_answered
def tag_command(artifact_id: str, tags: tuple[str, ...], registry: str, as_json: bool) -> int:
    """Add tags to an artifact."""
    return _changed(registry, artifact_id, as_json, add_tags=tags)


@artifacts_command.command("untag")
@_id
@_tags
@_answered
def untag_command(artifact_id: str, tags: tuple[str, ...], registry: str, as_json: bool) -> int:
    """Remove tags from an artifact, automatic ones included."""
    return _changed(registry, artifact_id, as_json, remove_tags=tags)


@artifacts_command.command("edit")
@_id
@click.option("--title", help="Title in place of the automatic one; an empty text removes it.")
@click.option("--note", help="Note, as free text; an empty one removes it.")
@click.option("--owner", help="Person or team responsible; an empty text removes it.")
@click.option("--pinned/--not-pinned", default=None, help="Pin the artifact, or unpin it.")
@_answered
def edit_command(artifact_id: str, registry: str, as_json: bool, **changes: object) -> int:
    """Give an artifact a title, a note or an owner, or pin it."""
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise click.UsageError("say what to change: --title, --note, --owner or --pinned")
    return _changed(registry, artifact_id, as_json, **given)


@artifacts_command.command("archive")
@_ids
@_answered
def archive_command(artifact_ids: tuple[str, ...], registry: str, as_json: bool) -> int:
    """Hide artifacts from lists; their files stay."""
    return _archived(registry, artifact_ids, as_json, archived=True)


@artifacts_command.command("unarchive")
@_ids
@_answered
def unarchive_command(artifact_ids: tuple[str, ...], registry: str, as_json: bool) -> int:
    """Show archived artifacts in lists again."""
    return _archived(registry, artifact_ids, as_json, archived=False)


@artifacts_command.command("relationships")
@_id
@_answered
def relationships_command(artifact_id: str, registry: str, as_json: bool) -> int:
    """Show what an artifact derives from and leads to.

    Also lists the artifacts that share its scenario or model.
    """
    with _opened(registry) as known:
        found = known.relationships(artifact_id)
    return _shown(found.as_json(), relationship_lines(found), as_json)


@artifacts_command.command("rebuild")
@click.argument("urls", metavar="[URL]...", nargs=-1)
@storage_option
@_answered
def rebuild_command(
    urls: tuple[str, ...], registry: str, storage_options: tuple[str, ...], as_json: bool
) -> int:
    """Register what is below URLs, and drop what is gone.

    Runs, exports and comparisons are registered. Without a URL, the folders that the registry
    knows are searched again.
    """
    places = urls
    if not urls:
        with _opened(registry, may_be_new=True) as known:
            places = known.roots()
    options = storage_of(places[0], storage_options) if places and storage_options else None
    with (
        reading_workers(places, options) as elsewhere,
        _opened(registry, may_be_new=True) as known,
    ):
        report = known.rebuild(*urls, storage_options=options, elsewhere=elsewhere)
    lines = [
        f"runs and exports: {report.added:,} entered, {report.unchanged:,} unchanged, "
        f"{report.removed:,} gone, in {report.seconds:.1f} s",
        f"models: {report.models_added:,} new, {report.models_removed:,} gone",
    ]
    lines += [f"  not entered: {problem}" for problem in report.problems]
    return _shown(report.as_json(), lines, as_json)


@artifacts_command.command("stats")
@_answered
def stats_command(registry: str, as_json: bool) -> int:
    """Show counts and sizes by type."""
    with _opened(registry) as known:
        found = known.stats()
    return _shown(found, stats_lines(found), as_json)


@artifacts_command.command("delete")
@_ids
@click.option("--dry-run", is_flag=True, help="Show which files would be deleted, and stop.")
@click.option("--yes", is_flag=True, help="Delete without asking for confirmation.")
@storage_option
@_answered
def delete_command(
    artifact_ids: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    registry: str,
    storage_options: tuple[str, ...],
    as_json: bool,
) -> int:
    """Delete the files of artifacts.

    Use `archive` to hide artifacts and keep their files.
    """
    with _opened(registry) as known:
        first = known.get(artifact_ids[0]).location
        options = storage_of(first, storage_options) if storage_options else None
        planned = [known.plan_deletion(name, options) for name in dict.fromkeys(artifact_ids)]
        files = [*dict.fromkeys(file for one in planned for file in one.files)]
        size = human_size(sum(file.size for file in files))
        if not as_json:
            for file in files:
                click.echo(f"{'would delete' if dry_run else 'delete'} {file.url}")
        if not dry_run:
            if not yes and not (sys.stdin.isatty() and click.confirm("Delete them?", err=True)):
                raise ConfigError("nothing was deleted: confirm with --yes, or look with --dry-run")
            # A run is deleted with the exports in its folder: these come before it.
            for one in sorted(planned, key=lambda one: one.artifact.type not in DESCRIBED_TYPES):
                known.delete(one)
        if as_json:
            print_json({"deleted": not dry_run, "artifacts": [one.as_json() for one in planned]})
        verb = "would be deleted" if dry_run else "deleted"
        click.echo(f"{counted(len(files), 'file')} ({size}) {verb}", err=True)
    return DONE


@artifacts_command.command("export-user-data")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@registry_option(required=True)
def export_user_data_command(file: Path, registry: str) -> int:
    """Write what users have added to a JSON FILE.

    That is tags, titles, notes, owners, pins and archive flags.
    """
    with _opened(registry) as known:
        data = known.export_user_data()
    try:
        file.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"{counted(len(data['artifacts']), 'artifact')} written to {file}", err=True)
    return DONE


@artifacts_command.command("import-user-data")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@registry_option(required=True)
def import_user_data_command(file: Path, registry: str) -> int:
    """Read what `export-user-data` wrote to FILE."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    with _opened(registry, may_be_new=True) as known:
        count = known.import_user_data(data, str(file))
    click.echo(f"{counted(count, 'artifact')} read from {file}", err=True)
    return DONE


@contextmanager
def _opened(url: str, *, may_be_new: bool = False) -> Iterator[Registry]:
    """Open a registry; a missing file is an error unless this verb may make it."""
    redaction.learn(passwords_in(url))
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if file is not None and not may_be_new and not file.exists():
        raise ConfigError(
            f"there is no registry {file}: `artifacts rebuild URL` makes one, and a config's "
            "`registry` block has exports enter themselves"
        )
    with open_registry(url) as registry:
        yield registry


def _shown(data: object, lines: Iterable[str], as_json: bool) -> int:
    if as_json:
        print_json(data)
    else:
        for line in lines:
            click.echo(line)
    return DONE


def _changed(registry: str, artifact_id: str, as_json: bool, **changes: object) -> int:
    with _opened(registry) as known:
        found = known.change(artifact_id, **changes)
    return _shown(found.as_json(), [f"{found.id}: {', '.join(found.tags)}"], as_json)


def _archived(registry: str, artifact_ids: Sequence[str], as_json: bool, *, archived: bool) -> int:
    with _opened(registry) as known:
        done = known.archive(*artifact_ids, archived=archived)
        unknown = [name for name, is_known in done.items() if not is_known]
    if as_json:
        results = [
            {"id": name, "success": True}
            if is_known
            else {"id": name, "success": False, "error": f"Artifact '{name}' not found"}
            for name, is_known in done.items()
        ]
        count = len(done) - len(unknown)
        print_json(
            {"success": not unknown, "processed": len(done), "archived": count, "results": results}
        )
        return FAILED if unknown else DONE
    if unknown:
        raise UnknownArtifactError(f"Artifact {', '.join(map(repr, unknown))} not found")
    click.echo(f"{counted(len(done), 'artifact')} {'archived' if archived else 'listed again'}")
    return DONE
