"""Open the lake table of a sink; no request is made."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from connectors.storage import Storage
from pipeline.errors import ConfigError
from pipeline.lake_tables.contract import LakeTable, ReadableTable
from pipeline.sinks import IcebergSink, Sink

_PACKAGES = {"delta": "deltalake", "iceberg": "pyiceberg"}


def open_lake_table(sink: Sink, storage: Storage, path: str) -> LakeTable | None:
    """Return the table that a sink writes; None where it writes files alone.

    Args:
        sink: The sink.
        storage: Where the table's folder is.
        path: The folder, as the storage names it.

    Raises:
        ConfigError: The package for the format is not installed.
    """
    if isinstance(sink, IcebergSink):
        require_package(sink.format)
        # Here and below imported when needed, as Arrow is large.
        from pipeline.lake_tables.iceberg import IcebergLakeTable  # noqa: PLC0415

        return IcebergLakeTable(
            storage, path, sink.catalog.name, sink.catalog.properties(), sink.table
        )
    return _delta_table(storage, path) if sink.is_table else None


def described_table(
    reference: Mapping[str, Any], storage: Storage, path: str
) -> ReadableTable | None:
    """Return the table that a descriptor is of; None where its format is unknown.

    Args:
        reference: The version of the table, as the descriptor names it; untrusted.
        storage: Where its folder is.
        path: The folder, as the storage names it.

    Raises:
        ConfigError: The package for the format is not installed.
    """
    if reference.get("format") == "iceberg":
        require_package("iceberg")
        from pipeline.lake_tables.iceberg import IcebergVersion  # noqa: PLC0415

        return IcebergVersion(storage, path, str(reference.get("metadata")))
    return _delta_table(storage, path) if reference.get("format") == "delta" else None


def _delta_table(storage: Storage, path: str) -> LakeTable:
    require_package("delta")
    from pipeline.lake_tables.delta import DeltaLakeTable  # noqa: PLC0415

    return DeltaLakeTable(storage, path)


def require_package(form: str) -> None:
    """Check that the package for a table format is installed.

    Raises:
        ConfigError: It is not.
    """
    if importlib.util.find_spec(_PACKAGES[form]) is None:
        raise ConfigError(
            f"format {form} needs the package {_PACKAGES[form]}, which is not installed: "
            f"pip install 'flowtime-export[{form}]'"
        )
