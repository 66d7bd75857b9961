"""The history of jobs in SQLite, which outlives the process."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, StorageError
from pipeline.service.jobs.job import Job, JobState

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
"""
_VERSION = 2


@dataclass(frozen=True)
class Delivery:
    """A message that a webhook has not taken yet.

    Attributes:
        id: Its id, the same at every attempt.
        url: Where it goes.
        body: Its text.
    """

    id: str
    url: str
    body: str


class JobStore:
    """Jobs and undelivered messages; one process at a time has a store open.

    Args:
        folder: The folder of the state; made where it is missing.
        keep: Finished jobs that are kept.

    Raises:
        ConfigError: Another service uses the folder, or it cannot be used.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._keep = keep
        self._mutex = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another service uses {folder}: stop it, or choose another --state"
            ) from None
        except OSError as error:
            raise ConfigError(f"--state {folder} cannot be used: {error.strerror}") from error
        try:
            self._database = sqlite3.connect(
                folder / "jobs.sqlite", check_same_thread=False, isolation_level=None
            )
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._migrate(folder)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise ConfigError(f"{folder / 'jobs.sqlite'} cannot be used: {error}") from error

    def close(self) -> None:
        """Give the folder free."""
        self._database.close()
        os.close(self._lock)

    def add(self, job: Job) -> None:
        """Keep a new job, and let go of the oldest that are over."""
        with self._changing() as database:
            database.execute(
                "INSERT INTO jobs (id, run, state, data) VALUES (?, ?, ?, ?)",
                (job.id, job.request.run, job.state, job.model_dump_json()),
            )
            database.execute(
                "DELETE FROM jobs WHERE state NOT IN ('queued', 'running') AND number <= "
                "(SELECT MAX(number) FROM jobs) - ?",
                (self._keep,),
            )

    def update(self, job: Job) -> None:
        """Keep a job's new state."""
        with self._changing() as database:
            database.execute(
                "UPDATE jobs SET run = ?, state = ?, data = ? WHERE id = ?",
                (job.request.run, job.state, job.model_dump_json(), job.id),
            )

    def get(self, job_id: str) -> Job | None:
        """A job, or None where there is none."""
        with self._changing() as database:
            row = database.execute("SELECT data FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else Job.model_validate_json(row[0])

    def unfinished(self) -> list[Job]:
        """Jobs that wait or run, oldest first."""
        with self._changing() as database:
            rows = database.execute(
                "SELECT data FROM jobs WHERE state IN ('queued', 'running') ORDER BY number"
            ).fetchall()
        return [Job.model_validate_json(row[0]) for row in rows]

    def page(
        self, start: int, count: int, *, run: str | None = None, states: Sequence[JobState] = ()
    ) -> tuple[list[Job], int]:
        """Jobs, newest first, and how many there are in all.

        Args:
            start: Jobs to pass over.
            count: Jobs to give at the most.
            run: Only jobs of this run.
            states: Only jobs in one of these states.
        """
        marks = ", ".join("?" * len(states))
        conditions = [*(["run = ?"] if run else []), *([f"state IN ({marks})"] if states else [])]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        values: list[str | int] = [*([run] if run else []), *states]
        with self._changing() as database:
            # Conditions are made of this function's own text; values are bound.
            total = database.execute(f"SELECT COUNT(*) FROM jobs {where}", values).fetchone()[0]  # noqa: S608
            rows = database.execute(
                f"SELECT data FROM jobs {where} ORDER BY number DESC LIMIT ? OFFSET ?",  # noqa: S608
                [*values, count, start],
            ).fetchall()
        return [Job.model_validate_json(row[0]) for row in rows], int(total)

    def owe(self, delivery: Delivery) -> None:
        """Keep a message until it is delivered."""
        with self._changing() as database:
            database.execute(
                "INSERT OR REPLACE INTO deliveries VALUES (?, ?, ?)",
                (delivery.id, delivery.url, delivery.body),
            )

    def settle(self, delivery: Delivery) -> None:
        """Forget a message that was delivered or given up."""
        with self._changing() as database:
            database.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))

    def owed(self) -> list[Delivery]:
        """Messages that are not delivered yet."""
        with self._changing() as database:
            rows = database.execute("SELECT id, url, body FROM deliveries").fetchall()
        return [Delivery(*row) for row in rows]

    def _migrate(self, folder: Path) -> None:
        found = self._database.execute("PRAGMA user_version").fetchone()[0]
        if found > _VERSION:
            raise ConfigError(f"{folder} was written by a newer version: choose another --state")
        self._database.executescript(_SCHEMA)
        self._database.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise StorageError(f"the job history cannot be used: {error}") from error
