"""The flow: discover, scan, metadata, transform, sinks, publish, report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from connectors.errors import ChangedError, RunError
from connectors.flowtime.scan.scanner import scan
from connectors.flowtime.scan.series_file import SeriesFile
from connectors.storage import connect
from pipeline.config import ExportConfig
from pipeline.errors import ConfigError
from pipeline.exports.deadline import Clock
from pipeline.exports.remembered_runs import known_runs
from pipeline.exports.report import Report
from pipeline.exports.summary import Tally, summarise, untouched
from pipeline.planning.choice import Choice, choose
from pipeline.planning.plan import ExportPlan, make_plan
from pipeline.planning.published import Pending, PublishedTargets
from pipeline.planning.target import TargetResolver
from pipeline.reading.engine import Engine, open_engine
from pipeline.reading.inputs import BATCH_ROWS, needed_files, scan_options, with_layouts
from pipeline.reading.recheck import if_changed, refuse_changed, without_faulty
from pipeline.reading.source import Source, find_runs
from pipeline.wording import counted
from pipeline.writing.descriptor_file import StagedTarget
from pipeline.writing.publish import Publisher
from pipeline.writing.router import SinkOutput, StagedOutput, shown_sources
from pipeline.writing.sink_thread import SinkThread


class ProgressCallback:
    """Told how an export gets on; every method may be overridden."""

    def discovered(self, runs: int) -> None:
        """So many runs were found and selected."""

    def began(self, files: int, rows: int, size: int) -> None:
        """So many series files, rows and bytes will be read."""

    def read(self, files: int, rows: int, size: int) -> None:
        """So many more have been read."""

    def publishing(self, files: int) -> None:
        """All rows are staged; so many files are being published."""


def plan_export(config: ExportConfig, source: Source, now: datetime) -> ExportPlan:
    """Work out what an export will read and write.

    Raises:
        ConfigError: The runs do not fit the config.
    """
    return make_plan(config, source.runs, _resolver(config, now))


def _resolver(config: ExportConfig, now: datetime) -> TargetResolver:
    options = config.storage_options(config.source.storage)
    return TargetResolver(
        name=config.name,
        now=now,
        source=connect(config.source.url, options),
        source_options=options,
        options=config.storage_options,
    )


def lazy_rows(plan: ExportPlan, source: Source, files: Collection[SeriesFile]) -> pl.LazyFrame:
    """The rows of an export, with every column that a sink asks for, as a lazy frame."""
    options = scan_options(plan.config)
    narrow = scan(source.storage, files, options)
    return _with_stages(plan, narrow)


def export(
    config: ExportConfig,
    *,
    full_refresh: bool = False,
    listener: ProgressCallback | None = None,
    now: datetime | None = None,
) -> Report:
    """Export the runs of a config to all its sinks.

    Args:
        config: The settings.
        full_refresh: Write targets that have not changed, too.
        listener: Told how the export gets on.
        now: When the export begins; default the current time.

    Raises:
        ConfigError: The config does not fit the runs.
        IntegrityError: The descriptor of a target is damaged, or not ours; all other targets are
            written.
        RunError: A run is broken and `on_error` is `fail`.
        SinkError: An output could not be written.
        StorageError: A store failed.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    clock = Clock(config.execution.timeout)
    with clock.enforced():
        return _export(config, full_refresh, listener or ProgressCallback(), moment, clock)


def _export(
    config: ExportConfig, full_refresh: bool, told: ProgressCallback, moment: datetime, clock: Clock
) -> Report:
    with clock.phase("discover"):
        known = None if full_refresh else known_runs(config, _resolver(config, moment))
        source = find_runs(config, known)
    told.discovered(len(source.runs))
    _require_runs(config, source)
    began_again = False
    while source.runs:
        with clock.phase("plan"):
            plan = plan_export(config, source, moment)
            standing = PublishedTargets.read(plan)
            choice = choose(plan, standing, full_refresh=full_refresh)
        if choice.to_write and source.is_remembered:
            # Memory only tells that nothing has changed; what is written has been read.
            with clock.phase("discover"):
                source = find_runs(config)
            continue
        plan = with_layouts(plan, source, choice.to_write)
        try:
            with open_engine(config) as engine:
                written, tally = _write(plan, source, engine, choice.to_write, clock, told)
        except (RunError, ChangedError) as fault:
            if not began_again and (fresh := if_changed(plan, source, choice.to_write, fault)):
                source, began_again = fresh, True
                continue
            if isinstance(fault, ChangedError):
                raise
            if config.source.on_error == "fail":
                raise
            source = without_faulty(plan, source, choice.to_write, fault)
            continue
        with clock.phase("publish"), _discarded_on_error(written):
            told.publishing(sum(len(outputs) for _, outputs in written))
            publisher = Publisher(plan, standing, choice.obsolete, moment, clock.check)
            published = publisher.publish(written)
            publisher.tidy(choice.current)
        _refuse_blocked(choice)
        notes = (*(note for sink in plan.sinks for note in sink.notes), *choice.notes)
        choice = replace(choice, current=(*choice.current, *published.found))
        rest = untouched(choice, published.standing)
        return summarise(config, source, published.written, rest, tally, notes, clock.seconds)
    return summarise(config, source, [], [], Tally(), (), clock.seconds)


# --------------------------------------------------------------------------- rows to files


def _write(
    plan: ExportPlan,
    source: Source,
    engine: Engine,
    chosen: Sequence[Pending],
    clock: Clock,
    told: ProgressCallback,
) -> tuple[list[StagedTarget], Tally]:
    """Read the source once, and stage the files of every sink."""
    tally = Tally()
    if not chosen:
        return [], tally
    files = needed_files(plan, chosen)
    told.began(len(files), files.rows, files.bytes)

    def progress(files_read: int, rows: int, size: int) -> None:
        tally.add(files_read, rows, size)
        told.read(files_read, rows, size)

    narrow = engine.scan(source, files, scan_options(plan.config), progress)
    lanes = [SinkThread(output) for output in _outputs(plan, chosen)]
    try:
        with clock.phase("write"):
            rows = _with_stages(plan, narrow)
            for batch in rows.collect_batches(
                maintain_order=True, lazy=True, chunk_size=BATCH_ROWS, engine="streaming"
            ):
                clock.check()
                for lane in lanes:
                    lane.write(batch)
            for lane in lanes:
                lane.end()
            staged = [lane.staged() for lane in lanes]
            refuse_changed(plan, source, files)
    except BaseException:
        for lane in lanes:
            lane.discard()
        raise
    return _by_target(chosen, staged), tally


def _with_stages(plan: ExportPlan, narrow: pl.LazyFrame) -> pl.LazyFrame:
    """Transform and metadata over a narrow frame; lazy throughout."""
    if plan.row_filter is not None:
        narrow = plan.row_filter.apply(narrow, plan.tables)
    needed = dict.fromkeys(name for sink in plan.sinks for name in shown_sources(sink))
    return plan.tables.apply(narrow, list(dict.fromkeys([*needed, "value"])))


def _outputs(plan: ExportPlan, chosen: Sequence[Pending]) -> list[SinkOutput]:
    outputs = []
    for sink in plan.sinks:
        pending = [one for one in chosen if one.plan is sink]
        if pending:
            targets = tuple(one.target for one in pending)
            outputs.append(SinkOutput(plan, sink, targets, tuple(one.state for one in pending)))
    return outputs


def _by_target(
    chosen: Sequence[Pending], staged: Sequence[Sequence[StagedOutput]]
) -> list[StagedTarget]:
    of_target: dict[int, list[StagedOutput]] = {id(pending.target): [] for pending in chosen}
    for outputs in staged:
        for output in outputs:
            of_target[id(output.target)].append(output)
    return [(pending, of_target[id(pending.target)]) for pending in chosen]


@contextmanager
def _discarded_on_error(written: Sequence[StagedTarget]) -> Iterator[None]:
    """Whatever is still staged when publishing fails is thrown away."""
    try:
        yield
    except BaseException:
        for _, outputs in written:
            for output in outputs:
                output.target.storage.discard(output.staged)
        raise


def _refuse_blocked(choice: Choice) -> None:
    """Report targets that could not be written, once all others are.

    Raises:
        IntegrityError: The descriptor of a target is damaged, or not ours.
    """
    if not choice.blocked:
        return
    error = choice.blocked[0][1]
    others = {id(problem) for _, problem in choice.blocked}
    more = f" (and {len(others) - 1} more descriptors)" if len(others) > 1 else ""
    written = len(choice.to_write) + len(choice.current)
    rest = f"; {counted(written, 'other target')} of this export: done" if written else ""
    raise type(error)(f"{error}{more}{rest}")


def _require_runs(config: ExportConfig, source: Source) -> None:
    if config.source.require_runs and not source.runs:
        url = source.storage.url(source.path)
        raise ConfigError(
            f"no run was found under {url} and source.require_runs is true: "
            "check source.url, include, exclude and created"
        )
