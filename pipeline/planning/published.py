"""Find what is published already, and so which targets are to be written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from connectors.errors import NotFoundError, StorageError
from connectors.storage import Storage, join, sha256_of
from pipeline.datapackage import descriptor
from pipeline.errors import IntegrityError, PublishConflictError
from pipeline.lake_tables.contract import TableVersion
from pipeline.planning.target import Target

if TYPE_CHECKING:
    from pipeline.planning.plan import ExportPlan, SinkPlan

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
        unnamed: Data files in its folder that no descriptor names, and that stay therefore.
    """

    plan: SinkPlan
    target: Target
    state: str
    unnamed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PublishedTargets:
    """What is published already.

    Attributes:
        descriptors: The descriptors where targets will have theirs, without their runs.
        unreadable: The errors of those that are damaged, or not ours.
        tables: The newest versions of lake tables, where there are any.
    """

    descriptors: Mapping[DescriptorKey, Mapping[str, Any]]
    unreadable: Mapping[DescriptorKey, IntegrityError] = field(default_factory=dict)
    tables: Mapping[DescriptorKey, TableVersion] = field(default_factory=dict)

    @classmethod
    def read(cls, plan: ExportPlan) -> PublishedTargets:
        """Read the descriptors beside all targets.

        Raises:
            PublishConflictError: Files would be written into the folder of a lake table.
            SinkError: A lake table could not be read.
            StorageError: One could not be read, or a run directory leads to it through a link.
        """
        _refuse_links(plan)
        wanted: dict[Storage, dict[str, None]] = {}
        for sink in plan.sinks:
            for target in sink.targets:
                wanted.setdefault(target.storage, {})[target.descriptor] = None
        found: dict[DescriptorKey, Mapping[str, Any]] = {}
        unreadable: dict[DescriptorKey, IntegrityError] = {}
        shared: dict[str, Any] = {}
        for storage, paths in wanted.items():
            for path, data in _read(storage, list(paths)):
                try:
                    whole = descriptor.load(data, storage.url(path))
                except IntegrityError as error:
                    unreadable[storage, path] = error
                else:
                    found[storage, path] = _sharing(descriptor.without_runs(whole), shared)
        _refuse_lake_tables(plan, found)
        return cls(found, unreadable, _tables(plan))

    def at(self, target: Target) -> Mapping[str, Any] | None:
        """Return the descriptor that is where a target will have its own."""
        return self.descriptors.get(place_of(target))

    def named(self, target: Target) -> set[str]:
        """Return the paths that this descriptor names, of whatever target."""
        found = self.at(target)
        return set() if found is None else descriptor.paths_of(found["resources"])

    def resources(self, plan: SinkPlan, target: Target) -> list[dict[str, Any]]:
        """Return what is published of a target."""
        return self._by_target.get(place_of(target), {}).get(target.identity(plan.sink), [])

    def is_current(self, pending: Pending) -> bool:
        """Return whether the published target is complete and up to date."""
        listed = self.resources(pending.plan, pending.target)
        return is_published(pending, listed, self.tables.get(place_of(pending.target)))

    @cached_property
    def _by_target(self) -> dict[DescriptorKey, dict[str, list[dict[str, Any]]]]:
        return {
            place: descriptor.resources_by_target(found)
            for place, found in self.descriptors.items()
        }


def _tables(plan: ExportPlan) -> dict[DescriptorKey, TableVersion]:
    """Return the newest versions of the lake tables of all sinks.

    Raises:
        ConfigError: A table does not fit the config.
        SinkError: One could not be read.
    """
    found = {}
    for sink in plan.sinks:
        for target in sink.targets:
            if target.table is not None and (version := target.table.read()) is not None:
                found[place_of(target)] = version
    return found


def _refuse_lake_tables(plan: ExportPlan, found: Mapping[DescriptorKey, Mapping[str, Any]]) -> None:
    """Refuse data sets in the folder of a lake table, whose log would name files that go."""
    for sink in plan.sinks:
        for target in sink.targets:
            listed = found.get(place_of(target), {}).get("resources", ())
            table = next(filter(None, map(descriptor.table_of, listed)), None)
            if table is not None and target.is_folder and sink.sink.format != table:
                raise PublishConflictError(
                    f"{target.url} is the folder of a {table} table, and format "
                    f"{sink.sink.format} cannot be written there: choose another path"
                )


def _read(storage: Storage, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the existing files, a few at a time: many runs may have a descriptor each.

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
    """Return the same descriptor; what is alike in all descriptors of a sink is one object."""

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


def is_published(
    pending: Pending, listed: Sequence[Mapping[str, Any]], version: TableVersion | None
) -> bool:
    """Return whether a target's resources are what would be written now, every file in place.

    Args:
        pending: The target.
        listed: Its resources in the descriptor.
        version: The newest version of its lake table, if it is of one that exists.
    """
    if not listed or any(descriptor.state_of(item) != pending.state for item in listed):
        return False
    if not all(map(descriptor.is_counted, listed)):  # the descriptor was changed
        return False
    if pending.target.table is not None:
        files = {} if version is None else version.files
        return all(files.get(item["path"]) == item["bytes"] for item in listed)
    described = _written_at(pending.target)
    return all(_is_in_place(pending.target, item, described) for item in listed)


def _is_in_place(target: Target, item: Mapping[str, Any], described: int | None) -> bool:
    """Return whether a file is there as it was exported.

    One that was written after its descriptor is read: an edit may leave its size as it was.
    """
    path = join(target.folder, item["path"])
    entry = target.storage.info(path)
    if entry is None or entry.size != item["bytes"]:
        return False
    if described is None or int(entry.version) <= described:
        return True
    return f"sha256:{sha256_of(target.storage, path)}" == item.get("hash")


def _written_at(target: Target) -> int | None:
    """Return when a descriptor was written; None on a store, whose versions are in no order."""
    if target.storage.protocol != "file":
        return None
    entry = target.storage.info(target.descriptor)
    return None if entry is None else int(entry.version)


def place_of(target: Target) -> DescriptorKey:
    """Return the place of a target's descriptor."""
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
