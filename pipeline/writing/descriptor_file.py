"""The descriptor of a target: read while its folder is claimed, then written over."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.storage import Claim, FileInfo, StagedFile, Storage
from pipeline.config import config_hash
from pipeline.datapackage import descriptor
from pipeline.datapackage.run_list import RunEntries, merged_runs
from pipeline.errors import DamagedDescriptorError, PublishConflictError, SinkError
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
    """

    entry: FileInfo | None
    content: Mapping[str, Any] | None

    @classmethod
    def read(cls, target: Target, published: PublishedTargets) -> CurrentDescriptor:
        """Read the descriptor of a target.

        Args:
            target: The target.
            published: What was read before; a descriptor that was damaged then is replaced.

        Raises:
            IntegrityError: It is damaged, and was not before, or it is not ours.
            StorageError: It could not be read.
        """
        entry = target.storage.info(target.descriptor)
        if entry is None:
            return cls(None, None)
        data = target.storage.read(target.descriptor)
        try:
            return cls(entry, descriptor.load(data, target.storage.url(target.descriptor)))
        except DamagedDescriptorError:
            if place_of(target) not in published.unreadable:
                raise
            return cls(entry, None)

    def resources(self, pending: Pending) -> list[dict[str, Any]]:
        """Return what is published of a target."""
        identity = pending.target.identity(pending.plan.sink)
        return [] if self.content is None else descriptor.resources_of(self.content, identity)

    @property
    def named(self) -> set[str]:
        """The paths that it names, of whatever target."""
        return set() if self.content is None else descriptor.paths_of(self.content["resources"])

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
        if is_published(pending, listed):
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
    ) -> dict[str, Any]:
        """Return the descriptor that is to replace this one.

        Args:
            plan: The plan of the export.
            group: The targets that are written, all of this descriptor.
            obsolete: Targets that it names no more.
            created: When the export began.
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
        hashed = config_hash(plan.config)
        write_id = secrets.token_hex(16)
        return descriptor.package(plan.config.name, hashed, created, runs, kept + new, write_id)


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
