"""Fill the registry from runs and descriptors alone, and forget what is gone."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from connectors.flowtime.discover.discovery import Refusal, discover_each
from connectors.flowtime.model.run import Run
from connectors.storage import FileInfo, Folder, Storage
from pipeline.errors import IntegrityError, StorageError
from pipeline.registry.database.connection import Database
from pipeline.registry.database.statements import below, parts
from pipeline.registry.database.tables import artifact
from pipeline.registry.models import tidy_models
from pipeline.registry.records.artifact import ArtifactRecord, key_of
from pipeline.registry.records.descriptor_records import (
    DESCRIBED_TYPES,
    is_descriptor,
    keys_of_descriptor,
    records_of_descriptor,
)
from pipeline.registry.records.run_records import record_of_refusal, record_of_run
from pipeline.registry.register import BATCH, MAX_LOCATION, register, register_root, remove

_BATCH_BYTES = 16 * 1024 * 1024
_DESCRIPTORS_AT_ONCE = 64


@dataclass
class RebuildReport:
    """What a rebuild found.

    Attributes:
        urls: Where it looked.
        added: Artifacts that are new or have changed.
        unchanged: Artifacts that were known as they are.
        removed: Artifacts that are not there any more.
        problems: What was not registered, and why.
        seconds: How long it took.
    """

    urls: list[str] = field(default_factory=list)
    added: int = 0
    unchanged: int = 0
    removed: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {
            "urls": self.urls,
            "added": self.added,
            "unchanged": self.unchanged,
            "removed": self.removed,
            "problems": self.problems,
            "seconds": round(self.seconds, 3),
        }


class Rebuild:
    """Registers all runs and exports below one folder.

    Args:
        database: The registry's database.
        report: Gets what is found.
        proceed: Called for each artifact; may raise to stop.
    """

    def __init__(
        self, database: Database, report: RebuildReport, proceed: Callable[[], None]
    ) -> None:
        self._database = database
        self._report = report
        self._proceed = proceed
        self._known: dict[int, str] = {}
        self._seen: set[int] = set()
        self._descriptors: list[FileInfo] = []

    def scan(self, storage: Storage, path: str) -> None:
        """Register what is at or below a folder, and forget what was there and is gone.

        Args:
            storage: Where to look.
            path: The folder.

        Raises:
            StorageError: It cannot be listed; then nothing is forgotten.
            RegistryError: The database failed.
        """
        began = time.monotonic()
        url = storage.url(path)
        self._report.urls.append(url)
        with self._database.reading(None) as connection:
            self._known = _known_below(connection, url)
        with self._database.writing() as connection:
            register_root(connection, url)
        with _Writer(self._database) as writer:
            for record in self._records(storage, path):
                self._proceed()
                self._report.added += 1
                writer.add(record)
        self._forget()
        self._report.seconds += time.monotonic() - began

    def _records(self, storage: Storage, path: str) -> Iterator[ArtifactRecord]:
        known = self._is_known
        for found in discover_each(storage, path, watch=self._note_descriptors, skip=known):
            record = _record(found)
            if len(record.location) > MAX_LOCATION:
                self._report.problems.append(f"{record.location}: its URL is too long")
                continue
            if record.state != "complete" and self._is_as_known(record):
                continue
            self._seen.add(record.key)
            yield record
            yield from self._exports(storage)
        yield from self._exports(storage, all_of_them=True)

    def _note_descriptors(self, folder: Folder) -> None:
        """Note the descriptors in a folder."""
        self._descriptors += [
            entry for entry in folder.files if is_descriptor(entry.path.rpartition("/")[2])
        ]

    def _is_known(self, url: str, listing: str) -> bool:
        key = key_of("run", url)
        if self._known.get(key) != listing:
            return False
        self._seen.add(key)
        self._report.unchanged += 1
        return True

    def _is_as_known(self, record: ArtifactRecord) -> bool:
        """Return whether a folder that cannot be used is known as such, for the same reason."""
        if self._known.get(record.key) != record.listing:
            return False
        self._seen.add(record.key)
        self._report.unchanged += 1
        return True

    def _exports(self, storage: Storage, *, all_of_them: bool = False) -> Iterator[ArtifactRecord]:
        while len(self._descriptors) >= (1 if all_of_them else _DESCRIPTORS_AT_ONCE):
            some = self._descriptors[:_DESCRIPTORS_AT_ONCE]
            del self._descriptors[:_DESCRIPTORS_AT_ONCE]
            unknown = [entry for entry in some if not self._is_known_descriptor(storage, entry)]
            data = storage.read_many([entry.path for entry in unknown])
            for entry, content in zip(unknown, data, strict=True):
                for record in self._described(storage, entry, content):
                    self._seen.add(record.key)
                    yield record

    def _is_known_descriptor(self, storage: Storage, entry: FileInfo) -> bool:
        found = [key for key in keys_of_descriptor(storage.url(entry.path)) if key in self._known]
        versions = {self._known[key] for key in found}
        if not entry.version or versions != {version_of(entry)}:
            return False
        self._seen.update(found)
        self._report.unchanged += len(found)
        return True

    def _described(
        self, storage: Storage, entry: FileInfo, content: bytes | StorageError
    ) -> Sequence[ArtifactRecord]:
        url = storage.url(entry.path)
        if isinstance(content, StorageError):
            self._report.problems.append(f"{url}: {content}")
            return []
        try:
            return records_of_descriptor(content, url, version_of(entry))
        except IntegrityError as error:
            self._report.problems.append(str(error))
            return []

    def _forget(self) -> None:
        gone = sorted(self._known.keys() - self._seen)
        for some in parts(gone, BATCH):
            with self._database.writing() as connection:
                remove(connection, some)
        with self._database.writing() as connection:
            tidy_models(connection)
        self._report.removed += len(gone)


class _Writer:
    """Writes records on a thread of its own: the database works while the next ones are read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batch: list[ArtifactRecord] = []
        self._bytes = 0
        self._waiting: queue.Queue[list[ArtifactRecord] | None] = queue.Queue(1)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="flowtime-registry", daemon=True)

    def __enter__(self) -> _Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None and self._batch:
            self._waiting.put(self._batch)
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._raise_failure()

    def add(self, record: ArtifactRecord) -> None:
        self._batch.append(record)
        self._bytes += len(record.document or b"")
        if len(self._batch) >= BATCH or self._bytes >= _BATCH_BYTES:
            self._raise_failure()
            self._waiting.put(self._batch)
            self._batch = []
            self._bytes = 0

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (batch := self._waiting.get()) is not None:
            if self._failure is not None:
                continue
            try:
                with self._database.writing() as connection:
                    register(connection, batch)
            except BaseException as error:  # raised in the thread that adds
                self._failure = error


def version_of(entry: FileInfo) -> str:
    """Return what identifies the version of a descriptor."""
    return f"{entry.size}-{entry.version}"


def _record(found: Run | Refusal) -> ArtifactRecord:
    return record_of_run(found) if isinstance(found, Run) else record_of_refusal(found)


def _known_below(connection: Connection, url: str) -> dict[int, str]:
    """Return the artifacts at or below a URL, by their keys, each with its listing."""
    columns = artifact.c
    wanted = select(columns.key, columns.listing).where(
        below(columns.location, url), columns.type.in_(_FOUND_TYPES)
    )
    return {row.key: row.listing for row in connection.execute(wanted)}


_FOUND_TYPES: Sequence[str] = ("run", "telemetry", *DESCRIBED_TYPES)
