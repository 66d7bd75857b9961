"""The registry of formats: the only module that lists them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.sinks.csv import CsvSink
from pipeline.sinks.ndjson import NdjsonSink
from pipeline.sinks.parquet import ParquetSink

AnySink = Annotated[CsvSink | NdjsonSink | ParquetSink, Field(discriminator="format")]
"""Every sink a config can name; a new format is one file and one member here."""

Format = Literal["csv", "ndjson", "parquet"]

ALL_FORMATS: tuple[Format, ...] = ("csv", "ndjson", "parquet")
