"""The flow: discover, scan, metadata, transform, sinks, publish, report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from connectors.errors import ChangedError, IntegrityError, NotFoundError, RunError
from connectors.flowtime.discover import discover
from connectors.flowtime.run import Run
from connectors.flowtime.scan import ScanOptions, faulty_runs, scan, series_files
from connectors.flowtime.series_file import SeriesFile
from pipeline.clock import Clock
from pipeline.config import ExportConfig
from pipeline.engine import Engine, open_engine
from pipeline.errors import ConfigError
from pipeline.lane import SinkLane
from pipeline.output import SinkOutput, StagedOutput, shown_sources
from pipeline.plan import ExportPlan, make_plan
from pipeline.publish import Pending, Standing, Written, choose, publish, tidy
from pipeline.report import LeftOut, Report
from pipeline.source import Source, find_runs
from pipeline.summary import Tally, summarise, untouched
from pipeline.target import TargetResolver

BATCH_ROWS = 32_768
"""Rows of a batch at the most."""

_FEWEST_BATCH_ROWS = 4_096
# The streaming engine was seen to hold 42 batches of up to 60 bytes a row: a third of the limit.
_BYTES_A_ROW = 42 * 60 * 3


class Listener:
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
    resolver = TargetResolver(
        name=config.name,
        now=now,
        source=(source.storage, source.path),
        source_options=config.storage_options(config.source.storage),
        options=config.storage_options,
    )
    return make_plan(config, source.runs, resolver)


def lazy_rows(plan: ExportPlan, source: Source, files: Sequence[SeriesFile]) -> pl.LazyFrame:
    """The rows of an export, with every column that a sink asks for, as a lazy frame."""
    options = scan_options(plan.config)
    narrow = scan(source.storage, files, options)
    return _with_stages(plan, narrow)


def export(
    config: ExportConfig,
    *,
    full_refresh: bool = False,
    listener: Listener | None = None,
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
        RunError: A run is broken and `on_error` is `fail`.
        SinkError: An output could not be written.
        StorageError: A store failed.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    clock = Clock(config.execution.timeout)
    with clock.enforced():
        return _export(config, full_refresh, listener or Listener(), moment, clock)


def _export(
    config: ExportConfig, full_refresh: bool, told: Listener, moment: datetime, clock: Clock
) -> Report:
    with clock.phase("discover"):
        source = find_runs(config)
    told.discovered(len(source.runs))
    _require_runs(config, source)
    began_again = False
    while source.runs:
        with clock.phase("plan"):
            plan = plan_export(config, source, moment)
            standing = Standing.read(plan)
            choice = choose(plan, standing, full_refresh=full_refresh)
        try:
            with open_engine(config) as engine:
                written, tally = _write(plan, source, engine, choice.to_write, clock, told)
        except (RunError, ChangedError) as fault:
            if not began_again and (fresh := _if_changed(plan, source, choice.to_write, fault)):
                source, began_again = fresh, True
                continue
            if isinstance(fault, ChangedError):
                raise
            if config.source.on_error == "fail":
                raise
            source = _without_faulty(plan, source, choice.to_write, fault)
            continue
        with clock.phase("publish"), _discarded_on_error(written):
            told.publishing(sum(len(outputs) for _, outputs in written))
            published = publish(plan, standing, written, moment, clock.check)
            tidy(standing, choice.current)
        choice = replace(choice, current=(*choice.current, *published.found))
        rest = untouched(choice, published.standing)
        return summarise(config, source, plan, published.written, rest, tally, clock.seconds)
    return summarise(config, source, None, [], [], Tally(), clock.seconds)


# --------------------------------------------------------------------------- rows to files


def _write(
    plan: ExportPlan,
    source: Source,
    engine: Engine,
    chosen: Sequence[Pending],
    clock: Clock,
    told: Listener,
) -> tuple[list[Written], Tally]:
    """Read the source once, and stage the files of every sink."""
    tally = Tally()
    if not chosen:
        return [], tally
    files = _needed_files(plan, chosen)
    told.began(len(files), sum(f.points for f in files), sum(f.size or 0 for f in files))

    def progress(files_read: int, rows: int, size: int) -> None:
        tally.add(files_read, rows, size)
        told.read(files_read, rows, size)

    narrow = engine.scan(source, files, scan_options(plan.config), progress)
    lanes = [SinkLane(output) for output in _outputs(plan, chosen)]
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
            _refuse_changed(plan, source, files)
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


def scan_options(config: ExportConfig) -> ScanOptions:
    """How a config wants series files to be read."""
    execution = config.execution
    return ScanOptions(
        verify=config.source.verify,
        workers=execution.thread_count,
        batch_rows=min(BATCH_ROWS, max(_FEWEST_BATCH_ROWS, execution.memory_limit // _BYTES_A_ROW)),
    )


def _needed_files(plan: ExportPlan, chosen: Sequence[Pending]) -> list[SeriesFile]:
    """Files of the kept series of the runs that a chosen target holds."""
    wanted_runs = {row for pending in chosen for row in pending.target.runs}
    urls = {plan.runs[row].url for row in wanted_runs}
    kept = set(plan.kept.to_list())
    return [f for f in series_files(plan.runs) if f.row in kept and f.run_url in urls]


def _outputs(plan: ExportPlan, chosen: Sequence[Pending]) -> list[SinkOutput]:
    outputs = []
    for sink in plan.sinks:
        targets = tuple(pending.target for pending in chosen if pending.plan is sink)
        if targets:
            outputs.append(SinkOutput(plan, sink, targets))
    return outputs


def _by_target(
    chosen: Sequence[Pending], staged: Sequence[Sequence[StagedOutput]]
) -> list[Written]:
    of_target: dict[int, list[StagedOutput]] = {id(pending.target): [] for pending in chosen}
    for outputs in staged:
        for output in outputs:
            of_target[id(output.target)].append(output)
    return [(pending, of_target[id(pending.target)]) for pending in chosen]


@contextmanager
def _discarded_on_error(written: Sequence[Written]) -> Iterator[None]:
    """Whatever is still staged when publishing fails is thrown away."""
    try:
        yield
    except BaseException:
        for _, outputs in written:
            for output in outputs:
                output.target.storage.discard(output.staged)
        raise


# --------------------------------------------------------------------------- runs that change


def _refuse_changed(plan: ExportPlan, source: Source, files: Sequence[SeriesFile]) -> None:
    """Look again at runs some of whose files no hash vouches for.

    Raises:
        IntegrityError: Such a run is not as it was when it was discovered.
    """
    verify = plan.config.source.verify
    unsure = {file.run_url for file in files if not verify or file.sha256 is None}
    for run in plan.runs:
        if run.url in unsure and _looks(source, run) != (run.fingerprint, run.listing):
            raise IntegrityError(
                "it changed while it was being read, and no sha256 vouches for what was: "
                "export it again when it is at rest",
                run_url=run.url,
            )


def _looks(source: Source, run: Run) -> tuple[str, str] | None:
    """Digests of a run as it stands now, or None where it is not whole."""
    try:
        found = discover(source.storage, run.path).runs
    except NotFoundError:
        return None
    return next(((one.fingerprint, one.listing) for one in found if one.path == run.path), None)


def _if_changed(
    plan: ExportPlan, source: Source, chosen: Sequence[Pending], fault: RunError | ChangedError
) -> Source | None:
    """The source discovered afresh, where the fault may be of a run that was being rewritten.

    None where the run is still as it was and still faulty.
    """
    if isinstance(fault, RunError):
        run = next((run for run in plan.runs if run.url == fault.run_url), None)
        if run is None:
            return None
        if _looks(source, run) == (run.fingerprint, run.listing):
            files = [one for one in _needed_files(plan, chosen) if one.run_url == run.url]
            if faulty_runs(source.storage, files, scan_options(plan.config)):
                return None
    return find_runs(plan.config)


# --------------------------------------------------------------------------- runs left out


def _require_runs(config: ExportConfig, source: Source) -> None:
    if config.source.require_runs and not source.runs:
        url = source.storage.url(source.path)
        raise ConfigError(
            f"no run was found under {url} and source.require_runs is true: "
            "check source.url, include, exclude and created"
        )


def _without_faulty(
    plan: ExportPlan, source: Source, chosen: Sequence[Pending], fault: RunError
) -> Source:
    """The source without every run that has a faulty file.

    Raises:
        RunError: The fault cannot be laid at a run's door.
    """
    files = _needed_files(plan, chosen)
    faults = faulty_runs(source.storage, files, scan_options(plan.config)) or {fault.run_url: fault}
    runs = tuple(run for run in source.runs if run.url not in faults)
    if len(runs) == len(source.runs):
        raise fault
    left_out = tuple(LeftOut(url, error.detail, "broken") for url, error in faults.items())
    return replace(source, runs=runs, left_out=source.left_out + left_out)
