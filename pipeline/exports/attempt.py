"""Attempt to export runs, with one of three answers: written, retry, or drop runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from connectors.errors import ChangedError, RunError
from connectors.flowtime.scan.series_files import SeriesFiles
from pipeline.execution.engine import choose_engine
from pipeline.execution.job import ExportJob
from pipeline.execution.staging import StagedJob
from pipeline.exports.session import ExportSession
from pipeline.planning.choice import Choice, choose
from pipeline.planning.plan import ExportPlan
from pipeline.planning.pruning import Pruning, find_gone
from pipeline.planning.published import PublishedTargets
from pipeline.reading.inputs import wanted_series, with_layouts
from pipeline.reading.left_out import LeftOut
from pipeline.reading.recheck import has_changed
from pipeline.reading.source import Source
from pipeline.writing.pruning import Pruned, prune
from pipeline.writing.publish import Published, Publisher


@dataclass(frozen=True)
class WrittenTargets:
    """The answer of an attempt that succeeded.

    Attributes:
        plan: What was to be written.
        choice: Which targets were written, and which stayed as they were.
        published: What was made visible.
        pruning: What was to be removed.
        pruned: Exports of runs that are gone, and whether they were removed.
        staged: What was read and staged for it.
    """

    plan: ExportPlan
    choice: Choice
    published: Published
    pruning: Pruning
    pruned: tuple[Pruned, ...]
    staged: StagedJob


@dataclass(frozen=True)
class Retry:
    """The answer of an attempt whose runs are out of date: find them again, then try once more."""


@dataclass(frozen=True)
class Drop:
    """The answer of an attempt that met broken runs which are to be skipped.

    Attributes:
        broken: The runs to leave out, and why.
    """

    broken: tuple[LeftOut, ...]


def attempt(session: ExportSession, source: Source) -> WrittenTargets | Retry | Drop:
    """Plan, read, write and publish the export of some runs.

    Raises:
        ConfigError: The runs do not fit the config.
        RunError: A run is broken and `on_error` is `fail`.
        ChangedError: A run changes again and again while it is read.
        SinkError: An output could not be written.
        StorageError: A store failed.
    """
    with session.clock.phase("plan"):
        plan = session.plan(source)
        before = PublishedTargets.read(plan)
        choice = choose(plan, before, full_refresh=session.full_refresh)
        pruning = find_gone(plan, session.resolver)
    if choice.to_write and source.look == "remembered":
        # Descriptors only prove that nothing has changed; what is written has to be read.
        return Retry()
    wanted = wanted_series(plan, choice.to_write)
    plan = with_layouts(plan, source, SeriesFiles(plan.runs, wanted))
    staged = StagedJob(ExportJob(source.storage, plan, choice.to_write, wanted))
    try:
        _stage(session, staged)
    except (RunError, ChangedError) as fault:
        if source.look != "second" and _has_changed(staged.job, fault):
            return Retry()
        raise
    if staged.broken:
        if source.look != "second" and any(_has_changed(staged.job, one) for one in staged.broken):
            return Retry()
        return Drop(_left_out(source, staged.broken))
    with session.clock.phase("publish"), _discarded_on_error(staged):
        session.progress.publishing(sum(len(outputs) for _, outputs in staged.targets))
        publisher = Publisher(plan, before, choice.obsolete, session.now)
        published = publisher.publish(staged.targets)
        published = replace(published, changed=publisher.tidy(choice.current))
        pruned = tuple(prune(one, plan, source.storage, session.now) for one in pruning.exports)
    choice = replace(choice, current=(*choice.current, *published.found))
    return WrittenTargets(plan, choice, published, pruning, pruned, staged)


def _stage(session: ExportSession, staged: StagedJob) -> None:
    """Do the tasks of a job, if there is anything to write."""
    if not staged.job.pending:
        return
    files = staged.job.files
    session.progress.began(len(files), files.rows, files.bytes)
    staged.choice = choose_engine(
        session.config.execution,
        len(staged.job.ranges),
        joins_text=staged.job.joins_text,
        has_workers=session.workers.have_started,
    )
    with session.clock.phase("write"):
        staged.run(session.workers.open(staged.choice), session.progress.read)


def _has_changed(job: ExportJob, fault: RunError | ChangedError) -> bool:
    return has_changed(job.plan, job.storage, job.files, fault)


def _left_out(source: Source, broken: Sequence[RunError]) -> tuple[LeftOut, ...]:
    """Return the runs to leave out.

    Raises:
        RunError: A fault is of no run of the source.
    """
    urls = {run.url for run in source.runs}
    for fault in broken:
        if fault.run_url not in urls:
            raise fault
    return tuple(LeftOut(fault.run_url, fault.detail, "broken") for fault in broken)


@contextmanager
def _discarded_on_error(staged: StagedJob) -> Iterator[None]:
    """Discard what is still staged when publishing fails."""
    try:
        yield
    except BaseException:
        staged.discard()
        raise
