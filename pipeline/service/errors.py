"""What can be wrong with a request, each with the HTTP status that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import FlowtimeExportError


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


class ConflictError(ServiceError):
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
