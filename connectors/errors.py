"""The root of the error tree.

    FlowtimeExportError
    ├── ConfigError        what was asked for is wrong
    ├── RunError           a run directory is not as a run should be
    │   ├── RunExistsError another exists where it is to be written
    │   └── IncomparableError  two have nothing to compare          (pipeline.errors)
    ├── StorageError       a store refused, failed or did not answer
    │   ├── NotFoundError  nothing is stored there
    │   ├── DeniedError    it may not be read, listed or written
    │   ├── ChangedError   it changed while it was being read
    │   └── ConflictError  another writer is at work there, or was
    ├── IntegrityError     bytes are not those that were promised
    │   ├── NotAnExportError  no export of this project         (pipeline.errors)
    │   └── DamagedDescriptorError  to be replaced by a full refresh  (pipeline.errors)
    └── SinkError          an output could not be written           (pipeline.errors)
        └── PublishConflictError  the target is there already, or another exporter's

Every message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class FlowtimeExportError(Exception):
    """Base of every error this project raises on purpose.

    A message may quote untrusted file names and texts: what could steer a terminal, turn its
    text around or begin a line of a log is escaped.
    """

    _spans_lines: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(message, lines=self._spans_lines))


def printable(text: str, *, lines: bool = False) -> str:
    r"""Return the text with everything escaped that is not printable.

    Args:
        text: Any text.
        lines: Leave line ends as they are.

    >>> print(printable("a\x1b[2Jb\nc\u202ed"))
    a\x1b[2Jb\nc\u202ed
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c == "\n") else ascii(c)[1:-1] for c in text)


class ConfigError(FlowtimeExportError):
    """What was asked for is wrong: a config, an option or an argument; a line for each problem."""

    _spans_lines = True


class StorageError(FlowtimeExportError):
    """A store refused, failed or did not answer in time.

    Args:
        message: What happened and what to do.
        url: The URL concerned, free of credentials.
    """

    def __init__(self, message: str, *, url: str = "") -> None:
        super().__init__(message)
        self.url = url


class NotFoundError(StorageError):
    """Nothing is stored at the URL."""


class DeniedError(StorageError):
    """The store does not permit what was tried at the URL."""


class ChangedError(StorageError):
    """What is stored at the URL changed while it was being read."""


class ConflictError(StorageError):
    """Another writer is at work at the URL, or has been since it was looked at."""


class RunError(FlowtimeExportError):
    """A run directory is not as a run should be.

    Args:
        message: What is wrong and what to do.
        run_url: The run directory.
        series: The series id, when one series is at fault.
        file: The file below the run directory, when one file is at fault.
        line: The line in that file, counted from 1.
    """

    def __init__(
        self,
        message: str,
        *,
        run_url: str = "",
        series: str | None = None,
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        self.reason = printable(message)
        self.run_url = run_url
        self.series = series
        self.file = file
        self.line = line
        super().__init__(f"run {run_url}: {self.detail}" if run_url else self.detail)

    @property
    def detail(self) -> str:
        """The message with series, file and line, but without the run."""
        where = [] if self.series is None else [f"series {self.series}"]
        if self.file is not None:
            line = "" if self.line is None else f" line {self.line}"
            where.append(f"file {self.file}{line}")
        return f"{', '.join(where)}: {self.reason}" if where else self.reason


class RunExistsError(RunError):
    """Files exist already where a run directory is to be written."""


class IntegrityError(RunError):
    """Bytes are not those that a manifest, an index or a descriptor promised."""
