"""Export: find the runs, attempt to export them, report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.config import ExportConfig
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.report import Report
from pipeline.exports.session import ExportSession
from pipeline.reading.source import Source

if TYPE_CHECKING:
    from pipeline.planning.choice import Choice


def export(
    config: ExportConfig,
    *,
    full_refresh: bool = False,
    progress: ProgressCallback | None = None,
    check: Callable[[Source], None] | None = None,
    now: datetime | None = None,
) -> Report:
    """Export the runs of a config to all its sinks.

    Args:
        config: The settings.
        full_refresh: Write targets that have not changed, too.
        progress: Receives the progress.
        check: Receives the runs that were found; what it raises ends the export before anything is
            written.
        now: When the export begins; default the current time.

    Raises:
        ConfigError: The config does not fit the runs.
        IntegrityError: The descriptor of a target is damaged, or not ours; all other targets are
            written.
        RunError: A run is broken and `on_error` is `fail`.
        SinkError: An output could not be written.
        StorageError: A store failed.
    """
    session = ExportSession.open(config, now=now, full_refresh=full_refresh, progress=progress)
    try:
        with session.workers, session.clock.enforced():
            report, choice = _export(session, check)
        # What is published stays published, whatever happens to registry and lineage.
        report = session.registration.finished(report)
        if choice is not None:
            choice.raise_blocked()
    except BaseException as error:
        session.registration.close()
        session.notification.failed(error)
        session.lineage.failed(error)
        session.notification.settle()
        raise
    session.notification.finished(report)
    report = session.lineage.finished(report)
    problem = session.notification.settle()
    return report if problem is None else report.with_note(problem)


def _export(
    session: ExportSession, check: Callable[[Source], None] | None
) -> tuple[Report, Choice | None]:
    source = session.find_runs()
    if check is not None:
        check(source)
    # Imported when needed: these load Polars and Arrow, which finding runs does without.
    from pipeline.exports.attempt import Drop, Retry, WrittenTargets, attempt  # noqa: PLC0415
    from pipeline.exports.summary import nothing_to_do, summarise  # noqa: PLC0415

    while source.runs:
        match attempt(session, source):
            case WrittenTargets() as written:
                current = written.choice.current
                session.registration.note(source, written.published.written, current)
                session.lineage.note(written.plan)
                return summarise(session, source, written), written.choice
            case Retry():
                source = session.find_runs_again(source)
            case Drop(broken):
                source = source.without(broken)
    return nothing_to_do(session, source), None
