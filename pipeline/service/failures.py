"""How errors are told to clients: by a status, and by what to do about it."""

from __future__ import annotations

from typing import Any

from pipeline.errors import (
    ConfigError,
    FlowtimeExportError,
    RunError,
    RunExistsError,
    SinkError,
    StorageError,
)
from pipeline.service.errors import ServiceError

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
