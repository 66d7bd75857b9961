"""Parquet: typed columns for analytics, with the metadata in the footer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.sinks.sink import Sink, WholeNumber

_LEVELS = {"zstd": range(1, 23), "gzip": range(1, 10), "brotli": range(12)}


class ParquetFiles(Sink):
    """Options of all formats whose files are Parquet.

    Attributes:
        compression: `zstd`, `snappy`, `gzip`, `lz4`, `brotli` or `none`.
        compression_level: Level of the codec; zstd defaults to 1, which gives the size of
            level 3 on this data at a third of the time.
        row_group_size: Rows in a row group.
    """

    is_text: ClassVar[bool] = False
    writer: ClassVar = ("pipeline.sinks.parquet_writer", "ParquetWriter")

    compression: Literal["zstd", "snappy", "gzip", "lz4", "brotli", "none"] = "zstd"
    compression_level: WholeNumber | None = None
    row_group_size: Annotated[WholeNumber, Field(ge=1, le=10_000_000)] = 262_144

    @model_validator(mode="after")
    def _check_level(self) -> ParquetFiles:
        if self.compression_level is None:
            return self
        levels = _LEVELS.get(self.compression)
        if levels is None:
            raise ValueError(f"compression_level has no meaning for {self.compression}")
        if self.compression_level not in levels:
            raise ValueError(
                f"compression_level is {self.compression_level}; "
                f"{self.compression} takes {levels.start} to {levels.stop - 1}"
            )
        return self

    @property
    def file_format(self) -> str:
        """`parquet`."""
        return "parquet"

    @property
    def extension(self) -> str:
        """`.parquet`; the codec is inside."""
        return ".parquet"

    @property
    def mediatype(self) -> str:
        """`application/vnd.apache.parquet`, as registered with IANA."""
        return "application/vnd.apache.parquet"

    def dialect(self, header_row: int | None) -> Mapping[str, Any]:
        """Return nothing: Parquet has no dialect."""
        return {}


class ParquetSink(ParquetFiles):
    """Options of the parquet format: single files, or data sets of them."""

    format: Literal["parquet"]
