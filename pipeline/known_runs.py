"""Runs that an earlier export has read, as long as their folders are listed as they were then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import StorageError
from connectors.flowtime.discover import Known
from connectors.flowtime.run import Run
from pipeline import descriptor
from pipeline.config import ExportConfig, config_hash
from pipeline.errors import IntegrityError
from pipeline.run_facts import read_run
from pipeline.target import TargetResolver
from pipeline.version import VERSION


def known_runs(config: ExportConfig, resolver: TargetResolver) -> Known | None:
    """What the descriptors of this very config say of runs; None where they say nothing.

    Only targets whose path names no run have one descriptor that can be found beforehand. What
    is wrong with a descriptor is told when it is compared with the plan, not here.
    """
    entries: dict[str, Mapping[str, Any]] = {}
    for sink in config.sinks:
        target = resolver.of_all_runs(sink)
        if target is None:
            continue
        try:
            data = target.storage.read(target.descriptor)
            found = descriptor.load(data, target.storage.url(target.descriptor))
        except (StorageError, IntegrityError):
            continue
        if _is_of(found, config):
            entries.update(
                (run["url"], run)
                for run in descriptor.runs_of(found)
                if isinstance(run.get("url"), str)
            )
    return _Memory(entries) if entries else None


def _is_of(found: Mapping[str, Any], config: ExportConfig) -> bool:
    own = found["flowtime"]
    written_for = own.get("config")
    expected = f"sha256:{config_hash(config)}"
    same = isinstance(written_for, dict) and written_for.get("hash") == expected
    return same and own.get("version") == VERSION


class _Memory:
    """Runs by the entries of descriptors."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self._entries = entries

    def __call__(self, url: str, listing: str) -> Run | None:
        """The run at a URL, if its entry says that it was listed so."""
        entry = self._entries.get(url)
        if entry is None or entry.get("listing") != f"sha256:{listing}":
            return None
        try:
            run = read_run(entry, url).run
        except IntegrityError:
            return None
        # Descriptors do not keep the hashes of a bundle's files.
        return None if run.is_bundle else run
