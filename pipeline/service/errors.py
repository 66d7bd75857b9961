"""Define the errors of requests, and the problem documents that report them.

A problem document (RFC 9457) has `type`, `title`, `status`, `detail` and `code`, and FlowTime's own
`error` and `hint` beside them. Codes are stable: programs branch on them, never on texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from pipeline.errors import (
    ConfigError,
    FlowtimeExportError,
    IncomparableError,
    RegistryError,
    RegistryTimeoutError,
    RunError,
    RunExistsError,
    SinkError,
    StorageError,
    UnknownArtifactError,
)

PROBLEM_MEDIA_TYPE = "application/problem+json"

CODES: Mapping[str, str] = {
    "artifact-not-found": "There is no such artifact",
    "ambiguous-run": "Several runs have this name",
    "body-too-large": "The request's body is too large",
    "body-too-slow": "The request's body did not arrive in time",
    "busy": "The service cannot do this now",
    "cancelled": "The job was cancelled",
    "conflict": "The request does not fit the current state",
    "export-in-use": "A job is writing this export",
    "export-not-found": "There is no such export",
    "forbidden": "The request comes from a host or origin that is not allowed",
    "import-rejected": "The files cannot become runs",
    "internal": "The service failed",
    "interrupted": "The service ended while the job ran",
    "invalid-options": "The options do not fit the run",
    "invalid-request": "The request is malformed",
    "invalid-value": "A value is malformed or out of range",
    "job-finished": "The job is finished already",
    "job-not-found": "There is no such job",
    "method-not-allowed": "The path does not support this method",
    "not-found": "There is nothing at this path",
    "range-not-satisfiable": "The file ends before the requested range",
    "registry-failed": "The registry's database failed",
    "not-comparable": "The two have nothing in common that can be compared",
    "run-damaged": "The run's files do not hold what the run promises",
    "run-exists": "A run of this name exists already",
    "run-not-complete": "The run cannot be exported in its current state",
    "run-not-found": "There is no such run",
    "series-not-found": "There is no such series",
    "store-failed": "The storage failed",
    "timed-out": "The job exceeded its time limit",
    "too-many-requests": "The client has sent too many requests",
    "unauthorized": "A valid token is required",
    "unsupported-format": "There is no such export format",
    "unsupported-media-type": "The body has another content type than expected",
    "uploads-disabled": "The service takes no uploads",
    "webhook-not-allowed": "The service may not call this webhook",
    "worker-failed": "The worker process died",
}
"""Title of each code."""


def problem(status: int, code: str, error: str, hint: str = "", **more: Any) -> dict[str, Any]:
    """Return a problem document.

    Args:
        status: HTTP status.
        code: Stable code of the kind of problem.
        error: What was wrong.
        hint: What to do about it.
        more: Further members.
    """
    return {
        "type": f"urn:flowtime-export:problem:{code}",
        "title": CODES.get(code, HTTPStatus(status).phrase),
        "status": status,
        "detail": error,
        "code": code,
        "error": error,
        "hint": hint,
        **more,
    }


class ServiceError(FlowtimeExportError):
    """A request that fails.

    Args:
        message: What was wrong.
        hint: What to do about it.
        code: Stable code of the kind of problem; by default that of the class.
        headers: Further headers of the response.
    """

    status = 400
    default_code: ClassVar[str] = "invalid-request"
    _spans_lines = True  # a config's problems come line by line

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code or self.default_code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the problem document."""
        return problem(self.status, self.code, str(self), self.hint)


class BadRequestError(ServiceError):
    """The request names something that does not exist, or is malformed."""


class UnauthorizedError(ServiceError):
    """The token is missing or not valid."""

    status = 401
    default_code = "unauthorized"


class ForbiddenError(ServiceError):
    """The request comes from a host or origin that is not allowed."""

    status = 403
    default_code = "forbidden"


class UnknownError(ServiceError):
    """The path names a run, series, job or export that does not exist."""

    status = 404
    default_code = "not-found"


class RequestConflictError(ServiceError):
    """The request does not fit the current state of what it names."""

    status = 409
    default_code = "conflict"


class SlowError(ServiceError):
    """The request's body did not arrive in time."""

    status = 408
    default_code = "body-too-slow"


class TooLargeError(ServiceError):
    """The request's body is larger than the limit."""

    status = 413
    default_code = "body-too-large"


class MediaTypeError(ServiceError):
    """The request's body has another content type than expected."""

    status = 415
    default_code = "unsupported-media-type"


class BeyondTheEndError(ServiceError):
    """The file ends before the requested range."""

    status = 416
    default_code = "range-not-satisfiable"


class UnprocessableError(ServiceError):
    """The request is well-formed, but the run or a value in it does not allow the work."""

    status = 422
    default_code = "invalid-value"


class DamagedRunError(UnprocessableError):
    """The files of a run do not hold what the run promises.

    Args:
        message: What is wrong.
    """

    default_code = "run-damaged"

    def __init__(self, message: str) -> None:
        super().__init__(message, _REPAIR)


class TooManyError(ServiceError):
    """The client has sent too many requests."""

    status = 429
    default_code = "too-many-requests"


class BusyError(ServiceError):
    """The queue is full, a limit is reached, or the runs have not been listed yet."""

    status = 503
    default_code = "busy"


_REPAIR = "repair the run's files, or evaluate its model again"
_FIT = "name renamed components in `renamed`, or choose another `alignment`"
_STORE = "check the storage, then send the request again"
_KINDS: tuple[tuple[type[FlowtimeExportError], int, str, str], ...] = (
    (ConfigError, 400, "invalid-options", "GET /docs describes the options"),
    (
        RunExistsError,
        409,
        "run-exists",
        "send ifExists=replace to replace it, or ifExists=skip to keep it",
    ),
    (IncomparableError, 422, "not-comparable", _FIT),
    (RunError, 422, "run-damaged", _REPAIR),
    (UnknownArtifactError, 404, "artifact-not-found", "GET /v1/artifacts lists the artifacts"),
    (RegistryTimeoutError, 503, "busy", "ask for less, or send the request again"),
    (RegistryError, 502, "registry-failed", "check the registry's database"),
    (StorageError, 502, "store-failed", _STORE),
    (SinkError, 502, "store-failed", _STORE),
)
INTERNAL = (500, "internal", "check the service's log")
"""Status, code and hint of faults of the service itself."""


def classify(error: FlowtimeExportError) -> tuple[int, str, str]:
    """Return the status, the code and the hint of an error.

    >>> classify(RunExistsError("run_a exists"))[:2]
    (409, 'run-exists')
    """
    if isinstance(error, ServiceError):
        return error.status, error.code, error.hint
    for kind, status, code, hint in _KINDS:
        if isinstance(error, kind):
            return status, code, hint
    return INTERNAL


def failure(error: FlowtimeExportError) -> dict[str, Any]:
    """Return an error as plain data, with the fields of a job's error."""
    status, code, hint = classify(error)
    return {
        "type": type(error).__name__,
        "error": str(error),
        "status": status,
        "code": code,
        "hint": hint,
    }
