"""One module per output format, and the registry of formats."""

from __future__ import annotations

from pipeline.sinks.csv import CsvSink
from pipeline.sinks.delta import DeltaSink
from pipeline.sinks.iceberg import IcebergSink
from pipeline.sinks.ndjson import NdjsonSink
from pipeline.sinks.parquet import ParquetSink
from pipeline.sinks.sink import Sink, TableWriter, Written

__all__ = [
    "CsvSink",
    "DeltaSink",
    "IcebergSink",
    "NdjsonSink",
    "ParquetSink",
    "Sink",
    "TableWriter",
    "Written",
]
