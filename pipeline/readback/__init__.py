"""Exports read back: what they say of themselves, and their rows in order."""

from __future__ import annotations

from pipeline.readback.open_export import open_export
from pipeline.readback.tables import Export, ExportedTable, TableFile

__all__ = ["Export", "ExportedTable", "TableFile", "open_export"]
