"""Compare two sides: open both, match their series, read block by block, measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl

from connectors.storage import StorageOptions
from pipeline.comparison.difference_rows import lazy_differences
from pipeline.comparison.matching import (
    ComparisonOptions,
    ComparisonRequest,
    MatchedSides,
    open_sides,
)
from pipeline.comparison.metrics.series_metrics import MetricsAccumulator, SeriesMetrics
from pipeline.comparison.metrics.tolerance import AnyTolerance, Tolerance, Tolerances
from pipeline.comparison.model_differences import compare_models
from pipeline.comparison.outputs import OutputFiles, write_outputs
from pipeline.comparison.registration import ComparisonRegistration
from pipeline.comparison.result import Comparison, SeriesComparison
from pipeline.comparison.sides.side import SideSource
from pipeline.registry.session import RegistrySession
from pipeline.writing.page_output import PageTarget


def compare(
    baseline: str,
    other: str,
    *,
    tolerance: AnyTolerance = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compare two runs, exports or tables.

    Args:
        baseline: A run directory, an export (its descriptor, folder or file), a telemetry bundle
            or another table, as a path or URL.
        other: What is compared with it, likewise.
        tolerance: How far values may lie apart: a number for an absolute bound, text as in
            `absolute=1e-9,relative=1e-6`, a mapping as in a config, or a `Tolerance`; None: not
            at all.
        storage_options: fsspec options of the storages.

    Raises:
        ConfigError: The tolerance is wrong, or several runs are at a URL.
        IntegrityError: A side is damaged.
        RunError: A side is no complete run, or the two cannot be compared.
        StorageError: A side could not be read.
    """
    storage = None if storage_options is None else StorageOptions(options=dict(storage_options))
    options = ComparisonOptions(tolerances=Tolerances.of_any(tolerance))
    return compare_sides(
        ComparisonRequest(
            SideSource(str(baseline), storage), SideSource(str(other), storage), options
        )
    )


def compare_sides(request: ComparisonRequest) -> Comparison:
    """Compare two sides.

    Raises:
        ConfigError: An option does not fit the sides.
        IntegrityError: A side is damaged.
        RunError: A side is no complete run, or the two cannot be compared.
        StorageError: A side could not be read.
    """
    with open_sides(request) as sides:
        return compare_matched(sides, request)


def compare_matched(
    sides: MatchedSides,
    request: ComparisonRequest,
    progress: Callable[[int], None] = lambda bins: None,
) -> Comparison:
    """Measure two sides that are open already.

    Args:
        sides: The open sides.
        request: How they can be opened again, for rows and reports.
        progress: Called with the number of further bins that were compared.

    Raises:
        IntegrityError: The values of a side are not as they should be.
        StorageError: A side could not be read.
    """
    options = request.options
    pairs = sides.pairing.pairs
    tolerances = [options.tolerances.of(pair.baseline) for pair in pairs]
    metrics, total = _measured(sides, tolerances, progress)
    is_aggregated = sides.alignment.is_aggregated
    series = tuple(
        SeriesComparison(pair, tolerance, aggregation if is_aggregated else None, found)
        for pair, tolerance, aggregation, found in zip(
            pairs, tolerances, sides.aggregations, metrics, strict=True
        )
    )
    return Comparison(
        baseline=sides.baseline.side,
        comparison=sides.comparison.side,
        alignment=sides.alignment,
        tolerances=options.tolerances,
        series=series,
        only_in_baseline=sides.pairing.only_in_baseline,
        only_in_comparison=sides.pairing.only_in_comparison,
        total=total,
        models=compare_models(sides.baseline, sides.comparison),
        notes=sides.notes,
        _rows=partial(_rows, request),
        _html=partial(_write_html, request),
        _write=partial(_write, request),
    )


def _measured(
    sides: MatchedSides, tolerances: Sequence[Tolerance], progress: Callable[[int], None]
) -> tuple[list[SeriesMetrics], SeriesMetrics]:
    """Return the metrics of each pair and of all together."""
    found: list[SeriesMetrics] = []
    total, current = MetricsAccumulator(), MetricsAccumulator()
    with sides.blocks(range(len(tolerances))) as blocks:
        for block in blocks:
            if block.place > len(found):
                found.append(current.result())
                total.merge(current)
                current = MetricsAccumulator()
            current.add(block.baseline, block.comparison, tolerances[block.place])
            progress(len(block.baseline))
    found.append(current.result())
    total.merge(current)
    return found, total.result()


def _rows(request: ComparisonRequest, series: Sequence[str] | None) -> pl.LazyFrame:
    return lazy_differences(request, series)


def _write_html(request: ComparisonRequest, comparison: Comparison, path: str) -> None:
    with open_sides(request) as sides:
        write_outputs(comparison, sides, OutputFiles(pages=(PageTarget.of(path),)))


def _write(
    request: ComparisonRequest,
    comparison: Comparison,
    urls: Sequence[str],
    registry: RegistrySession | None,
) -> tuple[str, ...]:
    files = OutputFiles.of(urls)
    with ComparisonRegistration(registry) as registration:
        with open_sides(request) as sides:
            written = write_outputs(comparison, sides, files)
            registration.note(written, sides.baseline, sides.comparison)
        return registration.finish()
