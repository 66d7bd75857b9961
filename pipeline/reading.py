"""Which series files an export reads, and how."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.flowtime.scan import ScanOptions, series_files
from connectors.flowtime.series_file import SeriesFile
from pipeline.config import ExportConfig
from pipeline.plan import ExportPlan
from pipeline.publish import Pending

BATCH_ROWS = 32_768
"""Rows of a batch at the most."""

_FEWEST_BATCH_ROWS = 4_096
# The streaming engine was seen to hold 42 batches of up to 60 bytes a row: a third of the limit.
_BYTES_A_ROW = 42 * 60 * 3


def scan_options(config: ExportConfig) -> ScanOptions:
    """How a config wants series files to be read."""
    execution = config.execution
    return ScanOptions(
        verify=config.source.verify,
        workers=execution.thread_count,
        read_ahead=execution.batches_ahead,
        batch_rows=min(BATCH_ROWS, max(_FEWEST_BATCH_ROWS, execution.memory_limit // _BYTES_A_ROW)),
    )


def needed_files(plan: ExportPlan, chosen: Sequence[Pending]) -> list[SeriesFile]:
    """Files of the kept series of the runs that a chosen target holds."""
    wanted_runs = {row for pending in chosen for row in pending.target.runs}
    urls = {plan.runs[row].url for row in wanted_runs}
    kept = set(plan.kept.to_list())
    return [f for f in series_files(plan.runs) if f.row in kept and f.run_url in urls]
