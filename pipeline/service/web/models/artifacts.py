"""Define the bodies of the routes of artifacts, with the field names of FlowTime's clients."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import ConfigDict, Field

from pipeline.registry.records.artifact import ArtifactState, ArtifactType, Capability
from pipeline.service.api_base import Data

ArtifactId = Annotated[
    str,
    Path(
        alias="artifactId",
        description="Id of an artifact as GET /v1/artifacts gives it.",
        examples=["run_checkout_hourly"],
        max_length=1024,
    ),
]

_Count = Annotated[int, Field(ge=0)]

ITEM: dict[str, Any] = {
    "id": "run_a",
    "type": "run",
    "title": "Checkout",
    "description": None,
    "created": "2025-01-02T03:04:05Z",
    "tags": ["run", "csv"],
    "metadata": {"templateId": "checkout"},
    "files": ["run.json"],
    "totalSize": 4096,
    "lastModified": "2025-01-02T03:04:06Z",
    "source": "engine",
    "capabilities": ["export"],
    "digest": None,
    "location": "run_a",
    "state": "complete",
    "reason": None,
    "archived": False,
    "pinned": False,
    "owner": None,
    "note": None,
}
RELATED: dict[str, Any] = {
    "id": "nightly-1",
    "type": "export",
    "title": "nightly",
    "relationshipType": "export",
    "missing": False,
}
FILE: dict[str, Any] = {"name": "run.json", "size": 512, "mediaType": "application/json"}
RESULT: dict[str, Any] = {"id": "run_a", "success": True, "error": None}
TYPE_STATS: dict[str, Any] = {
    "count": 1,
    "totalSize": 4096,
    "oldest": "2025-01-02T03:04:05Z",
    "newest": "2025-01-02T03:04:05Z",
}


class ArtifactItemBody(Data):
    """An artifact."""

    model_config = ConfigDict(json_schema_extra={"example": ITEM})

    id: str
    type: ArtifactType
    title: str
    description: str | None
    created: datetime | None
    tags: list[str]
    metadata: dict[str, Any]
    files: Annotated[list[str], Field(description="Names of the top-level files.")]
    total_size: _Count
    last_modified: datetime | None
    source: str | None
    capabilities: list[Capability]
    digest: str | None
    location: str
    state: ArtifactState
    reason: str | None
    archived: bool
    pinned: bool
    owner: str | None
    note: str | None


class ArtifactDetailBody(ArtifactItemBody):
    """An artifact with the ids of what it was made of, and of what was made of it."""

    model_config = ConfigDict(json_schema_extra={"example": {**ITEM, "relationships": {}}})

    relationships: Annotated[
        dict[str, list[str]], Field(description="`derived_from` and `generates`.")
    ]


class ArtifactPageBody(Data):
    """A page of artifacts."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "artifacts": [ITEM],
                "total": 1,
                "totalIsExact": True,
                "count": 1,
                "nextCursor": None,
                "facets": None,
            }
        }
    )

    artifacts: list[ArtifactItemBody]
    total: Annotated[_Count, Field(description="Artifacts that match in all.")]
    total_is_exact: Annotated[
        bool, Field(description="False where counting took too long: there are at least so many.")
    ]
    count: Annotated[_Count, Field(description="Artifacts on this page.")]
    next_cursor: Annotated[
        str | None, Field(description="The `cursor` of the next page; null on the last one.")
    ]
    facets: Annotated[
        dict[str, dict[str, int]] | None,
        Field(description="With `facets=true`; null where counting takes too long."),
    ] = None


class ArtifactIndexBody(Data):
    """The whole index."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "schemaVersion": 1,
                "lastUpdated": "2025-01-02T03:04:05Z",
                "artifacts": [ITEM],
                "artifactCount": 1,
            }
        }
    )

    schema_version: int
    last_updated: datetime
    artifacts: list[ArtifactItemBody]
    artifact_count: _Count


class RelatedArtifactBody(Data):
    """The other end of a relationship."""

    model_config = ConfigDict(json_schema_extra={"example": RELATED})

    id: str
    type: str
    title: str
    relationship_type: str
    missing: Annotated[bool, Field(description="It is not in the registry (any more).")] = False


class RelationshipsBody(Data):
    """How an artifact is related to others."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "artifactId": "run_a",
                "derivedFrom": [],
                "derivatives": [RELATED],
                "related": [],
                "truncated": False,
            }
        }
    )

    artifact_id: str
    derived_from: list[RelatedArtifactBody]
    derivatives: list[RelatedArtifactBody]
    related: list[RelatedArtifactBody]
    truncated: Annotated[bool, Field(description="There are more than are listed.")] = False


class ArtifactFileBody(Data):
    """One file of an artifact."""

    model_config = ConfigDict(json_schema_extra={"example": FILE})

    name: str
    size: _Count
    media_type: str


class ArtifactFilesBody(Data):
    """The files of an artifact."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"artifactId": "run_a", "files": [FILE], "count": 1}}
    )

    artifact_id: str
    files: list[ArtifactFileBody]
    count: _Count


class ArtifactResultBody(Data):
    """Whether one artifact of several was archived, and why not."""

    model_config = ConfigDict(json_schema_extra={"example": RESULT})

    id: str
    success: bool
    error: str | None = None


class ArchivedBody(Data):
    """The result of archiving artifacts."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"success": True, "processed": 1, "archived": 1, "results": [RESULT]}
        }
    )

    success: bool
    processed: _Count
    archived: _Count
    results: list[ArtifactResultBody]


class DeletedBody(Data):
    """The result of deleting artifacts: they are archived, and keep their files."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"success": True, "processed": 1, "deleted": 1, "results": [RESULT]}
        }
    )

    success: bool
    processed: _Count
    deleted: _Count
    results: list[ArtifactResultBody]


class RescanBody(Data):
    """What a look at all runs and exports has found."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "added": 1,
                "unchanged": 5,
                "removed": 0,
                "modelsAdded": 1,
                "modelsRemoved": 0,
                "problems": [],
                "seconds": 0.4,
            }
        }
    )

    added: _Count
    unchanged: _Count
    removed: _Count
    models_added: _Count
    models_removed: _Count
    problems: list[str]
    seconds: float


class ArtifactTypeStatsBody(Data):
    """Counts and sizes of the artifacts of one type."""

    model_config = ConfigDict(json_schema_extra={"example": TYPE_STATS})

    count: _Count
    total_size: _Count
    oldest: datetime | None
    newest: datetime | None


class ArtifactStatsBody(Data):
    """Counts and sizes of the whole registry."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "total": 1,
                "archived": 0,
                "notComplete": 0,
                "totalSize": 4096,
                "types": {"run": TYPE_STATS},
                "revision": 1,
            }
        }
    )

    total: _Count
    archived: _Count
    not_complete: _Count
    total_size: _Count
    types: dict[str, ArtifactTypeStatsBody]
    revision: _Count
