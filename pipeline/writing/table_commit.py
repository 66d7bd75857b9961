"""Commit an export to a lake table: exactly the files that differ, or no commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors.errors import NotFoundError
from connectors.storage import relative
from pipeline.datapackage import descriptor
from pipeline.datapackage.run_list import RunEntry, places_of
from pipeline.errors import PublishConflictError
from pipeline.lake_tables.contract import AddedFile, TableChange, TableVersion
from pipeline.lake_tables.statistics import uncounted_nulls
from pipeline.planning.partitions import is_data_file
from pipeline.planning.plan import ExportPlan, SinkPlan
from pipeline.planning.published import place_of
from pipeline.planning.target import Target
from pipeline.version import VERSION
from pipeline.writing.descriptor_file import CurrentDescriptor
from pipeline.writing.router import StagedOutput

_Resources = Sequence[Mapping[str, Any]]


def table_change(
    sink: SinkPlan,
    target: Target,
    current: CurrentDescriptor,
    package: Mapping[str, Any],
    outputs: Sequence[StagedOutput],
) -> TableChange | None:
    """Return the change that makes a table hold what a descriptor lists; None where it does.

    Files are compared by their names, which depend on their bytes: a commit that an interrupted
    export has made is not made again.

    Args:
        sink: The plan of the table's sink.
        target: The table, or the part of a run.
        current: The descriptor and the table as they are.
        package: The descriptor that is to replace that one.
        outputs: The files that are staged; they are read here, before they are made visible.

    Raises:
        PublishConflictError: No export has written what the table holds.
    """
    held: Mapping[str, int] = {} if current.version is None else current.version.files
    before = [] if current.content is None else _of_table(current.content)
    now = _of_table(package)
    wanted = descriptor.paths_of(now)
    others = _files_of_others(target, held.keys() - wanted, descriptor.paths_of(before), held)
    removed = sorted(held.keys() - wanted - others)
    added = [_added(one, sink) for one in outputs if one.file.path not in held]
    if current.version is not None and not added and not removed:
        return None
    entries = descriptor.runs_of(package)
    gone = {descriptor.target_of(one) for one in before} - {
        descriptor.target_of(one) for one in now
    }
    earlier = () if current.content is None else descriptor.runs_of(current.content)
    paths = {one.path for one in added}
    written = _runs([one for one in now if one["path"] in paths], entries)
    disappeared = _runs([one for one in before if descriptor.target_of(one) in gone], earlier)
    config = package["flowtime"]["config"]
    return TableChange(
        name=config["name"],
        columns=[shown.column for shown in sink.shown],
        partition_by=sink.sink.partition_by,
        added=added,
        removed=removed,
        write_id=package["flowtime"]["writeId"],
        properties={
            "flowtime.version": VERSION,
            "flowtime.config": config["name"],
            "flowtime.configHash": config["hash"],
            "flowtime.runsWritten": json.dumps(dict(written), separators=(",", ":")),
            "flowtime.runsRemoved": json.dumps(dict(disappeared), separators=(",", ":")),
        },
    )


def has_changed(version: TableVersion | None, before: TableVersion | None) -> bool:
    """Return whether a table holds other files than it did before."""
    held, held_before = (one.files if one else {} for one in (version, before))
    return held != held_before


def places_of_runs(plan: ExportPlan, target: Target) -> dict[str, int]:
    """Return the place of each run among those of a table, by what identifies its files."""
    parts = [
        part.identity(sink.sink)
        for sink in plan.sinks
        for whole in sink.targets
        if place_of(whole) == place_of(target)
        for part in whole.parts(plan.runs)
    ]
    return {identity: place for place, identity in enumerate(parts)}


def stored_names(target: Target) -> set[str]:
    """Return the names of the files directly in a target's folder.

    Raises:
        StorageError: It could not be listed.
    """
    try:
        top = next(target.storage.walk(target.folder, enter=lambda _: False), None)
    except NotFoundError:
        return set()
    if top is None or relative(top.path, target.folder) != "":
        return set()
    return {one.path.rpartition("/")[2] for one in top.files}


def _of_table(package: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in package["resources"] if descriptor.table_of(item) is not None]


def _added(output: StagedOutput, sink: SinkPlan) -> AddedFile:
    import pyarrow.parquet as pq  # noqa: PLC0415 large, and few exports write tables

    file = output.file
    # A run without rows is in no partition.
    partition = {name: file.partition.get(name) for name in sink.sink.partition_by}
    footer = pq.read_metadata(output.staged.local)
    nulls = uncounted_nulls(output.staged.local, footer)
    return AddedFile(file.path, footer, file.size, partition, nulls)


def _files_of_others(
    target: Target, unknown: set[str], listed: set[str], held: Mapping[str, int]
) -> set[str]:
    """Return the files that stay in a table though no export has written them.

    They are rows that were appended, as long as all files of the last export are there, too. Where
    some are gone, other tools have written their rows into files of their own, as compaction does.

    Args:
        target: The table.
        unknown: Files of the table that are not to be in it by the new descriptor.
        listed: Those that are in it by the descriptor.
        held: All files of the table.

    Raises:
        PublishConflictError: No export has written the table.
    """
    foreign = {path for path in unknown - listed if not is_data_file(path)}
    if foreign and not listed and len(foreign) == len(held):
        raise PublishConflictError(
            f"{target.url}: this is a table that no export has written: choose another path, or "
            "remove the table"
        )
    return foreign if listed <= held.keys() else set()


def _runs(resources: _Resources, entries: Sequence[RunEntry]) -> Iterator[tuple[str, str]]:
    """Yield id and fingerprint of the runs that resources hold."""
    for place in dict.fromkeys(
        place
        for item in resources
        for place in places_of(item["flowtime"].get("runs"), len(entries)) or ()
    ):
        entry = entries[place]
        yield str(entry.get("id")), str(entry.get("fingerprint"))
