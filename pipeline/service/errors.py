"""What can be wrong with a request, each with the HTTP status that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import (
    ConfigError,
    FlowtimeExportError,
    RunError,
    RunExistsError,
    SinkError,
    StorageError,
)


class ServiceError(FlowtimeExportError):
    """A request that cannot be answered as it was asked.

    Args:
        message: What was wrong.
        hint: What to do about it.
        headers: Further headers of the answer.
    """

    status = 400
    _spans_lines = True  # a config's problems come line by line

    def __init__(
        self, message: str, hint: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """What the answer says."""
        return {"error": str(self), "hint": self.hint}


class BadRequestError(ServiceError):
    """The request asks for something that there is not."""


class UnauthorizedError(ServiceError):
    """No token, or one that is not known."""

    status = 401


class ForbiddenError(ServiceError):
    """The request comes from where none should come from."""

    status = 403


class UnknownError(ServiceError):
    """There is no such run, series, job or export."""

    status = 404


class RequestConflictError(ServiceError):
    """The request does not fit the state of what it names."""

    status = 409


class SlowError(ServiceError):
    """The request's body does not come."""

    status = 408


class TooLargeError(ServiceError):
    """The request's body is larger than is read."""

    status = 413


class BeyondTheEndError(ServiceError):
    """The file ends before the range that is asked for."""

    status = 416


class UnprocessableError(ServiceError):
    """A run that is broken, or a body that is not as it should be."""

    status = 422


class TooManyError(ServiceError):
    """More requests than a client may make."""

    status = 429


class BusyError(ServiceError):
    """Not now: the queue is full, or the runs have not been listed yet."""

    status = 503


_TOLD: tuple[tuple[type[FlowtimeExportError], int, str], ...] = (
    (ConfigError, 400, "GET /docs describes the options"),
    (RunExistsError, 409, "ifExists=replace replaces it, ifExists=skip keeps it"),
    (RunError, 422, "mend the run, or evaluate its model again"),
    (StorageError, 502, "look at the store, then do it again"),
    (SinkError, 502, "look at the store, then do it again"),
)
OURS = (500, "look at the service's log")
"""Status and advice for what nobody but the service can be blamed for."""


def told(error: FlowtimeExportError) -> tuple[int, str]:
    """The status and the advice for an error.

    >>> told(RunExistsError("a run stands there"))
    (409, 'ifExists=replace replaces it, ifExists=skip keeps it')
    """
    if isinstance(error, ServiceError):
        return error.status, error.hint
    found = ((status, hint) for kind, status, hint in _TOLD if isinstance(error, kind))
    return next(found, OURS)


def failure(error: FlowtimeExportError) -> dict[str, Any]:
    """An error as plain data, with the fields of a job's error."""
    status, hint = told(error)
    return {"type": type(error).__name__, "error": str(error), "status": status, "hint": hint}
