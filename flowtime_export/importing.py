"""Import exports and plain tables as run directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from pydantic import ValidationError

from connectors.flowtime.restore.restoring import IfExists
from connectors.storage import protocol_of
from flowtime_export.storage_options import (
    AnyPath,
    AnyStorageOptions,
    remote_protocol,
    storage_options_of,
)
from pipeline.errors import ConfigError
from pipeline.imports import ImportOptions, ImportReport, import_export
from pipeline.imports.telemetry import ForeignOptions
from pipeline.wording import first_fault_of


def import_runs(
    files: AnyPath | Sequence[AnyPath],
    out: AnyPath,
    *,
    if_exists: IfExists = "error",
    partial: bool = False,
    table: Mapping[str, Any] | None = None,
    storage_options: AnyStorageOptions = None,
) -> ImportReport:
    """Turn exports back into run directories, or a plain table into a telemetry run.

    Everything is read and checked before the first run becomes visible.

    Args:
        files: Exports (descriptors, folders or files), or the files of one plain table.
        out: Folder for the run directories.
        if_exists: What to do where a run directory is there already: `error`; `skip` where it is
            the same run; `replace`.
        partial: Restore runs of which only some series were exported.
        table: How a plain table is to be understood: options of the verb `import` by name, such
            as `{"columns": {"time_bin": "timestamp"}, "bin_size": "5m"}`.
        storage_options: fsspec's options of the remote storage among `files` and `out`.

    Raises:
        ConfigError: An option of the table is wrong.
        IntegrityError: An export is damaged, or a table cannot become a run.
        RunError: A run directory is there already, or cannot be written.
        StorageError: A storage failed.

    >>> import tempfile
    >>> import flowtime_export as fx
    >>> folder = tempfile.mkdtemp()
    >>> report = fx.export("samples/runs", f"{folder}/rows.parquet")
    >>> len(fx.import_runs(f"{folder}/rows.parquet", f"{folder}/runs").runs)
    6
    """
    sources = [fspath(file) for file in ([files] if isinstance(files, str | PathLike) else files)]
    options = storage_options_of(storage_options)
    protocol = remote_protocol([*sources, fspath(out)])
    return import_export(
        sources,
        fspath(out),
        ImportOptions(if_exists=if_exists, partial=partial, foreign=_table_options(table or {})),
        storage=options,
        out_storage=options if protocol_of(fspath(out)) == protocol else None,
    )


def _table_options(table: Mapping[str, Any]) -> ForeignOptions:
    try:
        return ForeignOptions.of(**table)
    except ValidationError as error:
        raise ConfigError(first_fault_of(error, "table")) from None
