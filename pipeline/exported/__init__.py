"""Exports read back: what they say of themselves, and their rows in order."""

from __future__ import annotations

from pipeline.exported.opening import Export, ExportedFile, ExportedTable, open_export

__all__ = ["Export", "ExportedFile", "ExportedTable", "open_export"]
