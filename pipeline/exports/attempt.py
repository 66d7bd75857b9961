"""One attempt to export runs, and its three answers: written, retry, or drop runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from connectors.errors import ChangedError, RunError
from connectors.flowtime.scan.series_files import SeriesFiles
from pipeline.execution.engine import open_engine
from pipeline.execution.rows import stage_rows
from pipeline.exports.session import ExportSession
from pipeline.planning.choice import Choice, choose
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import PublishedTargets
from pipeline.reading.inputs import ReadProgress, needed_files, with_layouts
from pipeline.reading.left_out import LeftOut
from pipeline.reading.recheck import faulty_runs_of, has_changed
from pipeline.reading.source import Source
from pipeline.writing.descriptor_file import StagedTarget
from pipeline.writing.publish import Published, Publisher


@dataclass(frozen=True)
class Written:
    """The answer of an attempt that succeeded.

    Attributes:
        plan: What was to be written.
        choice: Which targets were written, and which stayed as they were.
        published: What was made visible.
        read: How much was read.
    """

    plan: ExportPlan
    choice: Choice
    published: Published
    read: ReadProgress


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


def attempt(session: ExportSession, source: Source) -> Written | Retry | Drop:
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
    if choice.to_write and source.look == "remembered":
        # Descriptors only prove that nothing has changed; what is written has to be read.
        return Retry()
    files = needed_files(plan, choice.to_write)
    plan = with_layouts(plan, source, files)
    read = ReadProgress(session.progress.read)
    try:
        staged = _stage(session, plan, source, files, choice, read) if choice.to_write else []
    except (RunError, ChangedError) as fault:
        if source.look != "second" and has_changed(plan, source, files, fault):
            return Retry()
        if isinstance(fault, ChangedError) or session.config.source.on_error == "fail":
            raise
        return Drop(faulty_runs_of(plan, source, files, fault))
    with session.clock.phase("publish"), _discarded_on_error(staged):
        session.progress.publishing(sum(len(outputs) for _, outputs in staged))
        publisher = Publisher(plan, before, choice.obsolete, session.now)
        published = publisher.publish(staged)
        publisher.tidy(choice.current)
    choice = replace(choice, current=(*choice.current, *published.found))
    return Written(plan, choice, published, read)


def _stage(
    session: ExportSession,
    plan: ExportPlan,
    source: Source,
    files: SeriesFiles,
    choice: Choice,
    read: ReadProgress,
) -> list[StagedTarget]:
    session.progress.began(len(files), files.rows, files.bytes)
    with open_engine(session.config) as engine, session.clock.phase("write"):
        return stage_rows(plan, source, engine, files, choice.to_write, read)


@contextmanager
def _discarded_on_error(staged: Sequence[StagedTarget]) -> Iterator[None]:
    """Discard what is still staged when publishing fails."""
    try:
        yield
    except BaseException:
        for _, outputs in staged:
            for output in outputs:
                output.target.storage.discard(output.staged)
        raise
