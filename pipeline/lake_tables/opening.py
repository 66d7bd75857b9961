"""Open the lake table of a sink; no request is made."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from connectors.storage import Storage, StorageOptions
from pipeline.errors import ConfigError
from pipeline.lake_tables.contract import LakeTable
from pipeline.lake_tables.delta import DeltaLakeTable
from pipeline.sinks import Sink

_PACKAGES = {"delta": "deltalake"}


def open_lake_table(
    sink: Sink, storage: Storage, path: str, options: StorageOptions | None
) -> LakeTable | None:
    """Return the table that a sink writes; None where it writes files alone.

    Args:
        sink: The sink.
        storage: Where the table's folder is.
        path: The folder, as the storage names it.
        options: Of the storage.

    Raises:
        ConfigError: The package for the format is not installed, or cannot reach the storage.
    """
    return _delta_table(storage, path, options) if sink.is_table else None


def described_table(
    reference: Mapping[str, Any], storage: Storage, path: str, options: StorageOptions | None
) -> LakeTable | None:
    """Return the table that a descriptor is of; None where its format is unknown.

    Args:
        reference: The version of the table, as the descriptor names it; untrusted.
        storage: Where its folder is.
        path: The folder, as the storage names it.
        options: Of the storage.

    Raises:
        ConfigError: The package for the format is not installed, or cannot reach the storage.
    """
    return _delta_table(storage, path, options) if reference.get("format") == "delta" else None


def _delta_table(storage: Storage, path: str, options: StorageOptions | None) -> LakeTable:
    require_package("delta")
    return DeltaLakeTable(storage.url(path), table_uri(storage, path, "delta"), {})


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


def table_uri(storage: Storage, path: str, form: str) -> str:
    """Return the URI of a folder in the words of the table packages.

    Raises:
        ConfigError: No table can be there.
    """
    if storage.is_local:
        return path
    raise ConfigError(f"format {form} writes to local disks, not to {storage.protocol}://")
