"""Staged files to a visible export, the descriptor last."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.errors import ConflictError
from connectors.storage import Claim, FileInfo, Storage, claimed, join, relative
from connectors.storage.deadline import check_deadline
from pipeline.config import config_hash
from pipeline.datapackage import descriptor
from pipeline.datapackage.descriptor import FOLDER_NAME
from pipeline.datapackage.run_list import RunEntries, merged_runs
from pipeline.errors import PublishConflictError, SinkError
from pipeline.planning.partitions import is_data_file, is_partition
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import (
    DescriptorKey,
    Pending,
    PublishedTargets,
    is_published,
    place_of,
)
from pipeline.planning.target import Target
from pipeline.writing.router import StagedOutput

StagedTarget = tuple[Pending, Sequence[StagedOutput]]
"""A target with its staged files."""


@dataclass(frozen=True)
class Published:
    """What became of staged targets.

    Attributes:
        written: Those that were made visible.
        found: Those that another exporter had published alike meanwhile.
        standing: What is published now, as far as it was looked at.
    """

    written: tuple[StagedTarget, ...]
    found: tuple[Pending, ...]
    standing: PublishedTargets


def publish(
    plan: ExportPlan,
    standing: PublishedTargets,
    written: Sequence[StagedTarget],
    created: datetime,
) -> Published:
    """Make whole files visible, then their descriptors; then remove what these replace.

    Folder by folder, each claimed meanwhile, so that no two exporters are at work in one.

    Args:
        plan: The plan of the export.
        standing: What was published when it was decided what to write.
        written: The staged files of each target.
        created: When the export began.

    Raises:
        PublishConflictError: Another exporter is at work there, or has published something else
            meanwhile.
        StorageError: A store refused a file. Files that were visible before still are, and the
            descriptors still name them.
    """
    done: list[StagedTarget] = []
    found: list[Pending] = []
    now = dict(standing.descriptors)
    for groups in _by_folder(written):
        check_deadline()
        try:
            with _claim(groups) as claim:
                for group in groups:
                    target = group[0][0].target
                    fresh = _Fresh.read(target)
                    ours, theirs = fresh.told_apart(standing, group)
                    if ours:
                        _publish_group(plan, fresh, ours, created, claim)
                    for pending, outputs in theirs:
                        _discard(outputs)
                        found.append(pending)
                    if fresh.descriptor is not None:
                        now[place_of(target)] = descriptor.without_runs(fresh.descriptor)
                    done += ours
        except ConflictError as conflict:
            raise PublishConflictError(str(conflict)) from conflict
    return Published(tuple(done), tuple(found), PublishedTargets(now))


def _by_folder(written: Sequence[StagedTarget]) -> Iterator[list[list[StagedTarget]]]:
    """Targets that share a descriptor, by the folders these stand in."""
    folders: dict[DescriptorKey, dict[DescriptorKey, list[StagedTarget]]] = {}
    for pending, outputs in written:
        target = pending.target
        groups = folders.setdefault((target.storage, target.folder), {})
        groups.setdefault(place_of(target), []).append((pending, outputs))
    for groups in folders.values():
        yield list(groups.values())


def _claim(groups: Sequence[Sequence[StagedTarget]]) -> AbstractContextManager[Claim]:
    """A claim on the one descriptor to be written in a folder, or on the folder."""
    target = groups[0][0][0].target
    name = target.descriptor.rpartition("/")[2]
    scope = hashlib.sha256(name.encode()).hexdigest()[:12] if len(groups) == 1 else ""
    uploads = [
        output.file.path
        for group in groups
        for _, outputs in group
        for output in outputs
        if target.storage.sends_in_parts(output.file.size)
    ]
    return claimed(target.storage, target.folder, scope, uploads=uploads)


@dataclass(frozen=True)
class _Fresh:
    """A descriptor as it stands while its folder is claimed."""

    entry: FileInfo | None
    descriptor: Mapping[str, Any] | None

    @classmethod
    def read(cls, target: Target) -> _Fresh:
        entry = target.storage.info(target.descriptor)
        if entry is None:
            return cls(None, None)
        data = target.storage.read(target.descriptor)
        return cls(entry, descriptor.load(data, target.storage.url(target.descriptor)))

    def resources(self, pending: Pending) -> list[dict[str, Any]]:
        """What is published of a target."""
        identity = pending.target.identity(pending.plan.sink)
        return [] if self.descriptor is None else descriptor.resources_of(self.descriptor, identity)

    def told_apart(
        self, standing: PublishedTargets, group: Iterable[StagedTarget]
    ) -> tuple[list[StagedTarget], list[StagedTarget]]:
        """What is still to be published, and what another exporter has published alike.

        Raises:
            PublishConflictError: Another exporter has published something else.
        """
        ours: list[StagedTarget] = []
        theirs: list[StagedTarget] = []
        for pending, outputs in group:
            (theirs if self.has_done(standing, pending) else ours).append((pending, outputs))
        return ours, theirs

    def has_done(self, standing: PublishedTargets, pending: Pending) -> bool:
        """Whether another exporter has published just what this one is about to.

        Raises:
            PublishConflictError: It has published something else.
        """
        listed = self.resources(pending)
        if listed == standing.resources(pending.plan, pending.target):
            return False
        if is_published(pending, listed):
            return True
        raise PublishConflictError(
            f"{pending.target.url}: another exporter has published it since this export began"
            f"{self._told()}; nothing of it was replaced: run one exporter of it at a time, or "
            "this one again"
        )

    def _told(self) -> str:
        if self.descriptor is None:
            return ""
        config = self.descriptor["flowtime"].get("config")
        name = config.get("name") if isinstance(config, dict) else None
        return f" (config {name!r}, created {self.descriptor.get('created')})"


def _publish_group(
    plan: ExportPlan, fresh: _Fresh, group: Sequence[StagedTarget], created: datetime, claim: Claim
) -> None:
    storage = group[0][0].target.storage
    for _, outputs in group:
        for output in outputs:
            claim.check()
            storage.commit(output.staged)
    package = _package(plan, fresh, group, created)
    claim.check()
    target = group[0][0].target
    write_whole(storage, target.descriptor, descriptor.dump(package), fresh.entry)
    for pending, outputs in group:
        _remove_replaced(fresh, pending, outputs)


def _package(
    plan: ExportPlan, fresh: _Fresh, group: Sequence[StagedTarget], created: datetime
) -> dict[str, Any]:
    before = fresh.descriptor
    replaced = {pending.target.identity(pending.plan.sink) for pending, _ in group}
    kept = [] if before is None else descriptor.resources_beside(before, replaced)
    rows = sorted({row for pending, _ in group for row in pending.target.runs})
    place_of = {row: place for place, row in enumerate(rows)}
    new: list[dict[str, Any]] = []
    for pending, outputs in group:
        described = descriptor.Described(
            pending.target.identity(pending.plan.sink),
            pending.state,
            plan.contents(pending.plan, pending.target),
            [place_of[row] for row in pending.target.runs],
        )
        new += descriptor.resources(
            described,
            pending.plan.sink,
            plan.file_columns(pending.plan, pending.target),
            [output.file for output in outputs],
        )
    runs = RunEntries(len(rows), lambda place: plan.described(plan.runs[rows[place]]))
    if kept and before is not None:
        runs, kept = merged_runs(runs, descriptor.runs_of(before), kept)
    hashed = config_hash(plan.config)
    write_id = secrets.token_hex(16)
    return descriptor.package(plan.config.name, hashed, created, runs, kept + new, write_id)


def write_whole(
    storage: Storage, path: str, data: Iterable[bytes], before: FileInfo | None
) -> None:
    """Publish bytes so that no reader sees a part of them, where `before` still stands."""
    staged = storage.stage(path)
    try:
        with staged.local.open("wb") as file:
            file.writelines(data)
        storage.commit_over(staged, before)
    except OSError as error:
        storage.discard(staged)
        raise SinkError(
            f"{storage.url(path)}: its staged file could not be written: "
            f"{error.strerror or error}; make room and run it again"
        ) from error
    except BaseException:
        storage.discard(staged)
        raise


def _discard(outputs: Iterable[StagedOutput]) -> None:
    for output in outputs:
        output.target.storage.discard(output.staged)


def tidy(standing: PublishedTargets, current: Iterable[Pending]) -> None:
    """Remove what an export left that died between its descriptor and the files it replaces.

    Nothing happens where another exporter is at work: what is not named may be its new files.

    Raises:
        StorageError: A folder could not be listed, or a file not removed.
    """
    for pending in current:
        named = _named(standing.resources(pending.plan, pending.target))
        if not pending.target.is_folder or not _unnamed(pending, named):
            continue
        with suppress(ConflictError), _claim([[(pending, ())]]):
            _remove_unnamed(pending, _named(_Fresh.read(pending.target).resources(pending)))


def _remove_replaced(fresh: _Fresh, pending: Pending, outputs: Iterable[StagedOutput]) -> None:
    """Remove data files that the new descriptor does not name.

    In a folder, that is also what an export left that died between its files and its descriptor:
    a reader that lists the folder would count those rows twice.
    """
    now = {output.file.path for output in outputs}
    for path in sorted(_named(fresh.resources(pending)) - now):
        if _is_our_name(pending, path):
            pending.target.storage.delete(join(pending.target.folder, path))
    if pending.target.is_folder:
        _remove_unnamed(pending, now)


def _is_our_name(pending: Pending, path: str) -> bool:
    """Whether a file may be removed that a descriptor names, as somebody may have forged it."""
    if not pending.target.is_folder:
        return path == pending.target.identity(pending.plan.sink)
    name = path.rpartition("/")[2]
    return is_data_file(name)


def _remove_unnamed(pending: Pending, named: set[str]) -> None:
    for path in _unnamed(pending, named):
        pending.target.storage.delete(join(pending.target.folder, path))


def _unnamed(pending: Pending, named: set[str]) -> list[str]:
    return sorted(set(_data_files(pending.target, pending.plan.sink.extension)) - named)


def _named(resources: Iterable[Mapping[str, Any]]) -> set[str]:
    return {item["path"] for item in resources}


def _data_files(target: Target, extension: str) -> Iterator[str]:
    """Paths of files in a folder that bear the names this project gives to data files.

    Folders below it that are no partitions, or another data set, are not of it.
    """
    others: list[str] = []

    def is_ours(path: str) -> bool:
        below = relative(path, target.path)
        return below is not None and is_partition(below) and not _is_in(below, others)

    for folder in target.storage.walk(target.path, enter=is_ours):
        below = relative(folder.path, target.path)
        if below is None:
            continue
        names = [entry.path.rpartition("/")[2] for entry in folder.files]
        if below and FOLDER_NAME in names:
            others.append(below)
            continue
        yield from (
            f"{below}/{name}".lstrip("/")
            for name in names
            if is_data_file(name) and name.endswith(extension)
        )


def _is_in(path: str, folders: Iterable[str]) -> bool:
    return any(relative(path, folder) is not None for folder in folders)
