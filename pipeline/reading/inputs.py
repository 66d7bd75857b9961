"""Which series files an export reads, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from connectors.errors import IntegrityError, StorageError
from connectors.flowtime.restore.layout import sniff
from connectors.flowtime.scan.scanner import ScanOptions, ScanProgress
from connectors.flowtime.scan.series_file import SeriesFile
from connectors.flowtime.scan.series_files import SeriesFiles
from connectors.storage import Storage
from connectors.storage.deadline import ContextPool
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


@dataclass
class ReadProgress:
    """Counts what has been read, and passes it on.

    Attributes:
        callback: Receives the numbers of files, rows and bytes since the last call.
        files, rows, size: Sums of them.
    """

    callback: ScanProgress
    files: int = 0
    rows: int = 0
    size: int = 0

    def __call__(self, files: int, rows: int, size: int) -> None:
        """Count so many more."""
        self.files += files
        self.rows += rows
        self.size += size
        self.callback(files, rows, size)


def scan_options(config: ExportConfig) -> ScanOptions:
    """How a config wants series files to be read."""
    execution = config.execution
    return ScanOptions(
        verify=config.source.verify,
        workers=execution.thread_count,
        read_ahead=execution.batches_ahead,
        batch_rows=min(BATCH_ROWS, max(_FEWEST_BATCH_ROWS, execution.memory_limit // _BYTES_A_ROW)),
    )


def needed_files(plan: ExportPlan, chosen: Sequence[Pending]) -> SeriesFiles:
    """Files of the kept series of the runs that a chosen target holds."""
    is_held = np.zeros(len(plan.runs), dtype=bool)
    for pending in chosen:
        is_held[list(pending.target.runs)] = True
    of_each = [len(run.series) for run in plan.runs]
    return SeriesFiles(plan.runs, plan.is_kept & np.repeat(is_held, of_each))


def with_layouts(plan: ExportPlan, source: Source, needed: SeriesFiles) -> ExportPlan:
    """The plan with the layout of each file that no sha256 vouches for, by its beginning.

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
        run.url: tuple(found.get((run.url, series.id)) for series in run.series.kinds)
        for run in plan.runs
        if any((run.url, series.id) in found for series in run.series.kinds)
    }
    return replace(plan, layouts=layouts)


def _layout(storage: Storage, file: SeriesFile) -> str | None:
    try:
        return sniff(storage.read(file.path, end=_SNIFFED_BYTES)).code
    except (StorageError, IntegrityError):
        return None
