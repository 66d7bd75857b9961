"""The registry's database: connections, transactions, bounded queries, translated errors.

Readers never wait for writers. Writers come one at a time in both databases, so that what one of
them decides by what it has read (who gets an id, say) still holds when it writes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pipeline.errors import ConfigError, RegistryError, RegistryTimeoutError
from pipeline.registry.database import tables
from pipeline.registry.database.database_url import file_of
from pipeline.registry.database.migrate import HEAD, KNOWN, migrate

WRITE_SECONDS = 30.0
"""How long a writer waits for others, unless it is given another time."""

READ_SECONDS = 1.0
"""How long a query may take, unless it is given another time."""

_CONNECT_SECONDS = 5
_OLDEST_SQLITE = (3, 34)
_POOL = 8
_MOST_CONNECTIONS = 40
_PAGE_BYTES = 8_192
_CACHE_KILOBYTES = 16_000
_STEPS = 20_000
_DEADLINE = "deadline"
_WRITER_LOCK = 0x666C6F7774696D65
_QUERY_CANCELLED = "57014"
_LOCK_NOT_AVAILABLE = "55P03"


class Database:
    """One registry database, brought up to the present schema when it is opened.

    Args:
        url: Where it is, as `parsed_url` returns it.
        write_seconds: How long a writer waits for others.
        fill: Writes what a new database begins with, in the transaction that makes its tables.

    Raises:
        ConfigError: A package is missing.
        RegistryError: The database cannot be opened, or is not one of a registry.
    """

    def __init__(
        self,
        url: URL,
        *,
        write_seconds: float = WRITE_SECONDS,
        fill: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self._url = url
        self.name = self._url.render_as_string(hide_password=True)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._write_seconds = write_seconds
        self._engine = self._connected()
        try:
            self._prepare(fill)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self, seconds: float | None = READ_SECONDS) -> Iterator[Connection]:
        """Give a connection that sees one state of the database.

        Args:
            seconds: How long the queries may take in all; None for any time.

        Raises:
            RegistryTimeoutError: They take longer.
            RegistryError: The database failed.
        """
        with (
            self._translated(),
            self._engine.connect() as connection,
            connection.begin(),
            self._bounded(connection, seconds),
        ):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection that changes the database; what it does is committed at the end.

        Raises:
            RegistryTimeoutError: Other writers do not come to an end.
            RegistryError: The database failed.
        """
        with self._translated(), self._writer() as connection:
            yield connection
            connection.execute(
                update(tables.state)
                .where(tables.state.c.name == "revision")
                .values(value=tables.state.c.value + 1)
            )

    def revision(self, connection: Connection) -> int:
        """Return how often the database was changed."""
        wanted = select(tables.state.c.value).where(tables.state.c.name == "revision")
        return int(connection.execute(wanted).scalar_one())

    def optimise(self) -> None:
        """Have the database look how its values are distributed, after many have changed.

        Raises:
            RegistryError: The database failed.
        """
        with self._translated(), self._engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            if self.is_sqlite:
                connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
                connection.exec_driver_sql("PRAGMA optimize")
            else:
                connection.exec_driver_sql("ANALYZE")

    def close(self) -> None:
        """Close all connections."""
        with suppress(SQLAlchemyError):
            self._engine.dispose()

    def _connected(self) -> Engine:
        if self.is_sqlite:
            return self._connected_to_sqlite()
        try:
            return create_engine(
                self._url,
                pool_size=_POOL,
                max_overflow=_MOST_CONNECTIONS - _POOL,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": _CONNECT_SECONDS,
                    "application_name": "flowtime-export",
                    # A plan for any text reads the whole table to find a rare one.
                    "prepare_threshold": None,
                },
            )
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"a registry in PostgreSQL needs {error.name}: "
                "pip install 'flowtime-export[postgres]'"
            ) from error

    def _connected_to_sqlite(self) -> Engine:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise RegistryError(
                f"the SQLite of this Python is {sqlite3.sqlite_version}, too old to search texts: "
                "take one of 3.34 or later, or a registry in PostgreSQL"
            )
        file = file_of(self._url)
        if file is not None:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise RegistryError(
                    f"registry {self.name}: the folder cannot be made: {error.strerror}"
                ) from error
        engine = create_engine(
            self._url,
            pool_size=_POOL,
            max_overflow=_MOST_CONNECTIONS - _POOL,
            connect_args={"check_same_thread": False, "isolation_level": None},
        )
        wait = int(self._write_seconds * 1000)

        @event.listens_for(engine, "connect")
        def configure(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA busy_timeout = {wait}")
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
            _use_wal(connection, self._write_seconds)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KILOBYTES}")
            connection.execute("PRAGMA temp_store = MEMORY")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            is_writer = connection.get_execution_options().get("is_writer", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")

        return engine

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        """Give a connection that is the only writer until its transaction ends."""
        options = {"is_writer": True}
        with (
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            if not self.is_sqlite:
                wait = int(self._write_seconds * 1000)
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait}")
                lock = text("SELECT pg_advisory_xact_lock(:lock)")
                connection.execute(lock, {"lock": _WRITER_LOCK})
            yield connection

    def _prepare(self, fill: Callable[[Connection], None]) -> None:
        """Bring the schema up to date, and fill a new database."""
        with self._translated():
            with self._engine.connect() as connection:
                if self._version(connection) == HEAD:
                    return
            with self._writer() as connection:
                before = self._version(connection)
                self._refuse_others(connection, before)
                migrate(connection)
                if before is None:
                    fill(connection)

    def _refuse_others(self, connection: Connection, version: str | None) -> None:
        """Check that a database is one of this or an earlier version, or empty."""
        if version is not None and version not in KNOWN:
            raise RegistryError(
                f"registry {self.name}: its schema is {version}, and this version of "
                f"flowtime-export knows those up to {HEAD}: install the version that made it, or "
                "name another database"
            )
        # A server's database may hold what is not of the registry; a file is made for one thing.
        if version is None and self.is_sqlite and (found := inspect(connection).get_table_names()):
            raise RegistryError(
                f"registry {self.name}: the file is a database of something else, with a table "
                f"{found[0]}: name another file"
            )

    def _version(self, connection: Connection) -> str | None:
        if not connection.dialect.has_table(connection, "alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)

    @contextmanager
    def bounded(self, connection: Connection, seconds: float) -> Iterator[None]:
        """Bound some queries of a connection more tightly; others may follow after a timeout.

        Raises:
            RegistryTimeoutError: They take longer.
            RegistryError: The database failed.
        """
        # In PostgreSQL a timeout ends the transaction, unless it is that of a savepoint.
        with (
            self._translated(),
            nullcontext() if self.is_sqlite else connection.begin_nested(),
            self._bounded(connection, seconds),
        ):
            yield

    @contextmanager
    def _bounded(self, connection: Connection, seconds: float | None) -> Iterator[None]:
        if self.is_sqlite:
            with self._interrupted(connection, seconds):
                yield
            return
        milliseconds = 0 if seconds is None else max(1, int(seconds * 1000))
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        yield

    @contextmanager
    def _interrupted(self, connection: Connection, seconds: float | None) -> Iterator[None]:
        """Interrupt the queries of SQLite after a time; the nearest of several ends them."""
        raw: Any = connection.connection.driver_connection
        before = connection.info.get(_DEADLINE)
        until = None if seconds is None else time.monotonic() + seconds
        nearest = min((one for one in (before, until) if one is not None), default=None)
        self._set_deadline(connection, raw, nearest)
        try:
            yield
        finally:
            self._set_deadline(connection, raw, before)

    @staticmethod
    def _set_deadline(connection: Connection, raw: Any, until: float | None) -> None:
        connection.info[_DEADLINE] = until
        if until is None:
            raw.set_progress_handler(None, 0)
        else:
            raw.set_progress_handler(lambda: int(time.monotonic() > until), _STEPS)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            cause = error.orig
            reason = str(cause).strip().partition("\n")[0]
            if _is_timeout(cause):
                raise RegistryTimeoutError(
                    f"registry {self.name} did not answer in time ({reason}): "
                    "ask for less, or try again"
                ) from error
            raise RegistryError(f"registry {self.name}: {reason}: {_hint(cause)}") from error
        except SQLAlchemyError as error:
            raise RegistryError(f"registry {self.name}: {error}") from error


def _use_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Switch to write-ahead logging, once; SQLite itself does not wait for its turn there."""
    until = time.monotonic() + seconds
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _hint(cause: BaseException | None) -> str:
    if type(cause) is sqlite3.DatabaseError:
        return "it is damaged: move it away, and what it holds is found again"
    if isinstance(cause, sqlite3.OperationalError):
        if "full" in str(cause) or "disk I/O" in str(cause):
            return "see whether there is room on its disk"
        if "readonly" in str(cause):
            return "see who may write its file and its folder"
    return "check the URL and the database"


def _is_timeout(cause: BaseException | None) -> bool:
    if isinstance(cause, sqlite3.OperationalError):
        return "interrupted" in str(cause) or "locked" in str(cause)
    return getattr(cause, "sqlstate", None) in (_QUERY_CANCELLED, _LOCK_NOT_AVAILABLE)
