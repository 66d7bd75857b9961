"""Fill the registry from runs and descriptors alone, and forget what is gone."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Connection, select

from connectors.flowtime.discover.folder_parts import folders_to_divide, in_parts
from connectors.storage import Storage, StorageOptions
from pipeline.registry.artifact_reading import ArtifactReading, PartRead, ReadingPart
from pipeline.registry.database.connection import Database
from pipeline.registry.database.statements import below, parts
from pipeline.registry.database.tables import artifact
from pipeline.registry.models import tidy_models
from pipeline.registry.rebuild_report import RebuildReport
from pipeline.registry.records.artifact import ArtifactRecord
from pipeline.registry.records.descriptor_records import DESCRIBED_TYPES
from pipeline.registry.register import BATCH, register, register_root, remove

FEWEST_FOLDERS = 2_000
"""Fewer folders are read sooner by one process."""

_FOLDERS_AT_ONCE = 256
_FIRST_BATCH = 500
"""A small one, so that the database begins to work early."""

_LATER_BATCHES = 2 * BATCH
"""Twice as many as elsewhere write three quarters of the pages."""

_BATCH_BYTES = 16 * 1024 * 1024

ReadElsewhere = Callable[[Sequence[ReadingPart]], Iterator[PartRead]]
"""Reads parts in other processes, and yields what each of them gives, in their order."""


class Rebuild:
    """Registers all runs and exports below one folder.

    Args:
        database: The registry's database.
        report: Gets what is found.
        proceed: Called for each artifact; may raise to stop.
        elsewhere: Reads parts of a folder in other processes; None to read all of it here.
    """

    def __init__(
        self,
        database: Database,
        report: RebuildReport,
        proceed: Callable[[], None],
        elsewhere: ReadElsewhere | None = None,
    ) -> None:
        self._database = database
        self._report = report
        self._proceed = proceed
        self._elsewhere = elsewhere
        self._known: dict[int, str] = {}
        self._seen: set[int] = set()

    def scan(self, storage: Storage, path: str, options: StorageOptions | None = None) -> None:
        """Register what is at or below a folder, and forget what was there and is gone.

        Args:
            storage: Where to look.
            path: The folder.
            options: What other processes connect to the storage with.

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
        with _Writer(self._database, self._report) as writer:
            for record in self._records(storage, path, options):
                self._proceed()
                self._report.added += 1
                writer.add(record)
        self._forget()
        self._report.seconds += time.monotonic() - began

    def _records(
        self, storage: Storage, path: str, options: StorageOptions | None
    ) -> Iterator[ArtifactRecord]:
        names = self._divided(storage, path)
        if names is None or self._elsewhere is None:
            reading = ArtifactReading(storage, path, self._known, self._report)
            yield from reading.records()
            self._seen |= reading.seen
            return
        url = storage.url(path)
        for part in self._elsewhere(
            [ReadingPart(url, options, self._known, only) for only in names]
        ):
            yield from part.records
            self._seen |= part.seen
            self._report.add(part.report)

    def _divided(self, storage: Storage, path: str) -> list[frozenset[str]] | None:
        """Return the folders that each process reads; None where this one does it sooner."""
        if self._elsewhere is None:
            return None
        names = folders_to_divide(storage, path, FEWEST_FOLDERS)
        # What is known is not read, and listings alone are quick.
        if names is None or len(self._known) * 2 > len(names):
            return None
        return in_parts(names, _FOLDERS_AT_ONCE)

    def _forget(self) -> None:
        gone = sorted(self._known.keys() - self._seen)
        for some in parts(gone, BATCH):
            with self._database.writing() as connection:
                remove(connection, some)
        with self._database.writing() as connection:
            self._report.models_removed += tidy_models(connection)
        self._report.removed += len(gone)


class _Writer:
    """Writes records on a thread of its own: the database works while the next ones are read."""

    def __init__(self, database: Database, report: RebuildReport) -> None:
        self._database = database
        self._report = report
        self._batch: list[ArtifactRecord] = []
        self._bytes = 0
        self._most = _FIRST_BATCH
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
        if len(self._batch) >= self._most or self._bytes >= _BATCH_BYTES:
            self._raise_failure()
            self._waiting.put(self._batch)
            self._batch = []
            self._bytes = 0
            self._most = _LATER_BATCHES

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (batch := self._waiting.get()) is not None:
            if self._failure is not None:
                continue
            try:
                with self._database.writing() as connection:
                    new_models = register(connection, batch)
                self._report.models_added += new_models
            except BaseException as error:  # raised in the thread that adds
                self._failure = error


def _known_below(connection: Connection, url: str) -> dict[int, str]:
    """Return the artifacts at or below a URL, by their keys, each with its listing."""
    columns = artifact.c
    wanted = select(columns.key, columns.listing).where(
        below(columns.location, url), columns.type.in_(_FOUND_TYPES)
    )
    return {row.key: row.listing for row in connection.execute(wanted)}


_FOUND_TYPES: Sequence[str] = ("run", "telemetry", *DESCRIBED_TYPES)
