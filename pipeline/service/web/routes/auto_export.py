"""Show and change the automatic export of completed runs."""

from __future__ import annotations

from fastapi import APIRouter

from pipeline.service.web.models.jobs import AutoExportBody
from pipeline.service.web.routes.shared import ServiceOf, errors
from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(prefix="/v1/auto-export", tags=["exports"], route_class=StrictRoute)


@router.get("", responses=errors())
async def get_auto_export(service: ServiceOf) -> AutoExportBody:
    """Show in which formats each run is exported when it is completed; none: it is not."""
    return AutoExportBody(formats=service.auto_export.formats)


@router.put("", responses=errors(415, 502))
async def set_auto_export(service: ServiceOf, wanted: AutoExportBody) -> AutoExportBody:
    """Choose these formats, or none; runs that are complete already are not exported."""
    formats = tuple(dict.fromkeys(wanted.formats))
    await service.auto_export.change(formats)
    return AutoExportBody(formats=service.auto_export.formats)
