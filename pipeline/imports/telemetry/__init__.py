"""Plain tables of anything (not runs, not exports) as telemetry runs."""

from __future__ import annotations

from pipeline.imports.telemetry.options import ForeignOptions
from pipeline.imports.telemetry.report import ForeignDataError, ForeignReport, TableProblem
from pipeline.imports.telemetry.table import ForeignRun, open_foreign

__all__ = [
    "ForeignDataError",
    "ForeignOptions",
    "ForeignReport",
    "ForeignRun",
    "TableProblem",
    "open_foreign",
]
