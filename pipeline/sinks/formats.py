"""The registry of formats: the only module that lists them.

A new format is one file with its options, one with its writer, and one entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from pipeline.sinks.csv import CsvSink
from pipeline.sinks.delta import DeltaSink
from pipeline.sinks.iceberg import IcebergSink
from pipeline.sinks.ndjson import NdjsonSink
from pipeline.sinks.parquet import ParquetSink

AnySink = Annotated[
    CsvSink | NdjsonSink | ParquetSink | DeltaSink | IcebergSink, Field(discriminator="format")
]
"""Every sink that a config can name."""

Format = Literal["csv", "ndjson", "parquet"]
"""Formats of files; the files of lake tables are Parquet."""

TABLE_FORMATS = ("delta", "iceberg")
"""Formats of lake tables, which only a config can ask for."""


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """What is the same for all files of a format.

    Attributes:
        endings: Endings of file names without their dot, the usual one first.
        media_type: IANA media type, as HTTP serves the files.
        is_text: Whether files are text, compressed as a whole by a further ending.
    """

    endings: tuple[str, ...]
    media_type: str
    is_text: bool

    @property
    def extension(self) -> str:
        """The usual ending with its dot."""
        return f".{self.endings[0]}"


FORMATS: Mapping[Format, FormatSpec] = MappingProxyType(
    {
        "csv": FormatSpec(("csv", "tsv"), "text/csv; charset=utf-8", is_text=True),
        "ndjson": FormatSpec(("ndjson", "jsonl"), "application/x-ndjson", is_text=True),
        "parquet": FormatSpec(("parquet",), "application/vnd.apache.parquet", is_text=False),
    }
)

ALL_FORMATS: tuple[Format, ...] = tuple(FORMATS)
SINK_FORMATS: tuple[str, ...] = (*ALL_FORMATS, *TABLE_FORMATS)
"""Formats that a sink of a config can have."""

READING_ORDER: tuple[Format, ...] = ("parquet", "ndjson", "csv")
"""Formats of one export in the order of preference for reading it back: the exact ones first."""

FORMAT_OF_ENDING: Mapping[str, Format] = MappingProxyType(
    {ending: name for name, spec in FORMATS.items() for ending in spec.endings}
)
