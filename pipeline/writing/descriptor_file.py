"""Read the descriptor of a target while its folder is claimed, and write over it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any

from connectors.storage import Claim, FileInfo, StagedFile, Storage
from pipeline.config import config_hash
from pipeline.datapackage import descriptor
from pipeline.datapackage.run_list import RunEntries, merged_runs
from pipeline.errors import DamagedDescriptorError, PublishConflictError, SinkError
from pipeline.lake_tables.contract import TableVersion
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import Pending, PublishedTargets, is_published, place_of
from pipeline.planning.target import Target
from pipeline.writing.router import StagedOutput

StagedTarget = tuple[Pending, Sequence[StagedOutput]]
"""A target with its staged files."""


@dataclass(frozen=True)
class CurrentDescriptor:
    """A descriptor as it is while its folder is claimed.

    Attributes:
        entry: The file, if there is one.
        content: What it says; None where there is none, or a damaged one is being replaced.
        version: The newest version of the lake table in the folder, if there is one.
    """

    entry: FileInfo | None
    content: Mapping[str, Any] | None
    version: TableVersion | None = None

    @classmethod
    def read(cls, target: Target, published: PublishedTargets) -> CurrentDescriptor:
        """Read the descriptor of a target.

        Args:
            target: The target.
            published: What was read before; a descriptor that was damaged then is replaced.

        Raises:
            IntegrityError: It is damaged, and was not before, or it is not ours.
            SinkError: The log of a lake table could not be read.
            StorageError: It could not be read.
        """
        version = None if target.table is None else target.table.read()
        entry = target.storage.info(target.descriptor)
        if entry is None:
            return cls(None, None, version)
        data = target.storage.read(target.descriptor)
        try:
            content = descriptor.load(data, target.storage.url(target.descriptor))
        except DamagedDescriptorError:
            if place_of(target) not in published.unreadable:
                raise
            return cls(entry, None, version)
        return cls(entry, content, version)

    def resources(self, pending: Pending) -> list[dict[str, Any]]:
        """Return what is published of a target."""
        return self.resources_of(pending.target.identity(pending.plan.sink))

    def resources_of(self, identity: str) -> list[dict[str, Any]]:
        """Return what it names of the target with an identity."""
        return self._by_target.get(identity, [])

    @property
    def targets(self) -> set[str]:
        """The targets that it names files of."""
        return {*self._by_target}

    @cached_property
    def _by_target(self) -> dict[str, list[dict[str, Any]]]:
        return {} if self.content is None else descriptor.resources_by_target(self.content)

    @property
    def named(self) -> set[str]:
        """The paths that it names, of whatever target, and those that a lake table holds."""
        held = set() if self.version is None else {*self.version.files}
        if self.content is None:
            return held
        return held | descriptor.paths_of(self.content["resources"])

    def divided(
        self, published: PublishedTargets, group: Iterable[StagedTarget]
    ) -> tuple[list[StagedTarget], list[StagedTarget]]:
        """Return what is still to be published, and what another exporter has published alike.

        Raises:
            PublishConflictError: Another exporter has published something else.
        """
        ours: list[StagedTarget] = []
        theirs: list[StagedTarget] = []
        for pending, outputs in group:
            done = self._is_done(published, pending)
            (theirs if done else ours).append((pending, outputs))
        return ours, theirs

    def _is_done(self, published: PublishedTargets, pending: Pending) -> bool:
        """Return whether another exporter has published just what this one is about to.

        Raises:
            PublishConflictError: It has published something else.
        """
        listed = self.resources(pending)
        if listed == published.resources(pending.plan, pending.target):
            return False
        if is_published(pending, listed, self.version):
            return True
        raise PublishConflictError(
            f"{pending.target.url}: another exporter has published it since this export began"
            f"{self._written_by()}; nothing of it was replaced: run one exporter of it at a time, "
            "or this one again"
        )

    def _written_by(self) -> str:
        if self.content is None:
            return ""
        config = self.content["flowtime"].get("config")
        name = config.get("name") if isinstance(config, dict) else None
        return f" (config {name!r}, created {self.content.get('created')})"

    def package(
        self,
        plan: ExportPlan,
        group: Sequence[StagedTarget],
        obsolete: Collection[str],
        created: datetime,
        order: Mapping[str, int] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return the descriptor that is to replace this one.

        Args:
            plan: The plan of the export.
            group: The targets that are written, all of this descriptor.
            obsolete: Targets that it names no more.
            created: When the export began.
            order: Places of targets whose resources are in the order of their rows.
        """
        replaced = {pending.target.identity(pending.plan.sink) for pending, _ in group}
        replaced.update(obsolete)
        kept = [] if self.content is None else descriptor.resources_beside(self.content, replaced)
        rows = sorted({row for pending, _ in group for row in pending.target.runs})
        position = {row: number for number, row in enumerate(rows)}
        new: list[dict[str, Any]] = []
        for pending, outputs in group:
            described = descriptor.Described(
                pending.target.identity(pending.plan.sink),
                plan.config.name,
                pending.state,
                plan.contents(pending.plan, pending.target),
                [position[row] for row in pending.target.runs],
                None if pending.target.table is None else pending.plan.sink.format,
            )
            new += descriptor.resources(
                described,
                pending.plan.sink,
                plan.file_columns(pending.plan, pending.target),
                [output.file for output in outputs],
            )
        runs = RunEntries(len(rows), lambda number: plan.described(plan.runs[rows[number]]))
        if kept and self.content is not None:
            runs, kept = merged_runs(runs, descriptor.runs_of(self.content), kept)
        listed = sorted(kept + new, key=lambda one: order.get(descriptor.target_of(one), -1))
        hashed = config_hash(plan.config)
        write_id = secrets.token_hex(16)
        return descriptor.package(plan.config.name, hashed, created, runs, listed, write_id)


def commit_described(
    claim: Claim,
    storage: Storage,
    staged: Iterable[StagedFile],
    path: str,
    package: Mapping[str, Any],
    before: FileInfo | None,
) -> None:
    """Make staged files visible, then the descriptor that names them.

    Args:
        claim: The claim on what is written, checked before each step.
        storage: Where they go.
        staged: The files.
        path: Path of the descriptor.
        package: The descriptor.
        before: The descriptor that is to be replaced, which must still be there.

    Raises:
        ConflictError: The claim is lost, or another exporter has written the descriptor.
        SinkError: The staged descriptor could not be written.
        StorageError: The store refused a file.
    """
    for one in staged:
        claim.check()
        storage.commit(one)
    claim.check()
    write_whole(storage, path, descriptor.dump(package), before)


def write_whole(
    storage: Storage, path: str, data: Iterable[bytes], before: FileInfo | None
) -> None:
    """Publish bytes so that no reader sees a part of them, provided `before` is still there.

    Raises:
        ConflictError: Another exporter has written the file.
        SinkError: The staged file could not be written.
        StorageError: It is not visible; or, after a lost answer, it may be.
    """
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
