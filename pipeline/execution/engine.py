"""Who reads the series files of an export: this process, or a cluster."""

from __future__ import annotations

import importlib
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import polars as pl

from connectors.flowtime.scan.scanner import ScanOptions, ScanProgress, scan
from connectors.flowtime.scan.series_file import SeriesFile
from pipeline.config import ExportConfig
from pipeline.errors import ConfigError
from pipeline.reading.source import Source


class Engine(Protocol):
    """Reads series files, with every check, into rows that do not depend on who has read them."""

    def scan(
        self,
        source: Source,
        files: Collection[SeriesFile],
        options: ScanOptions,
        progress: ScanProgress | None = None,
    ) -> pl.LazyFrame:
        """The rows of the files, as `connectors.flowtime.scan.scanner.scan` gives them."""


class LocalEngine:
    """Reads in this process, on threads."""

    def scan(
        self,
        source: Source,
        files: Collection[SeriesFile],
        options: ScanOptions,
        progress: ScanProgress | None = None,
    ) -> pl.LazyFrame:
        """The rows of the files, lazily."""
        return scan(source.storage, files, options, progress=progress)


def open_engine(config: ExportConfig) -> AbstractContextManager[Engine]:
    """The engine that a config names; closed by leaving the context.

    Raises:
        ConfigError: The engine's packages are missing, or its cluster does not answer.
    """
    execution = config.execution
    if execution.engine == "local":
        return nullcontext(LocalEngine())
    try:
        # Imported when asked for: it is an extra, and costs most of a second.
        distributed = importlib.import_module("pipeline.execution.dask_engine")
    except ImportError as error:
        raise ConfigError(
            f"execution.engine is dask, but {error.name} is not installed: "
            "pip install 'flowtime-export[dask]'"
        ) from error
    options = config.storage_options(config.source.storage)
    engine: AbstractContextManager[Engine] = distributed.DaskEngine(execution.address, options)
    return engine
