"""From a job's request to the config of its export."""

from __future__ import annotations

from typing import Any

from connectors.flowtime.model.run import Run
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
    places: Locations,
    settings: ServiceSettings,
    folder: str | None,
) -> dict[str, Any]:
    """The config of a job as plain data: the same as `flowtime-export export` makes of a run.

    Raises:
        UnprocessableError: The run's own folder for exports is a link to somewhere else.

    Args:
        request: What is asked for.
        run: The run.
        places: Where runs are and exports go.
        settings: Limits of an export.
        folder: A folder for the files instead of the run's own.
    """
    if folder is None and places.leads_away(run, request.variant):
        raise UnprocessableError(
            f"run {request.run}: its {GOLD} folder is a link, which is not followed",
            "make it a folder, or have exports go elsewhere (--exports)",
        )
    sinks = [_sink(request, form, run, places, folder) for form in request.formats]
    plain: dict[str, Any] = {
        "version": 1,
        "source": {"url": run.url},
        "sinks": sinks,
        "execution": {
            "memory_limit": f"{settings.memory_limit}B",
            "timeout": f"{settings.job_timeout:g}s",
        },
    }
    if request.metadata is not None:
        plain["metadata"] = {"columns": list(request.metadata)}
    if request.filter is not None:
        plain["transform"] = {"filter": request.filter}
    if places.options is not None:
        plain["storage"] = {_STORAGE: _storage_block(places)}
        plain["source"]["storage"] = _STORAGE
    return plain


def job_plan(plain: dict[str, Any], run: Run, places: Locations) -> tuple[ExportPlan, Source]:
    """What the export of a config will do to a run; touches nothing.

    Raises:
        ConfigError: The options do not fit the run.
    """
    config = checked_config(plain, called="request")
    source = Source(places.runs.storage, run.path, (run,), ())
    return ExportSession.open(config).plan(source), source


def _sink(
    request: ExportRequest, form: str, run: Run, places: Locations, folder: str | None
) -> dict[str, Any]:
    name = f"export.{form}"
    sink: dict[str, Any] = {"format": form}
    if request.columns is not None:
        sink["columns"] = list(request.columns)
    if folder is not None:
        sink["path"] = f"{_literal(folder)}/{name}"
    elif places.exports is None:
        variant = "" if request.variant is None else f"{request.variant}/"
        sink["path"] = f"{{run_url}}/{GOLD}/{variant}{name}"
    else:
        sink["path"] = f"{_literal(places.folder(run, request.variant).url)}/{name}"
        if places.options is not None and places.exports.storage is places.runs.storage:
            sink["storage"] = _STORAGE
    return sink


def _storage_block(places: Locations) -> dict[str, Any]:
    assert places.options is not None
    block = places.options.revealed()
    if places.options.protocol is not None:
        block["protocol"] = places.options.protocol
    return block


def _literal(path: str) -> str:
    return path.replace("{", "{{").replace("}", "}}")
