"""Foreign tables as telemetry runs."""

from __future__ import annotations

from pipeline.foreign.options import ForeignOptions
from pipeline.foreign.report import ForeignDataError, ForeignReport, Problem
from pipeline.foreign.table import ForeignRun, open_foreign

__all__ = [
    "ForeignDataError",
    "ForeignOptions",
    "ForeignReport",
    "ForeignRun",
    "Problem",
    "open_foreign",
]
