"""Check runs again that turn out damaged, or that change, while they are read."""

from __future__ import annotations

from connectors.errors import ChangedError, IntegrityError, NotFoundError, RunError
from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Run
from connectors.flowtime.scan.scanner import damaged_runs
from connectors.flowtime.scan.series_files import SeriesFiles
from connectors.storage import Storage
from pipeline.planning.plan import ExportPlan
from pipeline.reading.inputs import scan_options


def refuse_changed(plan: ExportPlan, storage: Storage, files: SeriesFiles) -> None:
    """Look again at runs some of whose files no hash vouches for.

    Raises:
        IntegrityError: Such a run is not as it was when it was discovered.
    """
    verify = plan.config.source.verify
    unsure = {file.run_url for file in (files.unvouched() if verify else files)}
    for run in plan.runs:
        if run.url in unsure and _looks(storage, run) != (run.fingerprint, run.listing):
            raise IntegrityError(
                "it changed while it was being read, and no sha256 vouches for what was: "
                "export it again when it is at rest",
                run_url=run.url,
            )


def _looks(storage: Storage, run: Run) -> tuple[str, str] | None:
    """Return digests of a run as it is now, or None where it is not whole."""
    try:
        found = discover(storage, run.path).runs
    except NotFoundError:
        return None
    return next(((one.fingerprint, one.listing) for one in found if one.path == run.path), None)


def has_changed(
    plan: ExportPlan, storage: Storage, files: SeriesFiles, fault: RunError | ChangedError
) -> bool:
    """Return whether a fault may be of a run that was being rewritten.

    False where the run is still as it was discovered, and still damaged.
    """
    if isinstance(fault, ChangedError):
        return True
    run = next((run for run in plan.runs if run.url == fault.run_url), None)
    if run is None:
        return False
    if _looks(storage, run) != (run.fingerprint, run.listing):
        return True
    of_run = [one for one in files if one.run_url == run.url]
    return not damaged_runs(storage, of_run, scan_options(plan.config))
