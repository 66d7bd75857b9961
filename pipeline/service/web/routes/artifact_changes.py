"""Tag, note and archive artifacts. No file is ever deleted here: `deleted` ones are archived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import ConfigDict, Field, StrictBool

from pipeline.registry.user_data import Label, Note, Tags
from pipeline.service.api_base import Data
from pipeline.service.web.models.artifacts import (
    ArchivedBody,
    ArtifactId,
    ArtifactItemBody,
    ArtifactResultBody,
    DeletedBody,
)
from pipeline.service.web.routes.shared import ServiceOf, change_registry, errors
from pipeline.service.web.service import Service
from pipeline.service.web.strict_route import StrictRoute

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"], route_class=StrictRoute)

_MOST_IDS = 1_000

ArtifactIds = Annotated[
    list[Annotated[str, Field(max_length=1024)]],
    Body(description="Ids of artifacts.", max_length=_MOST_IDS, examples=[["run_a", "run_b"]]),
]


class ArtifactChange(Data):
    """What is to be said of an artifact; what is left out, or null, stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"title": "Checkout, hourly", "tags": ["gold"], "pinned": True}
        }
    )

    title: Annotated[Label | None, Field(description="Empty for the automatic title.")] = None
    tags: Annotated[Tags | None, Field(description="All tags that there are to be.")] = None
    add_tags: Annotated[Tags | None, Field(description="Tags to add.")] = None
    remove_tags: Annotated[Tags | None, Field(description="Tags to remove.")] = None
    note: Note | None = None
    owner: Label | None = None
    pinned: StrictBool | None = None
    archived: StrictBool | None = None


@router.put("/{artifactId}", responses=errors(404, 415, 502, 503))
async def change_artifact(
    service: ServiceOf, artifact_id: ArtifactId, change: ArtifactChange
) -> ArtifactItemBody:
    """Give an artifact a title, tags, a note or an owner; pin or archive it."""
    wanted = {k: v for k, v in change.model_dump(by_alias=False).items() if v is not None}
    return await _changed(service, artifact_id, **wanted)


@router.delete("/{artifactId}", responses=errors(404, 415, 502, 503))
async def delete_artifact(service: ServiceOf, artifact_id: ArtifactId) -> ArtifactItemBody:
    """Archive an artifact: lists leave it out, and its files stay."""
    return await _changed(service, artifact_id, archived=True)


@router.post("/archive", response_model_exclude_none=True, responses=errors(415, 502, 503))
async def archive_artifacts(service: ServiceOf, artifact_ids: ArtifactIds) -> ArchivedBody:
    """Archive artifacts: lists leave them out unless they are asked for, and their files stay."""
    done = await _archived(service, artifact_ids)
    return ArchivedBody(
        success=all(done.values()),
        processed=len(done),
        archived=sum(done.values()),
        results=_results(done),
    )


@router.post("/bulk-delete", response_model_exclude_none=True, responses=errors(415, 502, 503))
async def delete_artifacts(service: ServiceOf, artifact_ids: ArtifactIds) -> DeletedBody:
    """Archive artifacts under the name that FlowTime's clients know; their files stay.

    Files are deleted by `flowtime-export artifacts delete` alone.
    """
    done = await _archived(service, artifact_ids)
    return DeletedBody(
        success=all(done.values()),
        processed=len(done),
        deleted=sum(done.values()),
        results=_results(done),
    )


async def _changed(service: Service, artifact_id: str, **changes: object) -> ArtifactItemBody:
    found = await change_registry(service, lambda registry: registry.change(artifact_id, **changes))
    return ArtifactItemBody.model_validate(found.as_json())


async def _archived(service: Service, artifact_ids: list[str]) -> Mapping[str, bool]:
    return await change_registry(service, lambda registry: registry.archive(*artifact_ids))


def _results(done: Mapping[str, bool]) -> list[ArtifactResultBody]:
    found: list[ArtifactResultBody] = []
    for name, is_known in done.items():
        error = None if is_known else f"Artifact '{name}' not found"
        found.append(ArtifactResultBody(id=name, success=is_known, error=error))
    return found
