"""Errors of the pipeline, below the root in `connectors.errors`."""

from __future__ import annotations

from connectors.errors import (
    ConfigError,
    FlowtimeExportError,
    IntegrityError,
    NotFoundError,
    RunError,
    RunExistsError,
    StorageError,
)

__all__ = [
    "ConfigError",
    "DamagedDescriptorError",
    "FlowtimeExportError",
    "IncomparableError",
    "IntegrityError",
    "NotAnExportError",
    "NotFoundError",
    "PublishConflictError",
    "RegistryError",
    "RegistryTimeoutError",
    "RunError",
    "RunExistsError",
    "SinkError",
    "StorageError",
    "UnknownArtifactError",
]


class IncomparableError(RunError):
    """Two runs have no series, units or bins in common that could be compared."""


class NotAnExportError(IntegrityError):
    """A file or folder is no export of this project, or does not say so any more."""


class DamagedDescriptorError(IntegrityError):
    """A descriptor is no whole descriptor any more; a full refresh replaces it."""


class SinkError(FlowtimeExportError):
    """An output could not be written."""


class PublishConflictError(SinkError):
    """The target exists and may not be replaced, or another exporter published it."""


class RegistryError(StorageError):
    """The registry's database refused, failed or could not be reached."""


class RegistryTimeoutError(RegistryError):
    """The registry's database did not answer in time."""


class UnknownArtifactError(RegistryError):
    """The registry has no artifact of that id."""
