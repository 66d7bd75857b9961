"""Verify exports."""

from __future__ import annotations

from os import fspath

from flowtime_export.storage_options import AnyPath, AnyStorageOptions, storage_options_of
from pipeline.verification import verify as verify_export
from pipeline.verification.report import VerifyReport


def verify(
    target: AnyPath,
    against: AnyPath | None = None,
    *,
    storage_options: AnyStorageOptions = None,
) -> VerifyReport:
    """Check an export: every file's bytes, hash, rows and columns; and values against the runs.

    Args:
        target: A descriptor, a folder with one, or a data file, as a path or URL.
        against: A run directory or a folder of them: every value is compared with theirs.
        storage_options: fsspec's options of the storages.

    Returns:
        A report, whose `ok` says whether all is as promised.

    Raises:
        IntegrityError: The target is no export, or its description is broken.
        StorageError: Target or runs could not be listed or read.

    >>> import tempfile
    >>> import flowtime_export as fx
    >>> path = f"{tempfile.mkdtemp()}/rows.parquet"
    >>> report = fx.export("samples/runs", path)
    >>> fx.verify(path, against="samples/runs").ok
    True
    """
    options = storage_options_of(storage_options)
    runs = None if against is None else fspath(against)
    return verify_export(fspath(target), runs, options, against_options=options)
