"""Published exports, read back for verification, imports and comparisons: tables, rows, series."""

from __future__ import annotations

from pipeline.readback.open_export import open_export
from pipeline.readback.tables import Export, ExportedTable, TableFile

__all__ = ["Export", "ExportedTable", "TableFile", "open_export"]
