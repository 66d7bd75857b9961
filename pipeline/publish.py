"""Staged files to a visible export, the descriptor last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.errors import NotFoundError, StorageError
from connectors.storage import Storage, join, relative
from pipeline import descriptor
from pipeline.config import config_hash
from pipeline.errors import PublishConflictError
from pipeline.output import StagedOutput, is_data_file
from pipeline.plan import ExportPlan, SinkPlan
from pipeline.run_facts import describe_run
from pipeline.target import Target

_LOOK_UPS = 16

Place = tuple[int, str]
"""A descriptor's place: its storage and its path."""


@dataclass(frozen=True)
class Pending:
    """A target whose export is to be written.

    Attributes:
        plan: The plan of its sink.
        target: Where it goes.
        state: Digest of what shapes its bytes.
    """

    plan: SinkPlan
    target: Target
    state: str


@dataclass(frozen=True)
class Standing:
    """What is published already.

    Attributes:
        descriptors: The descriptors that stand where targets will have theirs.
    """

    descriptors: Mapping[Place, Mapping[str, Any]]

    @classmethod
    def read(cls, plan: ExportPlan) -> Standing:
        """Read the descriptors beside all targets.

        Raises:
            IntegrityError: Something else's descriptor stands there.
            StorageError: It could not be read.
        """
        wanted: dict[int, tuple[Storage, dict[str, None]]] = {}
        for sink in plan.sinks:
            for target in sink.targets:
                storage, paths = wanted.setdefault(id(target.storage), (target.storage, {}))
                paths[target.descriptor] = None
        found: dict[Place, Mapping[str, Any]] = {}
        for key, (storage, paths) in wanted.items():
            for path, data in zip(paths, storage.read_many(list(paths)), strict=True):
                if isinstance(data, NotFoundError):
                    continue
                if isinstance(data, StorageError):
                    raise data
                found[key, path] = descriptor.load(data, storage.url(path))
        return cls(found)

    def at(self, target: Target) -> Mapping[str, Any] | None:
        """The descriptor that stands where a target's will."""
        return self.descriptors.get(_place(target))

    def resources(self, plan: SinkPlan, target: Target) -> list[dict[str, Any]]:
        """What is published of a target."""
        found = self.at(target)
        return [] if found is None else descriptor.resources_of(found, target.identity(plan.sink))

    def is_current(self, pending: Pending) -> bool:
        """Whether a target stands published as it would be written now, every file in place."""
        listed = self.resources(pending.plan, pending.target)
        if not listed or any(descriptor.state_of(item) != pending.state for item in listed):
            return False
        return all(_stands(pending.target, item) for item in listed)


@dataclass(frozen=True)
class Choice:
    """Which targets are written.

    Attributes:
        to_write: Targets that are not current.
        current: Targets that stand as they would be written.
        kept: Targets that differ and are kept, as `if_exists` is `skip`.
    """

    to_write: tuple[Pending, ...]
    current: tuple[Pending, ...]
    kept: tuple[Pending, ...]


def choose(plan: ExportPlan, standing: Standing, *, full_refresh: bool = False) -> Choice:
    """Tell the targets that are to be written from those that may stay.

    Raises:
        PublishConflictError: A target exists and `if_exists` is `error`.
    """
    everything = [
        Pending(sink, target, plan.state(sink, target))
        for sink in plan.sinks
        for target in sink.targets
    ]
    # Each answer takes a request or two where the target is remote.
    with ThreadPoolExecutor(_LOOK_UPS) as pool:
        stands = list(pool.map(standing.is_current, everything))
    to_write: list[Pending] = []
    current: list[Pending] = []
    kept: list[Pending] = []
    for pending, is_current in zip(everything, stands, strict=True):
        if is_current:
            (to_write if full_refresh else current).append(pending)
        else:
            (kept if _may_stay(standing, pending) else to_write).append(pending)
    return Choice(tuple(to_write), tuple(current), tuple(kept))


def _may_stay(standing: Standing, pending: Pending) -> bool:
    wish = pending.plan.sink.if_exists
    if wish == "replace" or not _exists(standing, pending.plan, pending.target):
        return False
    if wish == "error":
        raise PublishConflictError(
            f"{pending.target.url} exists already and if_exists is error: "
            "remove it, choose another path, or set if_exists: replace"
        )
    return True


def publish(
    plan: ExportPlan,
    standing: Standing,
    written: Sequence[tuple[Pending, Sequence[StagedOutput]]],
    created: datetime,
) -> None:
    """Make whole files visible, then their descriptors; then remove what these replace.

    Raises:
        StorageError: A store refused a file. Files that were visible before still are, and the
            descriptors still name them.
    """
    groups: dict[Place, list[tuple[Pending, Sequence[StagedOutput]]]] = defaultdict(list)
    for pending, outputs in written:
        groups[_place(pending.target)].append((pending, outputs))
    for group in groups.values():
        for _, outputs in group:
            for output in outputs:
                output.target.storage.commit(output.staged)
        _publish_descriptor(plan, standing, group, created)
        for pending, outputs in group:
            _remove_replaced(standing, pending, outputs)


def _publish_descriptor(
    plan: ExportPlan,
    standing: Standing,
    group: Sequence[tuple[Pending, Sequence[StagedOutput]]],
    created: datetime,
) -> None:
    target = group[0][0].target
    before = standing.at(target)
    replaced = {pending.target.identity(pending.plan.sink) for pending, _ in group}
    kept = [] if before is None else _others(before, replaced)
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
            [shown.column for shown in pending.plan.in_file],
            [output.file for output in outputs],
        )
    runs: list[Mapping[str, Any]] = [describe_run(plan.runs[row]) for row in rows]
    if kept and before is not None:
        runs, kept = descriptor.merged_runs(runs, before, kept)
    package = descriptor.package(
        plan.config.name, config_hash(plan.config), created, runs, kept + new
    )
    write_whole(target.storage, target.descriptor, descriptor.dump(package))


def write_whole(storage: Storage, path: str, data: bytes) -> None:
    """Publish bytes so that no reader sees a part of them."""
    staged = storage.stage(path)
    try:
        staged.local.write_bytes(data)
        storage.commit(staged)
    except BaseException:
        storage.discard(staged)
        raise


def _others(found: Mapping[str, Any], replaced: set[str]) -> list[dict[str, Any]]:
    gone = [item for name in replaced for item in descriptor.resources_of(found, name)]
    return [item for item in found["resources"] if item not in gone]


def _remove_replaced(standing: Standing, pending: Pending, outputs: Iterable[StagedOutput]) -> None:
    """Remove data files that the new descriptor does not name.

    In a folder, that is also what an export left that died between its files and its descriptor:
    a reader that lists the folder would count those rows twice.
    """
    target = pending.target
    now = {output.file.path for output in outputs}
    before = {item["path"] for item in standing.resources(pending.plan, target)}
    if target.is_folder:
        before |= set(_data_files(target, pending.plan.sink.extension))
    for path in sorted(before - now):
        target.storage.delete(join(target.folder, path))


def _data_files(target: Target, extension: str) -> Iterator[str]:
    """Paths of files in a folder that bear the names this project gives to data files."""
    for folder in target.storage.walk(target.path):
        for entry in folder.files:
            below = relative(entry.path, target.path)
            if below is not None and is_data_file(below.rpartition("/")[2], extension):
                yield below


def _exists(standing: Standing, plan: SinkPlan, target: Target) -> bool:
    if standing.resources(plan, target):
        return True
    return not target.is_folder and target.storage.info(target.path) is not None


def _stands(target: Target, item: Mapping[str, Any]) -> bool:
    entry = target.storage.info(join(target.folder, item["path"]))
    return entry is not None and entry.size == item["bytes"]


def _place(target: Target) -> Place:
    return id(target.storage), target.descriptor
