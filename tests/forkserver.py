"""The process that others are forked from: it has imported what they need, which takes seconds."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import signal
import subprocess
import tempfile
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import NoReturn

_PRELOADED = [
    "tests.reliability.killing",
    "tests.reliability.exporters",
    "connectors.storage.s3.storage",
    "numpy.ma",
    "pyarrow.compute",
    "alembic.command",
    "pipeline.registry",
    "pipeline.service.web.command",
    "pipeline.service.web.server",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
]


def fork_server() -> ForkServerContext:
    """Return the context whose processes are forked; there is one server in a process of tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    # Now, as a test's own temporary directory would make the path of a socket too long.
    multiprocessing.util.get_temp_dir()
    return context


class ForkedCommand:
    """A command line in a process of its own, used as a `subprocess.Popen` is.

    Args:
        arguments: Its arguments.
        log: What it writes to stderr is added here.
        environment: Its environment.
    """

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
        given = (arguments, log, environment, Path.cwd())
        self._process = fork_server().Process(target=_run, args=given)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, the negative number of the signal that killed it, or None."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended.

        Raises:
            subprocess.TimeoutExpired: It has not, after this time in seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("flowtime-export", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], log: Path, environment: dict[str, str], folder: Path) -> NoReturn:
    from pipeline.cli.main import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None
    with log.open("ab") as errors, Path(os.devnull).open("r+b") as nothing:
        for descriptor, stream in enumerate((nothing, nothing, errors)):
            os.dup2(stream.fileno(), descriptor)
    main(arguments)
