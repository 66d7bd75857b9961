"""Add what an export, import or comparison has found and written to a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from connectors.errors import NotFoundError
from connectors.flowtime.discover.discovery import discover_each
from connectors.flowtime.model.run import CONFIGURED_ORIGIN, Run
from connectors.storage import Storage, relative
from pipeline.errors import IntegrityError
from pipeline.registry.artifact_reading import version_of
from pipeline.registry.database.statements import parts
from pipeline.registry.records.artifact import ArtifactRecord, key_of
from pipeline.registry.records.descriptor_records import (
    keys_of_descriptor,
    records_of_descriptor,
)
from pipeline.registry.records.entries import DescriptorToEnter, RunsToEnter
from pipeline.registry.records.run_records import record_of_run
from pipeline.registry.register import BATCH
from pipeline.registry.registry import Registry


def enter(
    registry: Registry,
    runs: RunsToEnter | None,
    descriptors: Sequence[DescriptorToEnter],
    proceed: Callable[[], None],
) -> list[str]:
    """Enter runs, exports and comparisons that are not in the registry as they are now.

    Args:
        registry: The registry.
        runs: The runs.
        descriptors: The exports and comparisons.
        proceed: Called now and then; may raise to stop. What was entered before stays.

    Returns:
        What the registry cannot hold, and why.

    Raises:
        RegistryError: The database failed.
        StorageError: A run or a descriptor cannot be read.
    """
    roots: set[str] = set()
    refused: list[str] = []
    if runs is not None and (runs.runs or runs.paths):
        roots |= {_root_url(runs, root) for root in runs.roots}
        refused += _enter_runs(registry, runs, proceed)
    for one in descriptors:
        folder = one.storage.url(one.descriptor.rpartition("/")[0])
        if not any(relative(folder, url) is not None for url in roots):
            roots.add(folder)
    refused += _enter_descriptors(registry, descriptors, proceed)
    registry.add([], roots=roots)
    return refused


def _root_url(runs: RunsToEnter, root: str) -> str:
    """Return the folder above a run, where a single run was looked for."""
    is_single = any(run.path.rstrip("/") == root.rstrip("/") for run in runs.runs)
    return runs.storage.url(root.rstrip("/").rpartition("/")[0] if is_single else root)


def _enter_runs(registry: Registry, runs: RunsToEnter, proceed: Callable[[], None]) -> list[str]:
    refused: list[str] = []
    for some in parts(runs.runs, BATCH):
        proceed()
        known = registry.listings([key_of("run", run.url) for run in some])
        unknown = [run for run in some if known.get(key_of("run", run.url)) != run.listing]
        whole = [run for run in unknown if _is_whole(run)]
        rest = {run.path for run in unknown} - {run.path for run in whole}
        records = [record_of_run(run) for run in whole]
        records += _read_again(runs, sorted(rest), proceed)
        refused += registry.add(records, proceed=proceed)
    refused += registry.add([*_read_again(runs, runs.paths, proceed)], proceed=proceed)
    return refused


def _is_whole(run: Run) -> bool:
    """Return whether a run is as it was found, with all of its series and its own start."""
    is_as_found = run.series_left_out == 0 and run.origin_source != CONFIGURED_ORIGIN
    return run.summary is not None and is_as_found


def _read_again(
    runs: RunsToEnter, paths: Sequence[str], proceed: Callable[[], None]
) -> Iterator[ArtifactRecord]:
    for path in paths:
        proceed()
        for found in discover_each(runs.storage, path):
            if isinstance(found, Run):
                yield record_of_run(found)


def _enter_descriptors(
    registry: Registry, descriptors: Sequence[DescriptorToEnter], proceed: Callable[[], None]
) -> list[str]:
    refused: list[str] = []
    unique = {(one.storage, one.descriptor): one for one in descriptors}
    for some in parts([*unique.values()], BATCH):
        proceed()
        keys = [keys_of_descriptor(one.storage.url(one.descriptor)) for one in some]
        known = registry.listings([key for each in keys for key in each])
        wanted = [
            one
            for one, each in zip(some, keys, strict=True)
            if one.is_new or known.keys().isdisjoint(each)
        ]
        refused += registry.add([*_records(wanted, proceed)], proceed=proceed)
    return refused


def _records(
    descriptors: Sequence[DescriptorToEnter], proceed: Callable[[], None]
) -> Iterator[ArtifactRecord]:
    for one in descriptors:
        proceed()
        yield from _described(one.storage, one.descriptor)


def _described(storage: Storage, path: str) -> Sequence[ArtifactRecord]:
    """Return the records of a descriptor; none where another exporter is just replacing it."""
    try:
        entry = storage.info(path)
        if entry is None:
            return []
        url = storage.url(path)
        return records_of_descriptor(storage.read(path), url, version_of(entry))
    except (NotFoundError, IntegrityError):
        return []
