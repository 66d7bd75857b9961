"""The explicit union of all sink formats."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipeline.sinks.csv import CsvSink
from pipeline.sinks.ndjson import NdjsonSink
from pipeline.sinks.parquet import ParquetSink
from pipeline.sinks.sink import Column, Sink, Table, TableWriter, Written

AnySink = Annotated[CsvSink | NdjsonSink | ParquetSink, Field(discriminator="format")]
"""Every sink a config can name; a new format is one file and one member here."""

FORMATS: tuple[str, ...] = ("csv", "ndjson", "parquet")

__all__ = [
    "FORMATS",
    "AnySink",
    "Column",
    "CsvSink",
    "NdjsonSink",
    "ParquetSink",
    "Sink",
    "Table",
    "TableWriter",
    "Written",
]
