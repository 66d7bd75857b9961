"""Choose the series files that an export reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from connectors.errors import IntegrityError, StorageError
from connectors.flowtime.restore.layout import sniff
from connectors.flowtime.scan.scanner import ScanOptions
from connectors.flowtime.scan.series_file import SeriesFile
from connectors.flowtime.scan.series_files import SeriesFiles
from connectors.storage import Storage
from connectors.storage.calls.deadline import ContextPool
from pipeline.config import ExportConfig
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import Pending
from pipeline.reading.source import Source

BATCH_ROWS = 32_768
"""Rows of a batch at the most."""

_LOOK_UPS = 16
_SNIFFED_BYTES = 2_000_000
_FEWEST_BATCH_ROWS = 4_096
# The streaming engine was seen to hold 42 batches of up to 60 bytes a row: a third of the limit.
_BYTES_A_ROW = 42 * 60 * 3


def scan_options(config: ExportConfig) -> ScanOptions:
    """Return how a config wants series files to be read."""
    execution = config.execution
    return ScanOptions(
        verify=config.source.verify,
        workers=execution.thread_count,
        read_ahead=execution.batches_ahead,
        batch_rows=min(BATCH_ROWS, max(_FEWEST_BATCH_ROWS, execution.memory_limit // _BYTES_A_ROW)),
    )


def wanted_series(
    plan: ExportPlan, chosen: Sequence[Pending]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether the file of each series is read: kept, and of a run that a target holds."""
    is_held = np.zeros(len(plan.runs), dtype=bool)
    for pending in chosen:
        is_held[list(pending.target.runs)] = True
    of_each = [len(run.series) for run in plan.runs]
    wanted: np.ndarray[Any, np.dtype[np.bool_]] = plan.is_kept & np.repeat(is_held, of_each)
    return wanted


def with_layouts(plan: ExportPlan, source: Source, needed: SeriesFiles) -> ExportPlan:
    """Return the plan with the layout of each file that no sha256 vouches for, by its beginning.

    An import finds all other layouts by the sha256. What is wrong with a file is left to the scan
    to say.
    """
    files = [file for file in needed.unvouched() if file.bundle_class is None]
    if not files:
        return plan
    with ContextPool(_LOOK_UPS, thread_name_prefix="flowtime-layouts") as pool:
        codes = pool.map(lambda file: _layout(source.storage, file), files)
        found = {(f.run_url, f.series_id): code for f, code in zip(files, codes, strict=True)}
    layouts = {
        run.url: tuple(found.get((run.url, series.id)) for series in run.series)
        for run in plan.runs
        if any((run.url, series.id) in found for series in run.series)
    }
    return replace(plan, layouts=layouts)


def _layout(storage: Storage, file: SeriesFile) -> str | None:
    try:
        return sniff(storage.read(file.path, end=_SNIFFED_BYTES)).code
    except (StorageError, IntegrityError):
        return None
