"""List the exports of a run, and delete them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from pipeline.service.catalog.export_store import VARIANT
from pipeline.service.errors import UnknownError
from pipeline.service.web.models.runs import RunExportsBody
from pipeline.service.web.routes.shared import RunName, ServiceOf, complete_run, errors, on_thread
from pipeline.service.web.run_bodies import run_export
from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(prefix="/v1/runs", tags=["exports"], route_class=StrictRoute)

PLAIN = "plain"
"""Name of the plain export in paths."""


@router.get("/{runId}/exports", responses=errors(404, 409, 502, 503))
async def list_run_exports(service: ServiceOf, run_id: RunName) -> RunExportsBody:
    """List the published exports of a run, the plain one first, each with its options."""
    entry, run = await complete_run(service, run_id)
    exports = await on_thread(service.readers, service.exports.exports, run)
    return RunExportsBody(items=tuple(run_export(entry, export) for export in exports))


@router.delete("/{runId}/exports/{variant}", status_code=204, responses=errors(404, 409, 502, 503))
async def delete_run_export(
    service: ServiceOf,
    run_id: RunName,
    variant: Annotated[
        str,
        Path(
            description=f"`{PLAIN}`, or the variant of an export with options.",
            max_length=40,
            examples=["custom-0123456789ab"],
        ),
    ],
) -> None:
    """Delete an export; the run itself stays."""
    entry, run = await complete_run(service, run_id)
    if variant != PLAIN and not VARIANT.fullmatch(variant):
        raise _unknown()
    name = None if variant == PLAIN else variant
    async with service.runner.held((entry.path, name)):
        was_there = await on_thread(service.readers, service.exports.delete, run, name)
        if was_there:
            service.artifacts.forget_export(service.locations.folder(run, name))
    if name is not None:
        service.store.forget_custom_export(entry.path, name)
    if not was_there:
        raise _unknown()


def _unknown() -> UnknownError:
    return UnknownError(
        "There is no such export",
        "GET /v1/runs/{runId}/exports lists the exports",
        code="export-not-found",
    )
