"""Keep jobs, undelivered webhooks and settings in SQLite, which outlives the process."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import ConfigError, StorageError
from pipeline.logs import LOGGER
from pipeline.service.jobs.job import Job, JobKind, JobState

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    run TEXT NOT NULL,
    state TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state);
CREATE INDEX IF NOT EXISTS jobs_by_run ON jobs (run);
CREATE TABLE IF NOT EXISTS deliveries (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS completed_runs (
    path TEXT PRIMARY KEY,
    version TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS damaged_runs (
    path TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS custom_exports (
    path TEXT NOT NULL,
    variant TEXT NOT NULL,
    folder TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    exported TEXT NOT NULL,
    PRIMARY KEY (path, variant)
);
"""
_VERSION = 3
_BUSY_SECONDS = 0.2
"""How long to wait for another program that holds the database; requests wait as long.

Other services never do: the folder is locked.
"""
_LEAST_FREE_BYTES = 8 * 1024 * 1024
_KIND = "json_extract(data, '$.request.kind')"
_SUBJECT = "lower(run || ' ' || coalesce(json_extract(data, '$.request.files'), ''))"


@dataclass(frozen=True)
class Delivery:
    """A message that a webhook has not accepted yet.

    Attributes:
        id: Its id, the same at every attempt.
        url: Where it goes.
        body: Its text.
    """

    id: str
    url: str
    body: str


@dataclass(frozen=True)
class JobQuery:
    """Which jobs a page of the history shows.

    Attributes:
        run: Only jobs of this run.
        states: Only jobs in one of these states.
        kind: Only exports, or only imports.
        search: Only jobs whose run or files contain each of these words.
    """

    run: str | None = None
    states: Sequence[JobState] = ()
    kind: JobKind | None = None
    search: str = ""

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition as SQL and the values that are bound in it."""
        words = self.search.casefold().split()
        terms: list[tuple[str, list[Any]]] = []
        if self.run:
            terms.append(("run = ?", [self.run]))
        if self.states:
            terms.append((f"state IN ({', '.join('?' * len(self.states))})", [*self.states]))
        if self.kind:
            terms.append((f"{_KIND} = ?", [self.kind]))
        terms += [(f"instr({_SUBJECT}, ?) > 0", [word]) for word in words]
        text = " AND ".join(term for term, _ in terms)
        return (f"WHERE {text}" if text else ""), [one for _, values in terms for one in values]


@dataclass(frozen=True)
class CustomExport:
    """An export with options, as it counts towards the limits on such exports.

    Attributes:
        path: The run directory, relative to the folder of the runs.
        variant: Name of its folder.
        folder: The folder, as its storage names it.
        bytes: Size of its files.
        exported: When it was written, UTC.
    """

    path: str
    variant: str
    folder: str
    bytes: int
    exported: datetime


class JobStore:
    """Jobs and what else outlives the process; one process at a time has a store open.

    Args:
        folder: The folder of the state; made where it is missing.
        keep: Number of finished jobs that are kept.

    Raises:
        ConfigError: Another service uses the folder, or it cannot be used.

    Attributes:
        problem: Why the store could not be written when it was last tried; None if it could.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep
        self._mutex = threading.Lock()
        self.problem: str | None = None
        self._lock = _locked(folder)
        path = folder / "jobs.sqlite"
        try:
            self._database = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._prepare(folder)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise ConfigError(
                f"the job history {path} cannot be used ({error}): restore the file, move it away "
                "to begin a new history, or choose another --state"
            ) from error
        except ConfigError:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the database and release the folder."""
        self._database.close()
        os.close(self._lock)

    # ----------------------------------------------------------------- jobs

    def add(self, job: Job) -> None:
        """Store a new job, and remove the oldest finished ones beyond the limit."""
        with self._changing() as database:
            database.execute(
                "INSERT INTO jobs (id, run, state, data) VALUES (?, ?, ?, ?)",
                (job.id, job.request.subject, job.state, job.model_dump_json()),
            )
            database.execute(
                "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND number <= "
                "(SELECT MAX(number) FROM jobs) - ?",
                (self._keep,),
            )

    def update(self, job: Job) -> None:
        """Store the new state of a job."""
        with self._changing() as database:
            database.execute(
                "UPDATE jobs SET run = ?, state = ?, data = ? WHERE id = ?",
                (job.request.subject, job.state, job.model_dump_json(), job.id),
            )

    def get(self, job_id: str) -> Job | None:
        """Return a job, or None if there is none."""
        with self._reading() as database:
            rows = database.execute("SELECT data FROM jobs WHERE id = ?", (job_id,)).fetchall()
        return next(iter(_readable(rows)), None)

    def unfinished(self) -> list[Job]:
        """Return the jobs that wait or run, oldest first."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT data FROM jobs WHERE state IN ('queued', 'running') ORDER BY number"
            ).fetchall()
        return _readable(rows)

    def page(self, start: int, count: int, query: JobQuery) -> tuple[list[Job], int]:
        """Return jobs, newest first, and the number of all that match.

        Args:
            start: Number of jobs to skip.
            count: Number of jobs to return at the most.
            query: Which jobs match.
        """
        where, values = query.where()
        with self._reading() as database:
            # Conditions are made of this module's own text; values are bound.
            total = database.execute(f"SELECT COUNT(*) FROM jobs {where}", values).fetchone()[0]  # noqa: S608
            rows = database.execute(
                f"SELECT data FROM jobs {where} ORDER BY number DESC LIMIT ? OFFSET ?",  # noqa: S608
                [*values, count, start],
            ).fetchall()
        return _readable(rows), int(total)

    # ----------------------------------------------------------------- webhooks

    def owe(self, delivery: Delivery) -> None:
        """Store a message until it is delivered."""
        with self._changing() as database:
            database.execute(
                "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?)",
                (delivery.id, delivery.url, delivery.body),
            )

    def settle(self, delivery: Delivery) -> None:
        """Remove a message that was delivered or given up."""
        with self._changing() as database:
            database.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))

    def owed(self) -> list[Delivery]:
        """Return the messages that are not delivered yet."""
        with self._reading() as database:
            rows = database.execute("SELECT id, url, body FROM deliveries").fetchall()
        return [Delivery(*row) for row in rows]

    # ----------------------------------------------------------------- settings and runs

    def setting(self, name: str) -> Any:
        """Return a stored setting, or None."""
        with self._reading() as database:
            row = database.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def change_setting(self, name: str, value: Any) -> None:
        """Store a setting."""
        with self._changing() as database:
            database.execute(
                "INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value))
            )

    def completed_runs(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the versions of those run directories whose completion was handled.

        Args:
            paths: The directories, relative to the folder of the runs.

        Returns:
            The version in which each was handled, by its path.
        """
        with self._reading() as database:
            found = database.execute(
                "SELECT path, version FROM completed_runs "
                "WHERE path IN (SELECT value FROM json_each(?))",
                (json.dumps([*paths]),),
            )
            return dict(found.fetchall())

    def note_completed(self, versions: Mapping[str, str]) -> None:
        """Store that the completion of run directories was handled."""
        with self._changing() as database:
            database.execute("BEGIN")
            database.executemany(
                "INSERT OR REPLACE INTO completed_runs VALUES (?, ?)", versions.items()
            )
            database.execute("COMMIT")

    def damaged_runs(self) -> dict[str, tuple[str, str]]:
        """Return the version and the reason of each run found damaged by a job, by its path."""
        with self._reading() as database:
            rows = database.execute("SELECT path, version, reason FROM damaged_runs").fetchall()
        return {path: (version, reason) for path, version, reason in rows}

    def note_damage(self, path: str, version: str, reason: str | None) -> None:
        """Store why a run is damaged, or that it is not."""
        with self._changing() as database:
            if reason is None:
                database.execute("DELETE FROM damaged_runs WHERE path = ?", (path,))
            else:
                database.execute(
                    "INSERT OR REPLACE INTO damaged_runs VALUES (?, ?, ?)", (path, version, reason)
                )

    # ----------------------------------------------------------------- exports with options

    def custom_exports(self) -> list[CustomExport]:
        """Return the exports with options, oldest first."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT path, variant, folder, bytes, exported FROM custom_exports "
                "ORDER BY exported"
            ).fetchall()
        return [
            CustomExport(path, variant, folder, size, datetime.fromisoformat(exported))
            for path, variant, folder, size, exported in rows
        ]

    def note_custom_export(self, export: CustomExport) -> None:
        """Store that an export with options was written."""
        with self._changing() as database:
            database.execute(
                "INSERT OR REPLACE INTO custom_exports VALUES (?, ?, ?, ?, ?)",
                (
                    export.path,
                    export.variant,
                    export.folder,
                    export.bytes,
                    export.exported.isoformat(),
                ),
            )

    def forget_custom_export(self, path: str, variant: str) -> None:
        """Store that an export with options was deleted."""
        with self._changing() as database:
            database.execute(
                "DELETE FROM custom_exports WHERE path = ? AND variant = ?", (path, variant)
            )

    # ----------------------------------------------------------------- health

    def check(self) -> None:
        """Set `problem` to what keeps the store from being written, or to None."""
        try:
            free = shutil.disk_usage(self._folder).free
            self.change_setting("checked", datetime.now(UTC).isoformat())
        except OSError as error:
            self.problem = f"its folder cannot be used: {error.strerror}"
        except StorageError:
            return  # `problem` says it
        else:
            if free < _LEAST_FREE_BYTES:
                self.problem = f"its disk has {free:,} bytes left"

    def _prepare(self, folder: Path) -> None:
        (found,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found.splitlines()[0].strip("* "))
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise ConfigError(f"{folder} was written by a newer version: choose another --state")
        self._database.executescript(_SCHEMA)
        self._database.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise StorageError(f"the job history cannot be read: {error}") from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                yield self._database
            except sqlite3.Error as error:
                if self._database.in_transaction:
                    self._database.rollback()
                self.problem = str(error)
                raise StorageError(f"the job history cannot be written: {error}") from error
            self.problem = None


def _locked(folder: Path) -> int:
    """Return the descriptor of the lock on a state's folder."""
    lock = -1
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConfigError(
            f"another service uses --state {folder}: stop it, or choose another --state"
        ) from None
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        raise ConfigError(
            f"--state {folder} cannot be used ({error.strerror}): choose another folder"
        ) from error
    return lock


def _readable(rows: Iterable[tuple[str]]) -> list[Job]:
    """Return the jobs of rows; one that this version cannot read is logged and left out."""
    jobs = []
    for (text,) in rows:
        try:
            jobs.append(Job.model_validate_json(text))
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:3])
            LOGGER.warning("a job of the history cannot be read and is left out: %s", fields)
    return jobs
