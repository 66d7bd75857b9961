"""Exports read back: what they say of themselves, and their rows in order."""

from __future__ import annotations

from pipeline.exported.opening import open_export
from pipeline.exported.tables import Export, ExportedFile, ExportedTable

__all__ = ["Export", "ExportedFile", "ExportedTable", "open_export"]
