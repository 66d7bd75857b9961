"""Read what is below a folder as a registry keeps it: runs, exports and comparisons."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from connectors.flowtime.discover.discovery import Refusal, discover_each
from connectors.flowtime.model.run import Run
from connectors.storage import FileInfo, Folder, Storage, StorageOptions, connect
from pipeline.errors import IntegrityError, StorageError
from pipeline.registry.rebuild_report import RebuildReport
from pipeline.registry.records.artifact import ArtifactRecord, key_of
from pipeline.registry.records.descriptor_records import (
    is_descriptor,
    keys_of_descriptor,
    records_of_descriptor,
)
from pipeline.registry.records.run_records import record_of_refusal, record_of_run
from pipeline.registry.register import why_not_registered

_DESCRIPTORS_AT_ONCE = 64
_NICENESS = 5


class ArtifactReading:
    """Reads the artifacts at or below a folder, one after the other.

    Args:
        storage: Where to look.
        path: The folder.
        known: The listings of artifacts, by their keys; what is listed so is not read again.
        report: What is known as it is, and what cannot be registered, is counted here.
        only: Names of the folders directly in `path` that are looked through; None for all.

    Attributes:
        seen: Keys of all artifacts that are there.
    """

    def __init__(
        self,
        storage: Storage,
        path: str,
        known: Mapping[int, str],
        report: RebuildReport,
        only: Set[str] | None = None,
    ) -> None:
        self.seen: set[int] = set()
        self._report = report
        self._storage = storage
        self._path = path
        self._known = known
        self._only = only
        self._descriptors: list[FileInfo] = []

    def records(self) -> Iterator[ArtifactRecord]:
        """Yield the artifacts that are new or have changed.

        Raises:
            StorageError: The folder cannot be listed.
        """
        runs = discover_each(
            self._storage,
            self._path,
            watch=self._note_descriptors,
            skip=self._is_known,
            only=self._only,
        )
        for run in runs:
            record = _record(run)
            if self._is_refused(record):
                continue
            if record.state != "complete" and self._is_as_known(record):
                continue
            self.seen.add(record.key)
            yield record
            yield from self._exports()
        yield from self._exports(all_of_them=True)

    def _is_refused(self, record: ArtifactRecord) -> bool:
        """Return whether the registry cannot hold an artifact, and report it then."""
        reason = why_not_registered(record)
        if reason is not None:
            self._report.problems.append(reason)
        return reason is not None

    def _note_descriptors(self, folder: Folder) -> None:
        """Note the descriptors in a folder."""
        self._descriptors += [
            entry for entry in folder.files if is_descriptor(entry.path.rpartition("/")[2])
        ]

    def _is_known(self, url: str, listing: str) -> bool:
        key = key_of("run", url)
        if self._known.get(key) != listing:
            return False
        self.seen.add(key)
        self._report.unchanged += 1
        return True

    def _is_as_known(self, record: ArtifactRecord) -> bool:
        """Return whether a folder that cannot be used is known as such, for the same reason."""
        if self._known.get(record.key) != record.listing:
            return False
        self.seen.add(record.key)
        self._report.unchanged += 1
        return True

    def _exports(self, *, all_of_them: bool = False) -> Iterator[ArtifactRecord]:
        while len(self._descriptors) >= (1 if all_of_them else _DESCRIPTORS_AT_ONCE):
            some = self._descriptors[:_DESCRIPTORS_AT_ONCE]
            del self._descriptors[:_DESCRIPTORS_AT_ONCE]
            unknown = [entry for entry in some if not self._is_known_descriptor(entry)]
            data = self._storage.read_many([entry.path for entry in unknown])
            for entry, content in zip(unknown, data, strict=True):
                for record in self._described(entry, content):
                    if self._is_refused(record):
                        continue
                    self.seen.add(record.key)
                    yield record

    def _is_known_descriptor(self, entry: FileInfo) -> bool:
        found = [
            key for key in keys_of_descriptor(self._storage.url(entry.path)) if key in self._known
        ]
        versions = {self._known[key] for key in found}
        if not entry.version or versions != {version_of(entry)}:
            return False
        self.seen.update(found)
        self._report.unchanged += len(found)
        return True

    def _described(
        self, entry: FileInfo, content: bytes | StorageError
    ) -> Sequence[ArtifactRecord]:
        url = self._storage.url(entry.path)
        if isinstance(content, StorageError):
            self._report.problems.append(f"{url}: {content}")
            return []
        try:
            return records_of_descriptor(content, url, version_of(entry))
        except IntegrityError as error:
            self._report.problems.append(str(error))
            return []


@dataclass(frozen=True)
class PartRead:
    """What one process has read for a registry.

    Attributes:
        records: The artifacts that are new or have changed.
        seen: Keys of all artifacts that are there.
        report: Counts of the others.
    """

    records: list[ArtifactRecord]
    seen: set[int]
    report: RebuildReport


@dataclass(frozen=True)
class ReadingPart:
    """Some folders that one process reads for a registry.

    Attributes:
        url: The folder that they are in.
        options: The options to connect with.
        known: As in `ArtifactReading`.
        only: Their names.
    """

    url: str
    options: StorageOptions | None
    known: Mapping[int, str]
    only: frozenset[str]

    def read(self) -> PartRead:
        """Return what is in the folders.

        Raises:
            StorageError: They cannot be listed.
        """
        report = RebuildReport()
        storage, path = connect(self.url, self.options)
        reading = ArtifactReading(storage, path, self.known, report, self.only)
        return PartRead(list(reading.records()), reading.seen, report)


def lower_priority() -> None:
    """Give this process the priority of those that read for a registry, unless it has a lower one.

    Whatever uses what they read comes first.
    """
    lower = _NICENESS - os.getpriority(os.PRIO_PROCESS, 0)
    if lower > 0:
        os.nice(lower)


def version_of(entry: FileInfo) -> str:
    """Return what identifies the version of a descriptor."""
    return f"{entry.size}-{entry.version}"


def _record(found: Run | Refusal) -> ArtifactRecord:
    return record_of_run(found) if isinstance(found, Run) else record_of_refusal(found)
