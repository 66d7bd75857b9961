"""Remove exports of runs that are gone: the files that their descriptors name, then these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.errors import ConflictError, StorageError
from connectors.storage import Storage, claimed, join, relative, sha256_of
from pipeline.datapackage import descriptor
from pipeline.errors import IntegrityError
from pipeline.planning.plan import ExportPlan
from pipeline.planning.pruning import GoneExport
from pipeline.planning.published import PublishedTargets
from pipeline.writing.descriptor_file import CurrentDescriptor, write_whole
from pipeline.writing.removal import claim_scope, remove_data_files


@dataclass(frozen=True)
class Pruned:
    """The result of pruning an export whose runs are gone.

    Attributes:
        export: The export.
        files: Number of files that were removed.
        kept: Why it was left as it is; None where it was removed.
    """

    export: GoneExport
    files: int = 0
    kept: str | None = None


def prune(gone: GoneExport, plan: ExportPlan, source: Storage, created: datetime) -> Pruned:
    """Remove an export whose runs are gone, unless something about it has changed meanwhile.

    Args:
        gone: The export.
        plan: The plan of the export that is under way.
        source: The storage of the runs.
        created: When that export began.
    """
    target = gone.target
    scope = claim_scope(target.descriptor.rpartition("/")[2])
    try:
        with claimed(target.storage, target.folder, scope):
            if not gone.is_gone(source):
                return Pruned(gone, kept="its run has come back")
            current = CurrentDescriptor.read(target, PublishedTargets({}))
            listed = current.resources_of(target.identity(gone.sink))
            if listed != list(gone.resources):
                return Pruned(gone, kept="another exporter has written it meanwhile")
            if (changed := _changed(gone)) is not None:
                return Pruned(gone, kept=f"{changed} is not as it was exported")
            files = _remove_files(gone)
            _remove_description(gone, current, plan, created)
        _remove_folders(gone)
    except (ConflictError, IntegrityError, StorageError) as error:
        return Pruned(gone, kept=str(error))
    return Pruned(gone, files)


def _changed(gone: GoneExport) -> str | None:
    """Return a file that is not what was exported, as it may be somebody's own."""
    target = gone.target
    for item in gone.resources:
        path = join(target.folder, item["path"])
        entry = target.storage.info(path)
        if entry is None:
            continue
        same = entry.size == item["bytes"] and _hash(target.storage, path) == item.get("hash")
        if not same:
            return str(item["path"])
    return None


def _hash(storage: Storage, path: str) -> str:
    return f"sha256:{sha256_of(storage, path)}"


def _remove_files(gone: GoneExport) -> int:
    target = gone.target
    paths = descriptor.paths_of(gone.resources)
    if target.is_folder:
        return len(remove_data_files(target.storage, target.folder, paths, gone.root))
    if paths != {target.identity(gone.sink)}:  # forged: a single file has one name
        return 0
    target.storage.refuse_links(gone.root, target.path)
    if target.storage.info(target.path) is None:
        return 0
    target.storage.delete(target.path)
    return 1


def _remove_description(
    gone: GoneExport, current: CurrentDescriptor, plan: ExportPlan, created: datetime
) -> None:
    """Remove the descriptor, or what it says of this target where it names others, too."""
    target = gone.target
    target.storage.refuse_links(gone.root, target.descriptor)
    identity = target.identity(gone.sink)
    content: Mapping[str, Any] = current.content or {"resources": []}
    if descriptor.resources_beside(content, {identity}):
        package = current.package(plan, (), {identity}, created)
        write_whole(target.storage, target.descriptor, descriptor.dump(package), current.entry)
    else:
        target.storage.delete(target.descriptor)


def _remove_folders(gone: GoneExport) -> None:
    """Remove the folders that are empty now, below the folder of all exports of the sink."""
    target = gone.target
    folders = {target.folder}
    for path in descriptor.paths_of(gone.resources):
        folders.add(join(target.folder, path).rpartition("/")[0])
    for folder in sorted(folders, key=len, reverse=True):
        while relative(folder, gone.root):  # neither the root itself nor outside of it
            target.storage.remove_folder(folder)
            folder = folder.rpartition("/")[0]
