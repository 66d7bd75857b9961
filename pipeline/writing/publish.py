"""Publish staged files: first the files, then the descriptor, then remove what it replaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from connectors.errors import ConflictError, StorageError
from connectors.storage import Claim, claimed, interrupted_work, join, sha256_of
from connectors.storage.calls.deadline import check_deadline, within
from pipeline.datapackage import descriptor
from pipeline.errors import IntegrityError, PublishConflictError
from pipeline.planning.choice import Obsolete
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import DescriptorKey, Pending, PublishedTargets, place_of
from pipeline.planning.target import Target
from pipeline.writing.descriptor_file import (
    CurrentDescriptor,
    StagedTarget,
    commit_described,
    write_whole,
)
from pipeline.writing.removal import claim_scope, remove_data_files, settle_interrupted
from pipeline.writing.router import StagedOutput
from pipeline.writing.table_commit import (
    has_changed,
    places_of_runs,
    stored_names,
    table_change,
)


@dataclass(frozen=True)
class Published:
    """The result of publishing staged targets.

    Attributes:
        written: Those that were made visible.
        found: Those that another exporter had published alike meanwhile.
        current: What is published now, as far as it was looked at.
        changed: URLs of lake tables that have lost runs and gained none.
    """

    written: tuple[StagedTarget, ...]
    found: tuple[Pending, ...]
    current: PublishedTargets
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Publisher:
    """Publishes the targets of one export, folder by folder, each claimed meanwhile.

    Attributes:
        plan: The plan of the export.
        before: What was published when it was decided what to write.
        obsolete: What goes, as no sink writes it any more.
        created: When the export began.
    """

    plan: ExportPlan
    before: PublishedTargets
    obsolete: Obsolete
    created: datetime

    def publish(self, written: Sequence[StagedTarget]) -> Published:
        """Make whole files visible, then their descriptors; then remove what these replace.

        Args:
            written: The staged files of each target.

        Raises:
            PublishConflictError: Another exporter is at work there, or has published something
                else meanwhile, or a file that no descriptor names is in the way.
            StorageError: A store refused a file. Files that were visible before still are, and the
                descriptors still name them.
        """
        done: list[StagedTarget] = []
        found: list[Pending] = []
        now = dict(self.before.descriptors)
        for groups in _by_folder([one for one in written if not one[0].target.is_stdout]):
            check_deadline()
            try:
                with self._claimed(groups) as claim:
                    for group in groups:
                        target = group[0][0].target
                        current = CurrentDescriptor.read(target, self.before)
                        ours, theirs = current.divided(self.before, group)
                        _settle_others(claim, target, current)
                        if ours:
                            self._publish_group(current, ours, claim)
                        for pending, outputs in theirs:
                            _discard(outputs)
                            found.append(pending)
                        if current.content is not None:
                            now[place_of(target)] = descriptor.without_runs(current.content)
                        done += ours
            except ConflictError as conflict:
                raise PublishConflictError(str(conflict)) from conflict
        for pending, outputs in written:
            if pending.target.is_stdout:  # last, as it cannot be taken back
                for output in outputs:
                    pending.target.storage.commit(output.staged)
                done.append((pending, outputs))
        return Published(tuple(done), tuple(found), PublishedTargets(now))

    def tidy(self, current: Iterable[Pending]) -> frozenset[str]:
        """Remove what is obsolete or was left by a dead exporter beside targets that are current.

        Nothing happens where another exporter is at work.

        Returns:
            URLs of the lake tables whose rows have changed.

        Raises:
            SinkError: A lake table could not be changed.
            StorageError: A folder could not be listed, or a file not removed.
        """
        changed: set[str] = set()
        folders = {place_of(one.target): one for one in current if one.target.is_folder}
        for place, pending in folders.items():
            target = pending.target
            if place in self.obsolete or interrupted_work(target.storage, target.folder):
                with suppress(ConflictError), self._claimed([[(pending, ())]]) as claim:
                    found = CurrentDescriptor.read(target, self.before)
                    _settle_others(claim, target, found)
                    if target.table is not None:
                        if self._obsolete_targets(place) & found.targets:
                            self._publish_table(found, pending, (), claim)
                            changed.add(target.url)
                    elif self._obsolete_paths(place) & found.named:
                        gone = self._obsolete_targets(place)
                        package = found.package(self.plan, (), gone, self.created)
                        data = descriptor.dump(package)
                        write_whole(target.storage, target.descriptor, data, found.entry)
                        _remove(target, self._obsolete_paths(place))
        return frozenset(changed)

    def _publish_group(
        self, current: CurrentDescriptor, group: Sequence[StagedTarget], claim: Claim
    ) -> None:
        target = group[0][0].target
        if target.table is not None:
            self._publish_table(current, group[0][0], group, claim)
            return
        _refuse_overwriting(group)
        staged = [output.staged for _, outputs in group for output in outputs]
        gone = self._obsolete_targets(place_of(target))
        package = current.package(self.plan, group, gone, self.created)
        commit_described(claim, target.storage, staged, target.descriptor, package, current.entry)
        if target.is_folder:
            _remove(target, self._replaced(group) - _new(group))

    def _publish_table(
        self, current: CurrentDescriptor, one: Pending, group: Sequence[StagedTarget], claim: Claim
    ) -> None:
        """Commit the files of runs to their table, then write its descriptor.

        What it replaces stays, as earlier versions of the table name it. Files that are removed are
        those of a data set that was there before the table.
        """
        target, table = one.target, one.target.table
        assert table is not None
        if has_changed(current.version, self.before.tables.get(place_of(target))):
            raise PublishConflictError(
                f"{target.url}: another writer has committed to the table since this export "
                "began; nothing of it was changed: run it again, and one exporter at a time"
            )
        package = current.package(
            self.plan,
            group,
            self._obsolete_targets(place_of(target)),
            self.created,
            places_of_runs(self.plan, target),
        )
        outputs = [output for _, outputs in group for output in outputs]
        change = table_change(one.plan, target, current, package, outputs)
        for output in outputs:
            claim.check()
            target.storage.commit(output.staged)
        claim.check()
        obsolete = self._obsolete_files(place_of(target))
        claim.record(sorted(obsolete))
        version = current.version
        if change is not None:
            version = table.commit(change, current.version)
        if version is not None:
            package = descriptor.with_table(package, version.reference)
        write_whole(target.storage, target.descriptor, descriptor.dump(package), current.entry)
        _remove(target, obsolete)

    def _claimed(self, groups: Sequence[Sequence[StagedTarget]]) -> AbstractContextManager[Claim]:
        """Claim the one descriptor to be written in a folder, or the folder.

        The claim records the files of data sets that come and go, so that those of an export that
        is killed can be distinguished from others' files.
        """
        target = groups[0][0][0].target
        name = target.descriptor.rpartition("/")[2]
        uploads = [
            output.file.path
            for group in groups
            for _, outputs in group
            for output in outputs
            if target.storage.sends_in_parts(output.file.size)
        ]
        data_set = next((group for group in groups if group[0][0].target.is_folder), None)
        scope = claim_scope(name) if len(groups) == 1 else ""
        if data_set is None:
            return claimed(target.storage, target.folder, scope, uploads=uploads)
        return self._recorded(data_set, scope, uploads)

    @contextmanager
    def _recorded(
        self, group: Sequence[StagedTarget], scope: str, uploads: Sequence[str]
    ) -> Iterator[Claim]:
        target = group[0][0].target
        unnamed = {path for pending, _ in group for path in pending.unnamed}
        files = sorted((_new(group) | self._replaced(group)) - unnamed)
        if target.table is not None:  # What is there already may belong to any of its versions.
            obsolete = self._obsolete_files(place_of(target))
            files = sorted(obsolete | (_new(group) - stored_names(target)))
        with claimed(target.storage, target.folder, scope, uploads=uploads, files=files) as claim:
            try:
                yield claim
            except BaseException:
                self._undo(claim, target)
                raise

    def _undo(self, claim: Claim, target: Target) -> None:
        """Remove what was published before the descriptor could be."""
        try:
            with within(None):
                claim.check()  # If it is lost, another exporter may have taken over.
                named = CurrentDescriptor.read(target, self.before).named
                _remove(target, set(claim.work.files) - named)
        except (StorageError, IntegrityError):
            claim.abandon()

    def _replaced(self, group: Sequence[StagedTarget]) -> set[str]:
        """Return the files of a data set that the new descriptor names no more."""
        target = group[0][0].target
        replaced = self._obsolete_paths(place_of(target))
        for pending, outputs in group:
            if outputs:
                listed = self.before.resources(pending.plan, pending.target)
                replaced |= descriptor.paths_of(listed)
        return replaced

    def _obsolete_targets(self, place: DescriptorKey) -> set[str]:
        return {item["flowtime"]["target"] for item in self.obsolete.get(place, ())}

    def _obsolete_files(self, place: DescriptorKey) -> set[str]:
        """Return the obsolete files that no log of a lake table names."""
        listed = self.obsolete.get(place, ())
        return descriptor.paths_of(one for one in listed if descriptor.table_of(one) is None)

    def _obsolete_paths(self, place: DescriptorKey) -> set[str]:
        return descriptor.paths_of(self.obsolete.get(place, ()))


def _by_folder(written: Sequence[StagedTarget]) -> Iterator[list[list[StagedTarget]]]:
    """Yield targets that share a descriptor, by the folders of these."""
    folders: dict[DescriptorKey, dict[DescriptorKey, list[StagedTarget]]] = {}
    for pending, outputs in written:
        target = pending.target
        groups = folders.setdefault((target.storage, target.folder), {})
        groups.setdefault(place_of(target), []).append((pending, outputs))
    for groups in folders.values():
        yield list(groups.values())


def _new(group: Sequence[StagedTarget]) -> set[str]:
    return {output.file.path for _, outputs in group for output in outputs}


def _remove(target: Target, paths: set[str]) -> None:
    remove_data_files(target.storage, target.folder, paths, target.link_free_root)


def _settle_others(claim: Claim, target: Target, current: CurrentDescriptor) -> None:
    """Finish what dead exporters left undone in a data set, unless its descriptor is damaged."""
    if target.is_folder and (current.content is not None or current.entry is None):
        named = current.named
        settle_interrupted(claim, target.storage, target.folder, named, target.link_free_root)


def _refuse_overwriting(group: Sequence[StagedTarget]) -> None:
    """Refuse to replace a file that no descriptor names, unless it has the same bytes.

    Raises:
        PublishConflictError: Such a file has the name of a new one.
    """
    for pending, outputs in group:
        for output in outputs:
            if output.file.path in pending.unnamed and not _is_same(output):
                raise PublishConflictError(
                    f"{join(pending.target.url, output.file.path)}: this file is not named by any "
                    "descriptor, and the export would replace it: move it away, or choose another "
                    "path"
                )


def _is_same(output: StagedOutput) -> bool:
    """Return whether what is stored at an output's path has its bytes, or is gone."""
    storage, path = output.target.storage, output.staged.target
    found = storage.info(path)
    if found is None:
        return True
    return found.size == output.file.size and sha256_of(storage, path) == output.file.sha256


def _discard(outputs: Iterable[StagedOutput]) -> None:
    for output in outputs:
        output.target.storage.discard(output.staged)
