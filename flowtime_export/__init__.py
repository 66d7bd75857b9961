"""Turn FlowTime run directories into verified tables, and back.

The public API; all else may change. What is used is loaded when it is used: importing this
package loads neither Polars nor Arrow.

>>> import flowtime_export as fx
>>> fx.find_runs("samples/runs").to_frame().height
6
>>> rows = fx.scan("samples/runs", filter="measure = 'arrivals'")
>>> rows.group_by("run_id").len().collect().height
6
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from flowtime_export.own_packages import check_own_packages

if TYPE_CHECKING:
    from connectors.errors import (
        ChangedError,
        ConflictError,
        DeniedError,
        FlowtimeExportError,
        IntegrityError,
        NotFoundError,
        RunError,
        RunExistsError,
        StorageError,
    )
    from connectors.flowtime.model.run import Run
    from flowtime_export.exporting import export
    from flowtime_export.importing import import_runs
    from flowtime_export.lazy_rows import scan
    from flowtime_export.run_list import RunList, find_runs
    from flowtime_export.verifying import verify
    from pipeline.comparison.compare import compare
    from pipeline.comparison.result import Comparison
    from pipeline.config import ExportConfig, load_config
    from pipeline.errors import (
        ConfigError,
        IncomparableError,
        NotAnExportError,
        PublishConflictError,
        RegistryError,
        RegistryTimeoutError,
        SinkError,
        UnknownArtifactError,
    )
    from pipeline.exports.progress import ProgressCallback
    from pipeline.exports.report import Report
    from pipeline.imports.report import ImportReport
    from pipeline.registry.registry import Registry, open_registry
    from pipeline.verification.report import VerifyReport
    from pipeline.version import VERSION as __version__  # noqa: N811

__all__ = [
    "ChangedError",
    "Comparison",
    "ConfigError",
    "ConflictError",
    "DeniedError",
    "ExportConfig",
    "FlowtimeExportError",
    "ImportReport",
    "IncomparableError",
    "IntegrityError",
    "NotAnExportError",
    "NotFoundError",
    "ProgressCallback",
    "PublishConflictError",
    "Registry",
    "RegistryError",
    "RegistryTimeoutError",
    "Report",
    "Run",
    "RunError",
    "RunExistsError",
    "RunList",
    "SinkError",
    "StorageError",
    "UnknownArtifactError",
    "VerifyReport",
    "__version__",
    "compare",
    "export",
    "find_runs",
    "import_runs",
    "load_config",
    "open_registry",
    "scan",
    "verify",
]

_MODULES = {
    "connectors.errors": (
        "ChangedError",
        "ConflictError",
        "DeniedError",
        "FlowtimeExportError",
        "IntegrityError",
        "NotFoundError",
        "RunError",
        "RunExistsError",
        "StorageError",
    ),
    "connectors.flowtime.model.run": ("Run",),
    "flowtime_export.exporting": ("export",),
    "flowtime_export.importing": ("import_runs",),
    "flowtime_export.lazy_rows": ("scan",),
    "flowtime_export.run_list": ("RunList", "find_runs"),
    "flowtime_export.verifying": ("verify",),
    "pipeline.comparison.compare": ("compare",),
    "pipeline.comparison.result": ("Comparison",),
    "pipeline.config": ("ExportConfig", "load_config"),
    "pipeline.errors": (
        "ConfigError",
        "IncomparableError",
        "NotAnExportError",
        "PublishConflictError",
        "RegistryError",
        "RegistryTimeoutError",
        "SinkError",
        "UnknownArtifactError",
    ),
    "pipeline.exports.progress": ("ProgressCallback",),
    "pipeline.exports.report": ("Report",),
    "pipeline.imports.report": ("ImportReport",),
    "pipeline.registry.registry": ("Registry", "open_registry"),
    "pipeline.verification.report": ("VerifyReport",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

check_own_packages()


def __getattr__(name: str) -> object:
    """Load a member when it is used for the first time (PEP 562)."""
    if name == "__version__":
        value: object = importlib.import_module("pipeline.version").VERSION
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the names of all members, loaded or not."""
    return sorted(__all__)
