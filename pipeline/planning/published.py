"""What is published already, and so which targets are to be written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.errors import NotFoundError, StorageError
from connectors.storage import Storage, join
from connectors.storage.deadline import ContextPool
from pipeline.datapackage import descriptor
from pipeline.errors import PublishConflictError
from pipeline.planning.plan import ExportPlan, SinkPlan
from pipeline.planning.target import Target

_LOOK_UPS = 16
_READ_AT_ONCE = 256
_ALIKE = {"schema", "dialect", "columns", "constants", "options"}

DescriptorKey = tuple[Storage, str]
"""The location of a descriptor: its storage and its path there."""


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
class PublishedTargets:
    """What is published already.

    Attributes:
        descriptors: The descriptors that stand where targets will have theirs, without their
            runs.
    """

    descriptors: Mapping[DescriptorKey, Mapping[str, Any]]

    @classmethod
    def read(cls, plan: ExportPlan) -> PublishedTargets:
        """Read the descriptors beside all targets.

        Raises:
            IntegrityError: Something else's descriptor stands there.
            StorageError: It could not be read.
        """
        _refuse_links(plan)
        wanted: dict[Storage, dict[str, None]] = {}
        for sink in plan.sinks:
            for target in sink.targets:
                wanted.setdefault(target.storage, {})[target.descriptor] = None
        found: dict[DescriptorKey, Mapping[str, Any]] = {}
        shared: dict[str, Any] = {}
        for storage, paths in wanted.items():
            for path, data in _read(storage, list(paths)):
                whole = descriptor.load(data, storage.url(path))
                found[storage, path] = _sharing(descriptor.without_runs(whole), shared)
        return cls(found)

    def at(self, target: Target) -> Mapping[str, Any] | None:
        """The descriptor that stands where a target's will."""
        return self.descriptors.get(place_of(target))

    def resources(self, plan: SinkPlan, target: Target) -> list[dict[str, Any]]:
        """What is published of a target."""
        found = self.at(target)
        return [] if found is None else descriptor.resources_of(found, target.identity(plan.sink))

    def is_current(self, pending: Pending) -> bool:
        """Whether a target stands published as it would be written now, every file in place."""
        return is_published(pending, self.resources(pending.plan, pending.target))


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


def choose(plan: ExportPlan, standing: PublishedTargets, *, full_refresh: bool = False) -> Choice:
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
    with ContextPool(_LOOK_UPS) as pool:
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


def _read(storage: Storage, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The files that are there, a few at a time: there may be a descriptor for each of many runs.

    Raises:
        StorageError: A file could not be read.
    """
    for first in range(0, len(paths), _READ_AT_ONCE):
        group = paths[first : first + _READ_AT_ONCE]
        for path, data in zip(group, storage.read_many(group), strict=True):
            if isinstance(data, NotFoundError):
                continue
            if isinstance(data, StorageError):
                raise data
            yield path, data


def _sharing(found: Mapping[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """The same descriptor; what is alike in all descriptors of a sink is one object."""

    def alike(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: shared.setdefault(json.dumps(value), value) if key in _ALIKE else value
            for key, value in values.items()
        }

    resources = []
    for one in found["resources"]:
        own = one.get("flowtime")
        more = {"flowtime": alike(own)} if isinstance(own, dict) else {}
        resources.append({**alike(one), **more})
    return {**found, "resources": resources}


def _may_stay(standing: PublishedTargets, pending: Pending) -> bool:
    wish = pending.plan.sink.if_exists
    if wish == "replace" or not _exists(standing, pending.plan, pending.target):
        return False
    if wish == "error":
        raise PublishConflictError(
            f"{pending.target.url} exists already and if_exists is error: "
            "remove it, choose another path, or set if_exists: replace"
        )
    return True


def _exists(standing: PublishedTargets, plan: SinkPlan, target: Target) -> bool:
    if standing.resources(plan, target):
        return True
    return not target.is_folder and target.storage.info(target.path) is not None


def is_published(pending: Pending, listed: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a target's resources are what would be written now, every file in place."""
    if not listed or any(descriptor.state_of(item) != pending.state for item in listed):
        return False
    return all(_stands(pending.target, item) for item in listed)


def _stands(target: Target, item: Mapping[str, Any]) -> bool:
    entry = target.storage.info(join(target.folder, item["path"]))
    return entry is not None and entry.size == item["bytes"]


def place_of(target: Target) -> DescriptorKey:
    """The place of a target's descriptor."""
    return target.storage, target.descriptor


def _refuse_links(plan: ExportPlan) -> None:
    """Refuse targets in run directories that links lead to somewhere else.

    Runs are untrusted: a run, or its `gold/`, may be a link to any folder. The source's own URL
    may lead over links, as the user has chosen it.
    """
    for sink in plan.sinks:
        for target in sink.targets:
            for path in (target.path, target.descriptor):
                target.refuse_links(path)
