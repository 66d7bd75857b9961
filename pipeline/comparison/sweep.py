"""Compare many runs with one baseline: a sweep, or a suite of regression tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from connectors.errors import NotFoundError
from connectors.storage import scratch_folder
from pipeline.comparison.compare import compare_matched
from pipeline.comparison.matching import ComparisonOptions, ComparisonRequest, match_sides
from pipeline.comparison.metrics.tolerance import Tolerances
from pipeline.comparison.registration import ComparisonRegistration
from pipeline.comparison.reports.sweep_report import SweepEntry, SweepReport
from pipeline.comparison.result import FailOn
from pipeline.comparison.sides.side import OpenSide, SideSource, open_side
from pipeline.comparison.sides.side_urls import matching_urls
from pipeline.comparison.sides.stored_series import StoredSeries
from pipeline.comparison.sweep_outputs import SweepOutputs
from pipeline.config.comparison import ComparisonConfig
from pipeline.errors import FlowtimeExportError
from pipeline.registry.session import RegistrySession


def compare_all(
    config: ComparisonConfig,
    *,
    fail_on: FailOn | None = None,
    done: Callable[[SweepEntry], None] = lambda entry: None,
    now: datetime | None = None,
    registry: RegistrySession | None = None,
) -> SweepReport:
    """Compare everything that a config names with its baseline, one after the other.

    What cannot be compared is reported, and the others are compared nonetheless.

    Args:
        config: The settings.
        fail_on: What makes a comparison fail; default what the config says.
        done: Called after each comparison.
        now: When this began; default the current time.
        registry: Where comparisons are entered; default what the config says. That it fails is a
            note of the report.

    Raises:
        ConfigError: Outputs of two comparisons would be one file.
        RunError: The baseline is no complete run.
        SinkError: An output could not be written.
        StorageError: The baseline could not be read, or a store failed.
    """
    wanted = fail_on or config.fail_on
    moment = now or datetime.now(UTC)
    baseline = _source(config, config.baseline.url, config.baseline.storage, config.baseline.run)
    sources, missing = _sources(config)
    if registry is None and config.registry is not None:
        registry = RegistrySession.of(config.registry)
    with ExitStack() as stack:
        registration = stack.enter_context(ComparisonRegistration(registry))
        outputs = SweepOutputs(config, registration)
        opened = stack.enter_context(_stored(baseline, is_read_often=len(sources) > 1))
        stack.enter_context(outputs.discarded_on_error())
        entries = list(missing)
        for source in sources:
            if source.url == opened.side.url:
                continue
            entry = _compared(opened, baseline, source, config, outputs, wanted)
            entries.append(entry)
            done(entry)
        report = SweepReport(config.name, opened.side, wanted, tuple(entries))
        outputs.publish(report, opened, moment)
        return replace(report, notes=registration.finish())


def _compared(
    opened: OpenSide,
    baseline: SideSource,
    source: SideSource,
    config: ComparisonConfig,
    outputs: SweepOutputs,
    fail_on: FailOn | None,
) -> SweepEntry:
    began = time.monotonic()
    name = source.url.rstrip("/").rpartition("/")[2]
    request = ComparisonRequest(baseline, source, _options(config))
    try:
        with open_side(source, like=opened.run.run_id) as other:
            sides = match_sides(opened, other, request.options)
            found = compare_matched(sides, request)
            outputs.write(found, sides)
    except FlowtimeExportError as error:
        spent = time.monotonic() - began
        return SweepEntry(source.url, name, error=str(error), seconds=spent)
    worst = found.worst_first[0]
    return SweepEntry(
        url=source.url,
        name=name,
        run_id=found.comparison.run.run_id,
        summary=found.summary,
        missing=len(found.only_in_baseline) + len(found.only_in_comparison),
        total=found.total,
        worst=(worst.pair.series_id, worst.metrics.status),
        has_failed=found.fails(fail_on),
        seconds=time.monotonic() - began,
    )


def _options(config: ComparisonConfig) -> ComparisonOptions:
    return ComparisonOptions(
        tolerances=Tolerances.from_mapping(config.tolerances.plain()),
        alignment=config.alignment,
        aggregations=config.aggregation,
        renamed=config.renamed,
    )


def _sources(config: ComparisonConfig) -> tuple[list[SideSource], list[SweepEntry]]:
    """Return what is to be compared, and an entry for each pattern that matches nothing."""
    sources: list[SideSource] = []
    missing: list[SweepEntry] = []
    for side in config.comparisons:
        try:
            urls = matching_urls(side.url, config.storage_options(side.storage))
        except NotFoundError as error:
            missing.append(SweepEntry(side.url, side.url, error=str(error)))
        else:
            sources += [_source(config, url, side.storage, side.run) for url in urls]
    return sources, missing


def _source(config: ComparisonConfig, url: str, storage: str | None, run: str | None) -> SideSource:
    return SideSource(url, config.storage_options(storage), run)


@contextmanager
def _stored(source: SideSource, *, is_read_often: bool) -> Iterator[OpenSide]:
    """Yield the baseline; its values are kept on local disk where they are read again and again."""
    with ExitStack() as stack:
        side = stack.enter_context(open_side(source))
        if is_read_often:
            scratch = stack.enter_context(scratch_folder())
            rows = range(len(side.run.series))
            stored = StoredSeries(scratch / "baseline", side.reader, rows, side.run.grid.bins)
            stack.callback(stored.close)
            side = replace(side, reader=stored)
        yield side
