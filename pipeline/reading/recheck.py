"""Runs that turn out faulty, or that change, while they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from connectors.errors import ChangedError, IntegrityError, NotFoundError, RunError
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Run
from connectors.flowtime.scan.scanner import faulty_runs
from connectors.flowtime.scan.series_files import SeriesFiles
from pipeline.planning.plan import ExportPlan
from pipeline.planning.published import Pending
from pipeline.reading.inputs import needed_files, scan_options
from pipeline.reading.left_out import LeftOut
from pipeline.reading.source import Source, find_runs


def refuse_changed(plan: ExportPlan, source: Source, files: SeriesFiles) -> None:
    """Look again at runs some of whose files no hash vouches for.

    Raises:
        IntegrityError: Such a run is not as it was when it was discovered.
    """
    verify = plan.config.source.verify
    unsure = {file.run_url for file in (files.unvouched() if verify else files)}
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


def if_changed(
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
            files = [one for one in needed_files(plan, chosen) if one.run_url == run.url]
            if faulty_runs(source.storage, files, scan_options(plan.config)):
                return None
    return find_runs(plan.config)


def without_faulty(
    plan: ExportPlan, source: Source, chosen: Sequence[Pending], fault: RunError
) -> Source:
    """The source without every run that has a faulty file.

    Raises:
        RunError: The fault cannot be laid at a run's door.
    """
    files = needed_files(plan, chosen)
    faults = faulty_runs(source.storage, files, scan_options(plan.config)) or {fault.run_url: fault}
    runs = tuple(run for run in source.runs if run.url not in faults)
    if len(runs) == len(source.runs):
        raise fault
    left_out = tuple(LeftOut(url, error.detail, "broken") for url, error in faults.items())
    return replace(source, runs=runs, left_out=source.left_out + left_out)
