"""Remember the runs that an earlier export has read, as long as their folders have not changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from connectors.errors import StorageError
from connectors.flowtime.discover.discovery import KnownRun
from connectors.flowtime.model.run import Run
from pipeline.config import ExportConfig, config_hash
from pipeline.datapackage import descriptor
from pipeline.datapackage.run_list import RunEntry
from pipeline.datapackage.run_record import read_run
from pipeline.errors import IntegrityError
from pipeline.planning.target import TargetResolver
from pipeline.version import VERSION


def known_runs(config: ExportConfig, resolver: TargetResolver) -> KnownRun | None:
    """Return what the descriptors of this very config say of runs; None where they say nothing.

    Only targets whose path names no run have one descriptor that can be found beforehand. What
    is wrong with a descriptor is reported when it is compared with the plan, not here.
    """
    if any(sink.is_stdout for sink in config.sinks):  # what goes there is read every time
        return None
    known: dict[str, Run] = {}
    for sink in config.sinks:
        target = resolver.of_all_runs(sink)
        if target is None:
            continue
        try:
            data = target.storage.read(target.descriptor)
            url = target.storage.url(target.descriptor)
            found = descriptor.load(data, url, check_runs=False)
            if _is_of(found, config):
                known |= _by_url(descriptor.runs_of(found))
        except (StorageError, IntegrityError, ValueError):
            continue
    return _Memory(known) if known else None


def _by_url(entries: Iterable[RunEntry]) -> dict[str, Run]:
    """Return the runs of a descriptor whose folders can be compared with it."""
    found: dict[str, Run] = {}
    for entry in entries:
        with suppress(IntegrityError):
            run = read_run(entry, "").run
            # Descriptors do not keep the hashes of a bundle's files.
            if not run.is_bundle:
                found[run.url] = run
    return found


def _is_of(found: Mapping[str, Any], config: ExportConfig) -> bool:
    own = found["flowtime"]
    written_for = own.get("config")
    expected = f"sha256:{config_hash(config)}"
    same = isinstance(written_for, dict) and written_for.get("hash") == expected
    return same and own.get("version") == VERSION


class _Memory:
    """Runs that descriptors name, each for as long as it has not been asked for."""

    def __init__(self, runs: dict[str, Run]) -> None:
        self._runs = runs

    def __call__(self, url: str, listing: str) -> Run | None:
        """Return the run at a URL, if its listing is the same; each is asked for once."""
        run = self._runs.pop(url, None)
        return run if run is not None and run.listing == listing else None
