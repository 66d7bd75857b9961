"""A PostgreSQL server of its own on this machine, as long as a test session lasts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from tests.servers import free_port, wait_until_open

_numbers = count(1)


@cache
def _programs() -> Path | None:
    """The folder of initdb and postgres, wherever the distribution has put it."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/pgsql").glob("*/bin")]
    found = shutil.which("initdb")
    places += [Path(found).parent] if found else []
    usable = [place for place in places if (place / "initdb").exists()]
    return max(usable) if usable else None


class PostgresServer:
    """A running server, and the program that ends it."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def new_database(self) -> str:
        """URL of a fresh, empty database."""
        import psycopg

        name = f"registry_{os.getpid()}_{next(_numbers)}"
        where = f"host=127.0.0.1 port={self.port} user=postgres password=secret dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://postgres:secret@127.0.0.1:{self.port}/{name}"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server; the test is skipped where there is none to start."""
    programs = _programs()
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if programs is None:
        pytest.skip("PostgreSQL is not installed here: apt-get install postgresql")
    # Not below pytest's own folder, which the server's user cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="flowtime-postgres-"))
    # The server refuses to run as root.
    user = {"user": "postgres"} if os.getuid() == 0 else {}
    try:
        if user:
            shutil.chown(folder, "postgres")
        secret = folder / "secret"
        secret.write_text("secret\n")
        if user:
            shutil.chown(secret, "postgres")
        data = folder / "data"
        subprocess.run(
            [
                *(programs / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256"),
                *(f"--pwfile={secret}", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **user,
        )
        port = free_port()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(programs / "postgres", "-D", data, "-p", str(port), "-k", folder),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
                    *("-c", "max_connections=200"),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
                **user,
            )
        try:
            wait_until_open(port, process)
            _wait_until_ready(port)
            yield PostgresServer(port, process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(port: int) -> None:
    import time

    import psycopg

    where = f"host=127.0.0.1 port={port} user=postgres password=secret dbname=postgres"
    until = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(where, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
