"""Find exports of runs that are gone from the source, for sinks with `prune`.

An export counts only if its descriptor shows that this config wrote it: the sink's path, filled in
with the run that the descriptor names, leads to that very descriptor. A run is gone when its
directory is: one that the config leaves out, or that is broken, is still there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.errors import NotFoundError, StorageError
from connectors.flowtime.model.run import NEVER_READ_FOLDERS, Run
from connectors.storage import Storage, join, relative
from pipeline.config.path_template import prune_root
from pipeline.datapackage import descriptor
from pipeline.datapackage.descriptor import FILE_SUFFIX, FOLDER_NAME
from pipeline.datapackage.run_list import places_of
from pipeline.datapackage.run_record import read_run
from pipeline.errors import ConfigError, IntegrityError
from pipeline.planning.plan import ExportPlan, SinkPlan
from pipeline.planning.target import Target, TargetResolver
from pipeline.sinks import Sink


@dataclass(frozen=True)
class GoneExport:
    """An export of runs that are gone.

    Attributes:
        sink: The sink that wrote it.
        target: Where it is.
        root: The folder that all exports of the sink are below, as the storage names it.
        resources: What its descriptor says of its files.
        runs: The folders of its runs, as the storage of the source names them.
    """

    sink: Sink
    target: Target
    root: str
    resources: tuple[Mapping[str, Any], ...]
    runs: tuple[str, ...]

    def is_gone(self, source: Storage) -> bool:
        """Return whether none of its runs has come back.

        Raises:
            StorageError: A folder of the source could not be listed.
        """
        return not any(_exists(source, path) for path in self.runs)


@dataclass(frozen=True)
class Pruning:
    """What is to be removed of earlier exports.

    Attributes:
        exports: The exports of runs that are gone.
        problem: Why nothing is removed, where that could not be found out.
    """

    exports: tuple[GoneExport, ...] = ()
    problem: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know."""
        return () if self.problem is None else (f"nothing was pruned: {self.problem}",)


def find_gone(plan: ExportPlan, resolver: TargetResolver) -> Pruning:
    """Return the exports that are to be removed; nothing where no sink has `prune`."""
    sinks = [sink for sink in plan.sinks if sink.sink.prune]
    try:
        return Pruning(tuple(gone for sink in sinks for gone in _of_sink(plan, sink, resolver)))
    except StorageError as error:
        return Pruning(problem=str(error))


def _of_sink(plan: ExportPlan, sink: SinkPlan, resolver: TargetResolver) -> Iterator[GoneExport]:
    template = prune_root(sink.sink.path)
    assert template is not None  # the config is checked for it
    storage, root = resolver.place(sink.sink, template)
    planned = {target.descriptor for target in sink.targets}
    for path in _descriptors(storage, root, resolver):
        if path in planned:
            continue
        try:
            content = descriptor.load(storage.read(path), storage.url(path))
            yield from _of_descriptor(plan, sink.sink, resolver, (storage, root, path), content)
        except (IntegrityError, ValueError):  # not ours, or damaged: it is left alone
            continue


def _descriptors(storage: Storage, root: str, resolver: TargetResolver) -> Iterator[str]:
    sources = {one.path for one in resolver.roots if storage is resolver.storage}
    try:
        for folder in storage.walk(root, enter=lambda path: path not in sources):
            for file in folder.files:
                name = file.path.rpartition("/")[2]
                if name == FOLDER_NAME or name.endswith(FILE_SUFFIX):
                    yield file.path
    except NotFoundError:
        return


def _of_descriptor(
    plan: ExportPlan,
    sink: Sink,
    resolver: TargetResolver,
    place: tuple[Storage, str, str],
    content: Mapping[str, Any],
) -> Iterator[GoneExport]:
    storage, root, path = place
    entries = descriptor.runs_of(content)
    by_target = descriptor.resources_by_target(content, plan.config.name)
    for identity, resources in by_target.items():
        places = places_of(resources[0]["flowtime"].get("runs"), len(entries))
        runs = [read_run(entries[one], storage.url(path)).run for one in places or ()]
        targets = [_target(sink, run, resolver) for run in runs]
        is_ours = bool(targets) and all(
            target is not None
            and target.storage is storage
            and target.descriptor == path
            and target.identity(sink) == identity
            for target in targets
        )
        folders = [_folder_in_source(plan, run, resolver) for run in runs]
        if not is_ours or targets[0] is None or None in folders:
            continue
        known = tuple(folder for folder in folders if folder is not None)
        gone = GoneExport(sink, targets[0], root, tuple(resources), known)
        if gone.is_gone(resolver.storage):
            yield gone


def _target(sink: Sink, run: Run, resolver: TargetResolver) -> Target | None:
    try:
        return resolver.target(sink, run, ())
    except (ConfigError, StorageError):  # a forged id, which no path was ever made of
        return None


def _folder_in_source(plan: ExportPlan, run: Run, resolver: TargetResolver) -> str | None:
    """Return the folder that a run was in; None unless its part of the source holds other runs.

    Where a whole root is empty, it may be a disk that is not mounted.
    """
    for root in resolver.roots:
        base = resolver.storage.url(root.path).rstrip("/")
        below = run.url.removeprefix(f"{base}/") if run.url.startswith(f"{base}/") else None
        if not below or any(part in ("", ".", "..") for part in below.split("/")):
            continue
        path = join(root.path, below)
        if root.covers(path) and any(root.covers(other.path) for other in plan.runs):
            return path
    return None


def _exists(source: Storage, path: str) -> bool:
    """Return whether anything but exports of the run itself is in its folder."""

    def is_of_run(folder: str) -> bool:
        return (relative(folder, path) or "") not in NEVER_READ_FOLDERS

    try:
        return any(folder.files or folder.links for folder in source.walk(path, enter=is_of_run))
    except NotFoundError:
        return False
