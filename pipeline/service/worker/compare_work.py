"""Compare two runs as a worker process."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.comparison.compare import compare_matched
from pipeline.comparison.matching import ComparisonOptions, ComparisonRequest, open_sides
from pipeline.comparison.metrics.tolerance import Tolerances
from pipeline.comparison.outputs import OutputFiles, write_outputs
from pipeline.comparison.sides.side import SideSource
from pipeline.errors import SinkError
from pipeline.service.catalog.comparison_store import (
    DIGEST_FILE,
    FORMATS,
    PARTIAL_SUFFIX,
    REPORT_FILE,
    RESULT_FILE,
    file_name,
)
from pipeline.service.jobs.compare_order import CompareOrder, CompareResult, CompareSideOrder

_REPORT_SECONDS = 0.2

CompareProgress = Callable[[int, int], None]
"""Receives the number of compared bins so far, and of all."""


def compared(order: CompareOrder, report: CompareProgress) -> dict[str, Any]:
    """Compare, and write the result.

    Args:
        order: What is compared.
        report: Called a few times a second.

    Returns:
        A `CompareResult` as plain data, and `notes`.

    Raises:
        FlowtimeExportError: The runs cannot be compared, or the result not be written.
    """
    folder = Path(order.folder)
    partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
    shutil.rmtree(partial, ignore_errors=True)
    request = _request(order)
    try:
        with open_sides(request) as sides:
            total = sides.alignment.bins * len(sides.pairing.pairs)
            progress = _Throttled(report, total)
            found = compare_matched(sides, request, progress.add)
            partial.mkdir(parents=True)
            write_outputs(found, sides, _files(order, partial))
        result = json.dumps(found.as_json(), ensure_ascii=False)
        (partial / RESULT_FILE).write_text(result, encoding="utf-8")
        (partial / DIGEST_FILE).write_text(order.request.digest, encoding="ascii")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        raise SinkError(f"{folder}: the result could not be written: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shown = CompareResult(
        series=len(found.series),
        bins=found.alignment.bins,
        counts=found.summary,
        missing=len(found.only_in_baseline) + len(found.only_in_comparison),
    )
    notes = [*found.notes, *found.models.notes]
    return {**shown.model_dump(mode="json", by_alias=False), "notes": notes}


def _request(order: CompareOrder) -> ComparisonRequest:
    storage = order.storage_options
    options = order.request.options

    def source(side: CompareSideOrder) -> SideSource:
        return SideSource(side.url, storage, shown_as=side.shown_as)

    return ComparisonRequest(
        source(order.baseline),
        source(order.comparison),
        ComparisonOptions(
            tolerances=Tolerances.from_mapping(options.tolerances()),
            alignment=options.alignment,
            aggregations=options.aggregation,
            renamed=options.renamed,
        ),
    )


def _files(order: CompareOrder, folder: Path) -> OutputFiles:
    # Charts are drawn from the Parquet file, so that it is always there.
    is_wanted = order.request.options.export_results
    names = [file_name(form) for form in FORMATS if is_wanted or form == "parquet"]
    names += [REPORT_FILE] if is_wanted else []
    return OutputFiles.of(str(folder / name) for name in names)


class _Throttled:
    """Passes progress on, a few times a second."""

    def __init__(self, report: CompareProgress, total: int) -> None:
        self._report = report
        self._total = total
        self._done = 0
        self._sent = 0.0

    def add(self, bins: int) -> None:
        """Add compared bins."""
        self._done += bins
        if time.monotonic() - self._sent > _REPORT_SECONDS:
            self._sent = time.monotonic()
            self._report(self._done, self._total)
