"""Delta Lake: Parquet files by run, which the table's log names."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.sinks.parquet import ParquetFiles


class DeltaSink(ParquetFiles):
    """Options of the delta format: those of Parquet files; `path` is the table's folder."""

    is_table: ClassVar[bool] = True
    empty_is_null: ClassVar[bool] = True

    format: Literal["delta"]

    @property
    def file_format(self) -> str:
        """`parquet`."""
        return "parquet"
