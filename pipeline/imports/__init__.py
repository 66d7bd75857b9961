"""Exports and plain tables to run directories: the way back."""

from __future__ import annotations

from pipeline.imports.importer import ImportOptions, import_export
from pipeline.imports.report import ImportedRun, ImportReport

__all__ = ["ImportOptions", "ImportReport", "ImportedRun", "import_export"]
