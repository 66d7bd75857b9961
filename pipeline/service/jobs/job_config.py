"""Make the config of an export from the request of its job."""

from __future__ import annotations

from typing import Any

from connectors.flowtime.discover.source_root import SourceRoot
from connectors.flowtime.model.run import Run
from connectors.storage import escape_glob
from pipeline.config import checked_config
from pipeline.exports.session import ExportSession
from pipeline.planning.plan import ExportPlan
from pipeline.reading.source import Source
from pipeline.service.catalog.locations import GOLD, Locations
from pipeline.service.errors import UnprocessableError
from pipeline.service.jobs.job import ExportRequest
from pipeline.service.settings import ServiceSettings

_STORAGE = "source"


def job_config(
    request: ExportRequest,
    run: Run,
    locations: Locations,
    settings: ServiceSettings,
    folder: str | None,
) -> dict[str, Any]:
    """Return the config of a job as plain data, as `flowtime-export export` makes it for a run.

    Args:
        request: The request of the job.
        run: The run.
        locations: Where runs are and exports go.
        settings: Limits of an export.
        folder: Folder for the files instead of the run's own.

    Raises:
        UnprocessableError: The run's own folder for exports is a link to another place.
    """
    if folder is None and locations.leads_away(run, request.variant):
        raise UnprocessableError(
            f"run {request.run}: its {GOLD} folder is a link, which is not followed",
            "replace the link by a folder, or serve with --exports",
        )
    sinks = [_sink(request, form, run, locations, folder) for form in request.formats]
    plain: dict[str, Any] = {
        "version": 1,
        "source": {"url": escape_glob(run.url)},
        "sinks": sinks,
        "execution": {
            "engine": "local",  # the service has worker processes of its own
            "memory_limit": f"{settings.memory_limit}B",
            "timeout": f"{settings.job_timeout:g}s",
        },
    }
    if request.metadata is not None:
        plain["metadata"] = {"columns": list(request.metadata)}
    if request.filter is not None:
        plain["transform"] = {"filter": request.filter}
    if locations.options is not None:
        plain["storage"] = {_STORAGE: _storage_block(locations)}
        plain["source"]["storage"] = _STORAGE
    return plain


def job_plan(plain: dict[str, Any], run: Run, locations: Locations) -> tuple[ExportPlan, Source]:
    """Return what the export of a config would do with a run; touches nothing.

    Raises:
        ConfigError: The options do not fit the run.
    """
    config = checked_config(plain, called="request")
    source = Source(locations.runs.storage, (SourceRoot(run.path),), (run,), ())
    return ExportSession.open(config).plan(source), source


def _sink(
    request: ExportRequest, form: str, run: Run, locations: Locations, folder: str | None
) -> dict[str, Any]:
    name = f"export.{form}"
    sink: dict[str, Any] = {"format": form}
    if request.escape_formulas and form == "csv":
        sink["escape_formulas"] = True
    if request.columns is not None:
        sink["columns"] = list(request.columns)
    if folder is not None:
        sink["path"] = f"{_literal(folder)}/{name}"
    elif locations.exports is None:
        variant = "" if request.variant is None else f"{request.variant}/"
        sink["path"] = f"{{run_url}}/{GOLD}/{variant}{name}"
    else:
        sink["path"] = f"{_literal(locations.folder(run, request.variant).url)}/{name}"
        if locations.options is not None and locations.exports.storage is locations.runs.storage:
            sink["storage"] = _STORAGE
    return sink


def _storage_block(locations: Locations) -> dict[str, Any]:
    assert locations.options is not None
    block = locations.options.revealed()
    if locations.options.protocol is not None:
        block["protocol"] = locations.options.protocol
    return block


def _literal(path: str) -> str:
    return path.replace("{", "{{").replace("}", "}}")
