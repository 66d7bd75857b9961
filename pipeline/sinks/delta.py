"""Delta Lake: Parquet files by run, which the table's log names."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal

from pipeline.sinks.parquet import ParquetFiles

_ODD = frozenset(" ,;{}()\n\t=")
"""Characters that no name of a column may hold."""


class DeltaSink(ParquetFiles):
    """Options of the delta format: those of Parquet files; `path` is the table's folder."""

    is_table: ClassVar[bool] = True
    empty_is_null: ClassVar[bool] = True

    format: Literal["delta"]

    def check_names(self, names: Collection[str]) -> None:
        """Raise a ValueError if engines would not take the names for those of Delta columns."""
        seen: dict[str, str] = {}
        for name in names:
            if odd := sorted(_ODD.intersection(name)):
                raise ValueError(
                    f"column {name!r} holds {odd[0]!r}, which a column of a Delta table cannot: "
                    "rename it by transform.rename, or use layout: long"
                )
            other = seen.setdefault(name.casefold(), name)
            if other != name:
                raise ValueError(
                    f"columns {other!r} and {name!r} are one to a Delta table, where case does not "
                    "count: rename one of them by transform.rename"
                )
