"""Check what must hold between the blocks of a config."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.errors import StorageError
from connectors.storage import canonical_url, check_url
from pipeline.config.blocks import (
    ExecutionBlock,
    MetadataBlock,
    SourceBlock,
    TransformBlock,
)
from pipeline.config.document import KeyPath
from pipeline.config.path_template import (
    codec_of,
    differs_by_run,
    format_of,
    probe_path,
    prune_root,
    refuse_unknown_ending,
    template_fields,
)
from pipeline.config.problems import ConfigProblem
from pipeline.config.storage_block import StorageBlock
from pipeline.config.values import check_no_password
from pipeline.errors import ConfigError
from pipeline.rows.catalogue import BASE_COLUMNS, CATALOGUE, CATALOGUE_NAMES, PER_MEASURE
from pipeline.sinks import Sink
from pipeline.wording import suggestion

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_PERCENT_ENCODED = re.compile("%[0-9A-Fa-f]{2}")
_PARTITION_TYPES = ("text", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class Settings:
    """The blocks that are looked at together."""

    name: str
    storage: Mapping[str, StorageBlock]
    source: SourceBlock
    metadata: MetadataBlock
    transform: TransformBlock
    sinks: Sequence[Sink]
    execution: ExecutionBlock

    @property
    def columns(self) -> list[str]:
        """All columns in order, by the names they have before they are renamed."""
        return [*BASE_COLUMNS, *self.metadata.columns, *self.metadata.constants]

    @property
    def finals(self) -> dict[str, str]:
        """Old names of the columns by the names that outputs show."""
        rename = self.transform.rename
        return {rename.get(name, name): name for name in self.columns}


def find_problems(settings: Settings) -> list[ConfigProblem]:
    """Whatever does not fit together."""
    problems = [
        *_storage_problems(settings),
        *_metadata_problems(settings.metadata),
        *_rename_problems(settings),
        *_filter_problems(settings),
    ]
    for index, sink in enumerate(settings.sinks):
        path: KeyPath = ("sinks", index)
        if sink.is_table:
            problems += _template_problems(sink.path, (*path, "path"))
            problems += _table_problems(sink, (*path, "path"), settings.name)
        elif sink.is_stdout:
            problems += _stdout_problems(sink, path, settings)
        else:
            problems += _template_problems(sink.path, (*path, "path"))
            problems += _file_problems(sink, path, settings.name)
        problems += _prune_problems(sink, path)
        problems += _column_problems(sink, path, settings)
    return [*problems, *_shared_paths(settings.sinks), *_shared_stdout(settings.sinks)]


def _storage_problems(settings: Settings) -> Iterator[ConfigProblem]:
    places: list[tuple[KeyPath, str | None]] = [(("source", "storage"), settings.source.storage)]
    places += [(("sinks", i, "storage"), sink.storage) for i, sink in enumerate(settings.sinks)]
    for path, name in places:
        if name is None or name in settings.storage:
            continue
        hint = (
            suggestion(name, settings.storage)
            if settings.storage
            else "the config has no storage block"
        )
        yield ConfigProblem(path, f"no storage {name!r}; {hint}")


def _metadata_problems(metadata: MetadataBlock) -> Iterator[ConfigProblem]:
    for index, name in enumerate(metadata.columns):
        if name in metadata.columns[:index]:
            yield ConfigProblem(("metadata", "columns", index), f"{name!r} is named twice")
    for name in metadata.constants:
        if name in BASE_COLUMNS or name in CATALOGUE_NAMES:
            kind = "base" if name in BASE_COLUMNS else "metadata"
            path: KeyPath = ("metadata", "constants", name)
            yield ConfigProblem(
                path, f"{name!r} is the name of a {kind} column; choose another", True
            )


def _rename_problems(settings: Settings) -> Iterator[ConfigProblem]:
    columns = settings.columns
    rename = settings.transform.rename
    taken = {name for name in columns if name not in rename}
    for old, new in rename.items():
        path: KeyPath = ("transform", "rename", old)
        if old not in columns:
            yield ConfigProblem(path, f"no column {old!r}; {suggestion(old, columns)}", True)
        elif new in taken:
            yield ConfigProblem(
                path, f"another column is called {new!r} already; choose another name"
            )
        taken.add(new)


def _filter_problems(settings: Settings) -> Iterator[ConfigProblem]:
    text = settings.transform.filter
    if text is None:
        return
    # Imported when needed: filters need Polars, and configs are read before it is loaded.
    from pipeline.rows.filter import parse_filter  # noqa: PLC0415

    try:
        parse_filter(text, settings.metadata.constants, _ANY_TIME)
    except ConfigError as error:
        yield ConfigProblem(("transform", "filter"), str(error))


def _stdout_problems(sink: Sink, path: KeyPath, settings: Settings) -> Iterator[ConfigProblem]:
    for key in ("partition_by", "max_rows_per_file"):
        if getattr(sink, key):
            yield ConfigProblem((*path, key), "needs a folder as path; - is standard output")
    if sink.storage is not None:
        yield ConfigProblem((*path, "storage"), "standard output is in no storage; leave it out")
    if sink.if_exists != "replace":
        yield ConfigProblem(
            (*path, "if_exists"), "nothing exists on standard output; leave the key out"
        )
    if settings.execution.engine == "dask":
        yield ConfigProblem(
            (*path, "path"),
            "- is the standard output of this process, which no worker of a Dask cluster has: "
            "name a file, or set execution.engine: local",
        )


def _prune_problems(sink: Sink, path: KeyPath) -> Iterator[ConfigProblem]:
    if not sink.prune:
        return
    place = (*path, "prune")
    try:
        fields = template_fields(sink.path)
        differs = differs_by_run(sink.path)
    except ValueError:  # reported as a template
        return
    if "run_url" in fields:
        yield ConfigProblem(
            place, "an export in the run's own folder goes with the run; leave the key out"
        )
    elif not differs:
        yield ConfigProblem(
            place,
            "needs a path with {run_id}, {run_name} or {created_date}: an export of all runs is "
            "written without those that are gone anyway",
        )
    elif prune_root(sink.path) is None:
        yield ConfigProblem(place, "needs a folder above the first field of the path")
    if sink.if_exists != "replace":
        yield ConfigProblem(place, f"does not go with if_exists: {sink.if_exists}")


def _shared_stdout(sinks: Sequence[Sink]) -> Iterator[ConfigProblem]:
    indexes = [index for index, sink in enumerate(sinks) if sink.is_stdout]
    for index in indexes[1:]:
        # Two sinks of one format are reported as any other two that share a path.
        if sinks[index].format not in {sink.format for sink in sinks[:index] if sink.is_stdout}:
            yield ConfigProblem(
                ("sinks", index, "path"),
                f"sinks[{indexes[0]}] writes to standard output already; choose another path",
            )


def _template_problems(path: str, place: KeyPath) -> Iterator[ConfigProblem]:
    try:
        check_no_password(path)
        fields = template_fields(path)
    except ValueError as error:
        yield ConfigProblem(place, str(error))
        return
    try:
        if not path.startswith("{run_url}"):
            check_url(path, for_writing=True)
    except StorageError as error:
        yield ConfigProblem(place, str(error))
    if not path.isprintable():
        yield ConfigProblem(place, "the path holds a character that cannot be printed")
    if "run_url" in fields and (path.rfind("{run_url}") > 0 or fields.count("run_url") > 1):
        yield ConfigProblem(place, "{run_url} is a whole URL and can only begin the path")


def _file_problems(sink: Sink, path: KeyPath, name: str) -> Iterator[ConfigProblem]:
    try:
        probe = probe_path(sink.path, name=name, form=sink.format)
    except ValueError:  # reported as a template
        return
    form = format_of(probe)
    if form is None:
        try:
            refuse_unknown_ending(probe)
        except ValueError as error:
            yield ConfigProblem((*path, "path"), str(error))
        return
    file = probe.rpartition("/")[2]
    for key in ("partition_by", "max_rows_per_file"):
        if getattr(sink, key):
            yield ConfigProblem((*path, key), f"needs a folder as path; {file} is a file")
    if form != sink.format:
        yield ConfigProblem((*path, "path"), _wrong_ending(sink, form))
        return
    codec = codec_of(probe)
    if sink.format == "parquet":
        if codec is not None:
            yield ConfigProblem(
                (*path, "path"), "Parquet compresses inside the file; end the path in .parquet"
            )
        return
    asked = getattr(sink, "compression", "none")
    place = (*path, "compression")
    if codec is None and asked != "none":
        yield ConfigProblem(
            place, f"{file} is no {asked} file by its name; end the path in {sink.extension}"
        )
    elif codec is not None and asked != codec:
        yield ConfigProblem(
            place, f"the path asks for {codec}; leave the key out, or change the path"
        )


def _table_problems(sink: Sink, path: KeyPath, name: str) -> Iterator[ConfigProblem]:
    try:
        probe = probe_path(sink.path, name=name, form=sink.format)
    except ValueError:  # reported as a template
        return
    if differs_by_run(sink.path):
        yield ConfigProblem(
            path,
            f"a {sink.format} table holds all runs: name no run in its path, and use partition_by",
        )
    elif format_of(probe) is not None or sink.is_stdout:
        shown = probe.rpartition("/")[2]
        yield ConfigProblem(path, f"{shown} is no folder, which a {sink.format} table needs")
    elif _PERCENT_ENCODED.search(probe):
        yield ConfigProblem(path, "% and two digits in the path of a table mean another path")


def _column_problems(sink: Sink, path: KeyPath, settings: Settings) -> Iterator[ConfigProblem]:
    finals = settings.finals
    if sink.layout == "long":  # the columns of a wide layout are only known with the runs
        for index, name in enumerate(sink.columns or ()):
            if name not in finals:
                yield ConfigProblem((*path, "columns", index), _unknown_column(name, settings))
    for index, name in enumerate(sink.partition_by):
        place = (*path, "partition_by", index)
        if name not in finals:
            yield ConfigProblem(place, _unknown_column(name, settings))
        elif sink.layout == "wide" and finals[name] in PER_MEASURE:
            yield ConfigProblem(
                place, f"layout wide has no column {name!r}, which differs by measure"
            )
        elif not _partitions(finals[name], settings.metadata.constants):
            yield ConfigProblem(
                place, f"{name!r} cannot name folders; choose text or whole numbers of the series"
            )
    if sink.columns and set(sink.columns) <= set(sink.partition_by):
        yield ConfigProblem((*path, "partition_by"), "leaves no column for the files")


def _partitions(column: str, constants: Mapping[str, object]) -> bool:
    """Return whether a column is the same for a whole series, with values that can name folders."""
    if column in constants:
        return not isinstance(constants[column], float)
    known = CATALOGUE[column]
    return known.level == "series" and known.type in _PARTITION_TYPES


def _unknown_column(name: str, settings: Settings) -> str:
    new = settings.transform.rename.get(name)
    if new is not None and name in settings.columns:
        return f"no column {name!r}; transform.rename calls it {new!r}"
    if name in CATALOGUE_NAMES:
        return f"no column {name!r}; add it to metadata.columns"
    return f"no column {name!r}; {suggestion(name, settings.finals)}"


def _wrong_ending(sink: Sink, form: str) -> str:
    return (
        f"format {sink.format} writes no .{form} file; set the format to {form}, or give the path "
        "another ending"
    )


def _shared_paths(sinks: Collection[Sink]) -> Iterator[ConfigProblem]:
    seen: dict[tuple[str, str, str | None], int] = {}
    for index, sink in enumerate(sinks):
        key = (_canonical(sink.path.replace("{format}", sink.format)), sink.format, sink.storage)
        if key in seen:
            message = f"sinks[{seen[key]}] writes there already; choose another path"
            yield ConfigProblem(("sinks", index, "path"), message)
        seen.setdefault(key, index)


def _canonical(path: str) -> str:
    try:
        return canonical_url(path)
    except StorageError:  # reported where the URL is used
        return path
