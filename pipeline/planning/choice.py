"""Choose which targets of an export are written, and what is removed beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connectors.storage.calls.deadline import ContextPool
from pipeline.datapackage import descriptor
from pipeline.errors import DamagedDescriptorError, IntegrityError, PublishConflictError
from pipeline.planning.data_files import unnamed_data_files
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import DescriptorKey, Pending, PublishedTargets, place_of
from pipeline.wording import counted, few

_LOOK_UPS = 16

Obsolete = Mapping[DescriptorKey, Sequence[Mapping[str, Any]]]
"""Resources of data sets whose format no sink writes into their folder any more."""


@dataclass(frozen=True)
class Choice:
    """What the export does with each target.

    Attributes:
        to_write: Targets that are not up to date.
        current: Targets that are published as they would be written.
        kept: Targets that differ and are kept, as `if_exists` is `skip`.
        blocked: Targets whose descriptor may not be replaced, with the reason.
        obsolete: What the export removes, as its sinks write it no more.
    """

    to_write: tuple[Pending, ...]
    current: tuple[Pending, ...]
    kept: tuple[Pending, ...]
    blocked: tuple[tuple[Pending, IntegrityError], ...]
    obsolete: Obsolete

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know of files that go, and of files that stay."""
        return tuple(self._notes())

    def raise_blocked(self) -> None:
        """Report the targets that could not be written, once all others are.

        Raises:
            IntegrityError: The descriptor of a target is damaged, or not ours.
        """
        if not self.blocked:
            return
        error = self.blocked[0][1]
        others = {problem for _, problem in self.blocked} - {error}
        more = f" (and {counted(len(others), 'more descriptor')})" if others else ""
        done = len(self.to_write) + len(self.current)
        rest = f"; {counted(done, 'other target')} of this export: done" if done else ""
        raise type(error)(f"{error}{more}{rest}")

    def _notes(self) -> Iterator[str]:
        folders = {
            place_of(pending.target): pending.target for pending in (*self.to_write, *self.current)
        }
        for place, resources in self.obsolete.items():
            gone = {descriptor.target_of(one) for one in resources if descriptor.table_of(one)}
            if gone:
                yield (
                    f"{folders[place].url}: {counted(len(gone), 'run')} that the source does not "
                    "give any more: removed from the table"
                )
            resources = [one for one in resources if descriptor.table_of(one) is None]
            if not resources:
                continue
            formats = sorted({str(item.get("format")) for item in resources})
            yield (
                f"{folders[place].url}: {counted(len(resources), 'file')} of format "
                f"{' and '.join(formats)} are removed, as no sink writes that format there any more"
            )
        unnamed = {pending.target.url: pending.unnamed for pending in self.to_write}
        for url, paths in unnamed.items():
            if paths:
                yield (
                    f"{url}: data files that no descriptor names are left as they are, and "
                    f"readers of the folder will read them too: {few(sorted(paths))}"
                )


def choose(plan: ExportPlan, published: PublishedTargets, *, full_refresh: bool = False) -> Choice:
    """Decide which targets are written, and which may stay.

    Args:
        plan: The plan of the export.
        published: What is published already.
        full_refresh: Whether targets that are up to date are written as well, and damaged
            descriptors replaced.

    Raises:
        PublishConflictError: A target exists and `if_exists` is `error`.
        StorageError: A folder could not be listed, or a file not looked at.
    """
    everything: list[Pending] = []
    blocked: list[tuple[Pending, IntegrityError]] = []
    for sink in plan.sinks:
        for target in (part for whole in sink.targets for part in whole.parts(plan.runs)):
            pending = Pending(sink, target, plan.state(sink, target))
            problem = published.unreadable.get(place_of(target))
            if problem is None or (full_refresh and isinstance(problem, DamagedDescriptorError)):
                everything.append(pending)
            else:
                blocked.append((pending, problem))
    # Each answer takes a request or two where the target is remote.
    with ContextPool(_LOOK_UPS) as pool:
        are_current = list(pool.map(published.is_current, everything))
        examined = list(
            pool.map(
                lambda one, is_current: (
                    one if is_current and not full_refresh else _with_unnamed(published, one)
                ),
                everything,
                are_current,
            )
        )
    folders = _obsolete_by_folder(plan, published)
    to_write: list[Pending] = []
    current: list[Pending] = []
    kept: list[Pending] = []
    for pending, is_current in zip(examined, are_current, strict=True):
        if is_current:
            (to_write if full_refresh else current).append(pending)
        else:
            (kept if _may_stay(published, folders, pending) else to_write).append(pending)
    obsolete = {place: one.resources for place, one in folders.items() if one.is_removed}
    return Choice(tuple(to_write), tuple(current), tuple(kept), tuple(blocked), obsolete)


def _with_unnamed(published: PublishedTargets, pending: Pending) -> Pending:
    target = pending.target
    if not target.is_folder or target.table is not None:  # the log says what is in a table
        return pending
    named = published.named(target)
    return replace(pending, unnamed=unnamed_data_files(target.storage, target.path, named))


@dataclass
class _ObsoleteFiles:
    """What is obsolete in the folder of a data set.

    Attributes:
        targets: The targets of the config's sinks there.
        resources: What the config wrote there for others.
        is_removed: Whether it may go, as every sink there replaces what exists.
    """

    targets: set[str]
    resources: Sequence[Mapping[str, Any]] = ()
    is_removed: bool = True


def _obsolete_by_folder(
    plan: ExportPlan, published: PublishedTargets
) -> dict[DescriptorKey, _ObsoleteFiles]:
    folders: dict[DescriptorKey, _ObsoleteFiles] = {}
    for sink in plan.sinks:
        for target in sink.targets:
            place = place_of(target)
            if target.is_folder and place in published.descriptors:
                folder = folders.setdefault(place, _ObsoleteFiles(set()))
                folder.targets |= {part.identity(sink.sink) for part in target.parts(plan.runs)}
                folder.is_removed &= sink.sink.if_exists == "replace"
    for place, folder in folders.items():
        folder.resources = descriptor.obsolete_resources(
            published.descriptors[place], plan.config.name, folder.targets
        )
    return {place: folder for place, folder in folders.items() if folder.resources}


def _may_stay(
    published: PublishedTargets,
    obsolete: Mapping[DescriptorKey, _ObsoleteFiles],
    pending: Pending,
) -> bool:
    """Return whether a target that differs is left as it is.

    Raises:
        PublishConflictError: It exists and `if_exists` is `error`.
    """
    wish = pending.plan.sink.if_exists
    if wish == "replace":
        return False
    place = place_of(pending.target)
    exists = (
        place in published.unreadable
        or bool(published.resources(pending.plan, pending.target))
        or place in published.tables
        or place in obsolete
        or _is_file(pending)
    )
    if wish == "skip":
        return exists or bool(pending.unnamed)
    if exists:
        raise PublishConflictError(
            f"{pending.target.url} exists already and if_exists is error: "
            "remove it, choose another path, or set if_exists: replace"
        )
    if pending.unnamed:
        raise PublishConflictError(
            f"{pending.target.url} holds data files that no descriptor names "
            f"({few(sorted(pending.unnamed))}), and if_exists is error: move them away, choose "
            "another path, or set if_exists: replace, which leaves them where they are"
        )
    return False


def _is_file(pending: Pending) -> bool:
    target = pending.target
    return not target.is_folder and target.storage.info(target.path) is not None
